"""The behaviours that both buses have, said once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import pytest

from paymesh import failpoint
from paymesh.bus.port import (
    HANDLED,
    REASON_HEADER,
    ConsumerOptions,
    Delivery,
    Leftover,
    PublishFailed,
    Verdict,
)
from paymesh.bus.topology import TopologyError
from tests.bus.contract import (
    DELIVERY_LIMIT,
    PATIENCE_S,
    Harness,
    Seen,
    dead_letters,
    eventually,
    message,
)

pytestmark = pytest.mark.slow

QUEUE = "trade.payments"
SETTLE_S = 0.3
"""Long enough for something that should not come to have come."""


def whole(delivery: Delivery, reason: str = "not now") -> Leftover:
    return Leftover(delivery.message.id, delivery.message.body, reason)


def always_retried(delivery: Delivery) -> Verdict:
    return Verdict(retry=(whole(delivery),))


def retried_once(delivery: Delivery) -> Verdict:
    return HANDLED if delivery.attempt else always_retried(delivery)


async def test_confirmed_message_is_delivered_once(harness: Harness) -> None:
    """What publish says is taken arrives, as it was sent, and does not come again."""
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    assert list(await harness.bus.publish([message(1), message(2)])) == [None, None]
    first, second = await seen.until(2)
    await asyncio.sleep(SETTLE_S)
    assert (first.message, second.message) == (message(1), message(2))
    assert (first.queue, first.attempt, first.delivery_count) == (QUEUE, 0, 0)
    assert len(seen.deliveries) == 2


async def test_unroutable_message_fails_alone(harness: Harness) -> None:
    """A key that nobody has bound is a failure; the others of the same call pass."""
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    outcomes = await harness.bus.publish([message(1), message(2, "nobody.binds.this"), message(3)])
    assert outcomes[0] is None
    assert isinstance(outcomes[1], PublishFailed)
    assert "unroutable" in str(outcomes[1])
    assert outcomes[2] is None
    assert [d.message.id for d in await seen.until(2)] == ["evt_1", "evt_3"]


async def test_same_id_twice_in_one_call_has_two_outcomes(harness: Harness) -> None:
    """Outcomes belong to positions: of two messages with one id, only the unroutable one fails."""
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    outcomes = await harness.bus.publish([message(1, "nobody.binds.this"), message(1)])
    assert [outcome is None for outcome in outcomes] == [False, True]


async def test_nothing_to_publish_is_no_failure(harness: Harness) -> None:
    assert list(await harness.bus.publish([])) == []


async def test_handler_gets_what_has_arrived_as_one_batch(harness: Harness) -> None:
    """While a batch is under way others gather; they come together, at most batch_deliveries_max,
    and never two batches at once."""
    seen = Seen()
    seen.gate.clear()
    await harness.bus.consume(QUEUE, seen, ConsumerOptions(batch_deliveries_max=8))
    publishing = [asyncio.create_task(_publish(harness, n)) for n in range(20)]
    await seen.until(1)
    await harness.queued(publishing)
    await asyncio.sleep(SETTLE_S)
    seen.gate.set()
    await seen.until(20)
    await asyncio.gather(*publishing)
    sizes = [len(batch) for batch in seen.batches]
    assert sum(sizes) == 20
    assert max(sizes) == 8
    assert seen.under_way_most == 1


async def test_order_of_one_publisher_is_kept(harness: Harness) -> None:
    """Within one queue, messages come in the order in which one publisher sent them."""
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    for start in range(0, 300, 150):
        outcomes = await harness.bus.publish([message(n) for n in range(start, start + 150)])
        assert not any(outcomes)
    await seen.until(300)
    assert seen.ids == [f"evt_{n}" for n in range(300)]


async def test_message_reaches_every_queue_that_binds_its_key(harness: Harness) -> None:
    """trade.trade.paid interests the ledger and the notifications, other trade events only them."""
    ledger, notifications = Seen(), Seen()
    await harness.bus.consume("clearing.ledger", ledger)
    await harness.bus.consume("trade.notifications", notifications)
    assert not any(await harness.bus.publish([message(1, "trade.trade.paid")]))
    assert not any(await harness.bus.publish([message(2, "trade.trade.closed")]))
    await notifications.until(2)
    await ledger.until(1)
    await asyncio.sleep(SETTLE_S)
    assert ledger.ids == ["evt_1"]
    assert notifications.ids == ["evt_1", "evt_2"]


async def test_leftover_comes_again_through_the_ladder(harness: Harness) -> None:
    """The same id, body, headers and original key; one attempt more; the reason to be read."""
    seen = Seen(retried_once)
    await harness.bus.consume(QUEUE, seen)
    assert not any(await harness.bus.publish([message(1)]))
    first, again = await seen.until(2)
    assert (first.attempt, again.attempt) == (0, 1)
    assert again.message.id == "evt_1"
    assert again.message.routing_key == "pay.payment.paid"
    assert again.message.body == message(1).body
    assert again.message.headers == {**message(1).headers, REASON_HEADER: "not now"}
    assert again.delivery_count == 0


async def test_leftover_comes_only_to_the_queue_that_failed(harness: Harness) -> None:
    """A retry is no second publication: the other queue of the same event does not see it."""
    ledger, notifications = Seen(retried_once), Seen()
    await harness.bus.consume("clearing.ledger", ledger)
    await harness.bus.consume("trade.notifications", notifications)
    assert not any(await harness.bus.publish([message(1, "trade.trade.paid")]))
    await ledger.until(2)
    await asyncio.sleep(SETTLE_S)
    assert len(notifications.deliveries) == 1


async def test_part_of_a_batch_of_events_is_retried(harness: Harness) -> None:
    """A handler may hand back a smaller body: what it has handled does not come again."""

    def half(delivery: Delivery) -> Verdict:
        if delivery.attempt:
            return HANDLED
        return Verdict(
            retry=(Leftover(delivery.message.id, b"half", "later"),),
            dead=(Leftover(delivery.message.id, b"quarter", "never"),),
        )

    seen = Seen(half)
    await harness.bus.consume(QUEUE, seen)
    assert not any(await harness.bus.publish([message(1)]))
    assert [d.message.body for d in await seen.until(2)] == [message(1).body, b"half"]
    [dead] = await dead_letters(harness, QUEUE, 1)
    assert dead.message.body == b"quarter"


async def test_past_the_last_rung_it_is_parked(harness: Harness) -> None:
    """Five rungs, six attempts, then the dead letters, with the reason."""
    seen = Seen(always_retried)
    await harness.bus.consume(QUEUE, seen)
    assert not any(await harness.bus.publish([message(1)]))
    [dead] = await dead_letters(harness, QUEUE, 1)
    assert [d.attempt for d in seen.deliveries] == [0, 1, 2, 3, 4, 5]
    assert dead.message.headers[REASON_HEADER] == "gave up after 5 retries: not now"
    assert dead.message.routing_key == "pay.payment.paid"
    assert dead.attempt == 5


async def test_permanent_failure_is_parked_at_once(harness: Harness) -> None:
    """`dead` skips the ladder; its neighbours in the batch are not touched by it."""
    seen = Seen(
        lambda d: Verdict(dead=(whole(d, "x" * 900),)) if d.message.id == "evt_1" else HANDLED
    )
    await harness.bus.consume(QUEUE, seen)
    assert not any(await harness.bus.publish([message(n) for n in range(3)]))
    [dead] = await dead_letters(harness, QUEUE, 1)
    assert (dead.message.id, dead.attempt, dead.message.body) == ("evt_1", 0, message(1).body)
    assert dead.message.headers[REASON_HEADER] == "x" * 500
    assert sorted(seen.ids) == ["evt_0", "evt_1", "evt_2"]


class FailsFirst(Seen):
    """Raises for its first batches."""

    def __init__(self, times: int, error: Exception) -> None:
        super().__init__()
        self.times = times
        self.error = error

    async def __call__(self, deliveries: Sequence[Delivery]) -> Sequence[Verdict]:
        verdicts = await super().__call__(deliveries)
        if len(self.batches) <= self.times:
            raise self.error
        return verdicts


async def test_handler_that_raises_gets_its_batch_again(harness: Harness) -> None:
    """Nothing is acked; the broker's count goes up, our attempt does not."""
    seen = FailsFirst(1, ValueError("the database is away"))
    await harness.bus.consume(QUEUE, seen)
    assert not any(await harness.bus.publish([message(1)]))
    first, again = await seen.until(2)
    assert (first.delivery_count, again.delivery_count) == (0, 1)
    assert (first.attempt, again.attempt) == (0, 0)
    assert again.message == first.message


async def test_handler_that_hangs_is_cancelled_and_gets_its_batch_again(harness: Harness) -> None:
    seen = Seen()
    seen.gate.clear()
    await harness.bus.consume(QUEUE, seen, ConsumerOptions(handler_timeout_s=0.2))
    publishing = asyncio.create_task(_publish(harness, 1))
    await seen.until(2)
    seen.gate.set()
    await publishing
    assert set(seen.ids) == {"evt_1"}
    assert seen.under_way_most == 1


async def test_too_few_verdicts_are_a_failure(harness: Harness) -> None:
    calls = []

    async def forgetful(deliveries: Sequence[Delivery]) -> Sequence[Verdict]:
        calls.append(len(deliveries))
        return [] if len(calls) == 1 else [HANDLED] * len(deliveries)

    await harness.bus.consume(QUEUE, forgetful)
    assert not any(await harness.bus.publish([message(1)]))
    await eventually(lambda: len(calls) == 2)


async def test_after_three_failures_deliveries_come_alone(harness: Harness) -> None:
    """Something in the batch kills its handler: from the third time on each is tried by itself,
    so the innocent are handled and only the killer keeps coming."""
    poison = "evt_2"
    handled: list[str] = []
    sizes_with_poison: list[int] = []

    async def handler(deliveries: Sequence[Delivery]) -> Sequence[Verdict]:
        ids = [delivery.message.id for delivery in deliveries]
        if poison in ids:
            sizes_with_poison.append(len(ids))
            raise ValueError("poison")
        handled.extend(ids)
        return [HANDLED] * len(ids)

    publishing = [asyncio.create_task(_publish(harness, n)) for n in range(5)]
    await harness.queued(publishing)
    await harness.bus.consume(QUEUE, handler)
    [dead] = await dead_letters(harness, QUEUE, 1)
    await asyncio.gather(*publishing)
    await eventually(lambda: len(set(handled)) == 4)
    assert dead.message.id == poison
    assert dead.message.routing_key == "pay.payment.paid"
    assert "delivery_limit" in str(dead.message.headers[REASON_HEADER])
    assert sorted(set(handled)) == ["evt_0", "evt_1", "evt_3", "evt_4"]
    assert sizes_with_poison[-1] == 1
    assert len(sizes_with_poison) <= DELIVERY_LIMIT + 1


async def test_stop_ends_the_batch_and_leaves_the_rest(harness: Harness) -> None:
    """The batch under way ends before stop() returns; the next consumer gets what is left."""
    seen = Seen()
    seen.gate.clear()
    subscription = await harness.bus.consume(QUEUE, seen, ConsumerOptions(batch_deliveries_max=2))
    publishing = [asyncio.create_task(_publish(harness, n)) for n in range(6)]
    await seen.until(1)
    await harness.queued(publishing)
    stopping = asyncio.create_task(subscription.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    seen.gate.set()
    await stopping
    assert len(seen.batches) == 1

    next_one = Seen()
    await (await harness.another()).consume(QUEUE, next_one)
    await next_one.until(6 - len(seen.ids))
    await asyncio.gather(*publishing)
    await asyncio.sleep(SETTLE_S)
    assert sorted(seen.ids + next_one.ids) == [f"evt_{n}" for n in range(6)]


async def test_close_ends_the_batch_under_way(harness: Harness) -> None:
    """close() returns when the handler is done; afterwards nothing is taken any more."""
    seen = Seen()
    seen.gate.clear()
    await harness.bus.consume(QUEUE, seen)
    publishing = asyncio.create_task(harness.bus.publish([message(1)]))
    await seen.until(1)
    closing = asyncio.create_task(harness.bus.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    seen.gate.set()
    await closing
    assert list(await publishing) == [None]
    assert isinstance((await harness.bus.publish([message(2)]))[0], PublishFailed)
    with pytest.raises(RuntimeError):
        await harness.bus.consume(QUEUE, seen)


@pytest.fixture
def arm() -> Iterator[Callable[[str], None]]:
    """Arms a failpoint for one test."""
    yield failpoint.arm
    failpoint.arm("")


async def test_fault_before_publishing_is_a_failure_and_sends_nothing(
    harness: Harness, arm: Callable[[str], None]
) -> None:
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    arm("bus.before_publish:1:error")
    [outcome] = await harness.bus.publish([message(1)])
    assert isinstance(outcome, PublishFailed)
    await asyncio.sleep(SETTLE_S)
    assert seen.ids == []


async def test_fault_after_publishing_is_a_failure_of_what_was_sent(
    harness: Harness, arm: Callable[[str], None]
) -> None:
    """As when a crash loses the confirms: the outbox sends again, the inbox sees it twice."""
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    arm("bus.after_publish:1:error")
    [outcome] = await harness.bus.publish([message(1)])
    assert isinstance(outcome, PublishFailed)
    assert not any(await harness.bus.publish([message(1)]))
    await seen.until(2)
    assert seen.ids == ["evt_1", "evt_1"]


async def test_fault_before_the_ack_brings_the_batch_again(
    harness: Harness, arm: Callable[[str], None]
) -> None:
    """Row 34: handled, but not acked."""
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    arm("consumer.before_ack:1:error")
    assert not any(await harness.bus.publish([message(1)]))
    first, again = await seen.until(2)
    assert (first.delivery_count, again.delivery_count) == (0, 1)


async def test_consuming_an_unknown_queue_is_an_error(harness: Harness) -> None:
    with pytest.raises(TopologyError):
        await harness.bus.consume("no.such-queue", Seen())


async def test_two_consumers_of_a_queue_share_it(harness: Harness) -> None:
    """Each message goes to one of them."""
    one, other = Seen(), Seen()
    options = ConsumerOptions(prefetch=5, batch_deliveries_max=5)
    await harness.bus.consume(QUEUE, one, options)
    await (await harness.another()).consume(QUEUE, other, options)
    sent = 0

    async def both_have_some() -> None:
        nonlocal sent
        while not (one.ids and other.ids):  # the broker may know the first one only
            assert not any(await harness.bus.publish([message(sent + n) for n in range(50)]))
            sent += 50

    await asyncio.wait_for(both_have_some(), PATIENCE_S)
    await eventually(lambda: len(one.ids) + len(other.ids) == sent)
    assert sorted(one.ids + other.ids) == sorted(f"evt_{n}" for n in range(sent))


async def _publish(harness: Harness, number: int) -> None:
    assert not any(await harness.bus.publish([message(number)]))
