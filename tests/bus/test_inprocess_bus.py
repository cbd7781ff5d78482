"""What only the bus in memory promises: its confirms stand for commits."""

from __future__ import annotations

import asyncio
import time

from paymesh.bus.inprocess import InProcessBus, InProcessLimits
from paymesh.bus.port import HANDLED, REASON_HEADER, Delivery, Leftover, PublishFailed, Verdict
from tests.bus.contract import PATIENCE_S, InProcessHarness, Seen, message, topology_for_tests

QUEUE = "trade.payments"


async def test_message_is_confirmed_only_when_it_is_handled(
    inprocess_harness: InProcessHarness,
) -> None:
    """Its outbox row must live as long as the message exists only in memory."""
    bus, seen = inprocess_harness.bus, Seen()
    seen.gate.clear()
    await bus.consume(QUEUE, seen)
    publishing = asyncio.create_task(bus.publish([message(1)]))
    await seen.until(1)
    await asyncio.sleep(0.05)
    assert not publishing.done()
    seen.gate.set()
    assert list(await publishing) == [None]


async def test_message_is_confirmed_when_every_bound_queue_has_handled_it(
    inprocess_harness: InProcessHarness,
) -> None:
    bus, fast, slow = inprocess_harness.bus, Seen(), Seen()
    slow.gate.clear()
    await bus.consume("clearing.ledger", fast)
    await bus.consume("trade.notifications", slow)
    publishing = asyncio.create_task(bus.publish([message(1, "trade.trade.paid")]))
    await fast.until(1)
    await slow.until(1)
    assert not publishing.done()
    slow.gate.set()
    assert list(await publishing) == [None]


async def test_without_a_consumer_it_is_held_and_reported_as_not_handled() -> None:
    """Start-up does not wait for long; the consumer that comes later gets it all the same."""
    bus, seen = (
        InProcessBus(topology_for_tests(), limits=InProcessLimits(consumer_wait_s=0.1)),
        Seen(),
    )
    async with asyncio.timeout(PATIENCE_S):
        [outcome] = await bus.publish([message(1)])
    assert isinstance(outcome, PublishFailed)
    assert "trade.payments" in str(outcome)
    await bus.consume(QUEUE, seen)
    await seen.until(1)
    await bus.close()


async def test_publisher_that_waits_does_not_keep_others(
    inprocess_harness: InProcessHarness,
) -> None:
    """A handler that takes long holds only what it handles."""
    bus, slow, fast = inprocess_harness.bus, Seen(), Seen()
    slow.gate.clear()
    await bus.consume(QUEUE, slow)
    await bus.consume("clearing.ledger", fast)
    waiting = asyncio.create_task(bus.publish([message(1)]))
    await slow.until(1)
    assert list(await bus.publish([message(2, "pay.instruction.succeeded")])) == [None]
    slow.gate.set()
    await waiting


async def test_same_message_again_joins_the_one_that_is_held(
    inprocess_harness: InProcessHarness,
) -> None:
    """A relay that sends the row again makes no second copy, and learns the outcome too."""
    bus, seen = inprocess_harness.bus, Seen()
    seen.gate.clear()
    await bus.consume(QUEUE, seen)
    first = asyncio.create_task(bus.publish([message(1)]))
    await seen.until(1)
    second = asyncio.create_task(bus.publish([message(1)]))
    await asyncio.sleep(0.05)
    seen.gate.set()
    assert list(await first) == list(await second) == [None]
    assert seen.ids == ["evt_1"]
    assert list(await bus.publish([message(1)])) == [None]
    assert seen.ids == ["evt_1", "evt_1"]


async def test_publish_ends_at_its_deadline() -> None:
    """A handler that never ends does not keep the publisher for ever."""
    bus = InProcessBus(
        topology_for_tests(), limits=InProcessLimits(publish_timeout_s=0.2, consumer_wait_s=0.1)
    )
    seen = Seen()
    seen.gate.clear()
    await bus.consume(QUEUE, seen)
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        [outcome] = await bus.publish([message(1)])
    assert isinstance(outcome, PublishFailed)
    assert time.monotonic() - began > 0.15
    seen.gate.set()
    await bus.close()


async def test_full_queue_refuses() -> None:
    """Memory is bounded: the outbox keeps what finds no room."""
    limits = InProcessLimits(queue_messages_max=2, consumer_wait_s=0.01)
    bus = InProcessBus(topology_for_tests(), limits=limits)
    outcomes = await bus.publish([message(n) for n in range(3)])
    assert ["is full" in str(outcome) for outcome in outcomes] == [False, False, True]
    await bus.close()


async def test_leftover_without_room_keeps_its_delivery() -> None:
    """Parked or handled, but never dropped: a full dead-letter queue makes it come again."""
    limits = InProcessLimits(queue_messages_max=1, reopen_min_s=0.01, reopen_max_s=0.02)
    bus = InProcessBus(topology_for_tests(), limits=limits)

    def park(delivery: Delivery) -> Verdict:
        if delivery.delivery_count:
            return HANDLED
        return Verdict(dead=(Leftover(delivery.message.id, delivery.message.body, "bad"),))

    seen = Seen(park)
    await bus.consume(QUEUE, seen)
    assert list(await bus.publish([message(1)])) == [None]
    assert list(await bus.publish([message(2)])) == [None]
    assert [d.delivery_count for d in seen.deliveries if d.message.id == "evt_2"] == [0, 1]
    [dead] = bus.dead_letters(QUEUE)
    assert (dead.message.id, dead.message.headers[REASON_HEADER]) == ("evt_1", "bad")
    await bus.close()
