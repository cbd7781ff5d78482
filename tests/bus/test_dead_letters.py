"""Dead letters on both buses: looked at, given back, removed."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from payments.type.v1.event_pb2 import Event, EventBatch

from paymesh.bus.dead import UNROUTED
from paymesh.bus.port import HANDLED, Delivery, Leftover, Message, Verdict
from tests.bus.contract import Harness, Seen, eventually

QUEUE = "trade.payments"


def told(number: int) -> Message:
    event = Event(event_id=f"evt_{number}", type="pay.payment.paid", aggregate_id=f"pay_{number}")
    body = EventBatch(events=[event]).SerializeToString()
    return Message(event.event_id, event.type, body, {"traceparent": "00-ab-cd-01"})


def park(delivery: Delivery) -> Verdict:
    """What comes for the first time is refused."""
    if delivery.attempt or "again" in delivery.message.headers:
        return HANDLED
    return Verdict(dead=(Leftover(delivery.message.id, delivery.message.body, "NO: never"),))


async def parked(harness: Harness, *messages: Message) -> Seen:
    """They are published, refused and parked; what comes from then on is taken."""
    seen = Seen(park)
    await harness.bus.consume(QUEUE, seen)
    assert not any(await harness.bus.publish(list(messages)))
    await eventually(lambda: harness.dead().depths() == {QUEUE: len(messages)})
    seen.answer = lambda _delivery: HANDLED
    return seen


async def test_letters_tell_what_why_and_since_when_and_stay(harness: Harness) -> None:
    before = int(time.time())
    await parked(harness, *(told(n) for n in range(3)))
    for _ in range(2):
        found = [taken.letter for taken in harness.dead().each(QUEUE)]
        assert [letter.message_id for letter in found] == ["evt_0", "evt_1", "evt_2"]
        assert [e.aggregate_id for letter in found for e in letter.events] == [
            "pay_0", "pay_1", "pay_2",
        ]  # fmt: skip
        assert {(x.queue, x.reason, x.routing_key, x.attempts) for x in found} == {
            (QUEUE, "NO: never", "pay.payment.paid", 0)
        }
        for letter in found:
            assert letter.parked_at is not None
            assert datetime.fromtimestamp(before, UTC) <= letter.parked_at <= datetime.now(UTC)
    assert await harness.bus.parked(QUEUE) == 3
    assert await harness.bus.parked("clearing.ledger") == 0


async def test_a_letter_goes_back_to_its_consumer_alone(harness: Harness) -> None:
    """As it was published, its reason gone; the others stay, in their order."""
    seen = await parked(harness, *(told(n) for n in range(3)))
    for taken in harness.dead().each(QUEUE):
        if taken.letter.message_id == "evt_1":
            taken.replay()
    *_, again = await seen.until(4)
    assert (again.message, again.queue, again.attempt) == (told(1), QUEUE, 0)
    left = [taken.letter.message_id for taken in harness.dead().each(QUEUE)]
    assert left == ["evt_0", "evt_2"]


async def test_one_that_fails_again_is_parked_again(harness: Harness) -> None:
    seen = await parked(harness, told(1))
    seen.answer = park
    for taken in harness.dead().each(QUEUE):
        taken.replay()
    await seen.until(2)
    await eventually(lambda: harness.dead().depths() == {QUEUE: 1})


async def test_a_letter_that_is_removed_is_gone(harness: Harness) -> None:
    await parked(harness, told(1), told(2))
    for taken in harness.dead().each(QUEUE):
        if taken.letter.message_id == "evt_2":
            taken.remove()
    assert [taken.letter.message_id for taken in harness.dead().each(QUEUE)] == ["evt_1"]


async def test_a_letter_that_nobody_can_read_has_no_events(harness: Harness) -> None:
    await parked(harness, Message("msg_1", "pay.payment.paid", b"\xff\xff"))
    [taken] = harness.dead().each(QUEUE)
    assert (taken.letter.events, taken.letter.body) == ((), b"\xff\xff")
    assert list(harness.dead().each(UNROUTED)) == []
