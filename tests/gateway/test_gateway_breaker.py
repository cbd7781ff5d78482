"""The bulkhead and the breaker in front of a channel, on a clock of our own."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest

from gateway_svc.orders.breaker import ChannelGuard, GuardLimits
from paymesh.errors import Unavailable

LIMITS = GuardLimits(in_flight_max=2, failures_max=3, open_s=5.0)


class ManualClock:
    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def guard(clock: ManualClock) -> ChannelGuard:
    return ChannelGuard("sandbox", clock=clock, limits=LIMITS)


def fail(guard: ChannelGuard, times: int) -> None:
    for _ in range(times):
        with guard.call():
            pass
        guard.unanswered()


def refuses(guard: ChannelGuard) -> bool:
    try:
        with guard.call():
            return False
    except Unavailable:
        return True


def test_a_full_bulkhead_refuses_and_a_free_place_is_given_again(guard: ChannelGuard) -> None:
    """Also when a call ends with an exception."""
    with guard.call():
        with guard.call():
            assert refuses(guard)
        assert not refuses(guard)
        with contextlib.suppress(ZeroDivisionError), guard.call():
            raise ZeroDivisionError
        assert not refuses(guard)


def test_a_channel_that_does_not_answer_is_not_asked_for_a_while(
    guard: ChannelGuard, clock: ManualClock
) -> None:
    fail(guard, 3)
    assert refuses(guard)
    clock.at += 4.9
    assert refuses(guard)
    clock.at += 0.2
    assert not refuses(guard)


def test_an_answer_in_between_keeps_it_closed(guard: ChannelGuard) -> None:
    """Only failures in a row count."""
    fail(guard, 2)
    guard.answered()
    fail(guard, 2)
    assert not refuses(guard)


def test_half_open_lets_one_probe_through(guard: ChannelGuard, clock: ManualClock) -> None:
    fail(guard, 3)
    clock.at += 5.1
    with guard.call():
        assert refuses(guard)


def test_a_probe_that_is_answered_closes_it(guard: ChannelGuard, clock: ManualClock) -> None:
    fail(guard, 3)
    clock.at += 5.1
    with guard.call():
        pass
    guard.answered()
    assert not refuses(guard)
    fail(guard, 2)
    assert not refuses(guard)


def test_a_probe_that_is_not_answered_opens_it_again(
    guard: ChannelGuard, clock: ManualClock
) -> None:
    fail(guard, 3)
    clock.at += 5.1
    fail(guard, 1)
    assert refuses(guard)
    clock.at += 5.1
    assert not refuses(guard)


def test_a_probe_that_never_came_back_does_not_keep_it_open_for_ever(
    guard: ChannelGuard, clock: ManualClock
) -> None:
    """It was cancelled: nobody said answered or unanswered. The next probe comes in time."""
    fail(guard, 3)
    clock.at += 5.1
    with pytest.raises(TimeoutError), guard.call():
        raise TimeoutError
    assert refuses(guard)
    clock.at += 5.1
    assert not refuses(guard)
