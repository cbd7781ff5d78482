"""What stands between us and a channel: a bulkhead and a circuit breaker.

The bulkhead bounds what a slow channel can hold; the breaker stops asking one that does not
answer, and lets a single call through now and then to see whether it is back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from paymesh.clock import Clock
from paymesh.errors import Unavailable


@dataclass(frozen=True, slots=True)
class GuardLimits:
    in_flight_max: int = 100
    failures_max: int = 20
    """Unanswered calls in a row that open the breaker."""
    open_s: float = 5.0


class ChannelGuard:
    """One channel's bulkhead and breaker. Calls run in one event loop."""

    def __init__(self, name: str, *, clock: Clock, limits: GuardLimits) -> None:
        self._name, self._clock, self._limits = name, clock, limits
        self._in_flight = 0
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        return self._clock.monotonic() < self._open_until

    @contextmanager
    def call(self) -> Iterator[None]:
        """Counts a call in. Raises Unavailable, before it is made, if it must not be made."""
        if self._in_flight >= self._limits.in_flight_max:
            raise Unavailable(f"channel {self._name} is busy: {self._in_flight} calls in flight")
        if self.is_open:
            raise Unavailable(f"channel {self._name} did not answer; not asked for a while")
        if self._failures >= self._limits.failures_max:  # half open: this one call is the probe
            self._open_until = self._clock.monotonic() + self._limits.open_s
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def answered(self) -> None:
        self._failures, self._open_until = 0, 0.0

    def unanswered(self) -> None:
        self._failures += 1
        if self._failures >= self._limits.failures_max:
            self._open_until = self._clock.monotonic() + self._limits.open_s
