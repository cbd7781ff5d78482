"""Events become journals: each fact once, in any order, however often and under whatever id."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from payments.type.v1 import event_pb2

from clearing_svc import consumers
from clearing_svc.ledger.fees import Fees
from clearing_svc.ledger.loading import HERE, load_templates
from paymesh.app import App
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.port import HANDLED, Delivery, Verdict
from paymesh.clock import SystemClock
from tests.clearing.conftest import Database, World
from tests.clearing.ledger_messages import instruction, message, money, paid
from tests.clearing.ledger_world import CHANNEL, CONFIG, signed_sum


def give_back(minor: int, **changes: Any) -> event_pb2.Event:
    """A collection is taken back."""
    return instruction("succeeded", minor, kind="CHANNEL_REFUND", compensates="ins_1", **changes)


async def test_a_collection_waits_in_transit(world: World) -> None:
    assert await world.hears(instruction("succeeded", 10_000)) == HANDLED
    assert world.balances == {"CHANNEL_RECEIVABLE": 10_000, "PAYER_TRANSIT": 10_000}
    assert world.journals == ["pay.instruction.succeeded/collect"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_a_payment_is_booked_whole_in_any_order_of_its_events(
    world: World, order: tuple[int, ...]
) -> None:
    """Collected, attributed less the fee; a refund of another collection comes in between."""
    events = [
        instruction("succeeded", 10_000),
        paid(10_000),
        give_back(300, key="ins_9", event_id="evt_9"),
    ]
    for index in order:
        assert await world.hears(events[index]) == HANDLED
    assert world.balances == {
        "CHANNEL_RECEIVABLE": 9_700,
        "PAYER_TRANSIT": -300,
        "MERCHANT_PENDING": 9_940,
        "FEE_INCOME": 60,
    }
    assert signed_sum(world.balances) == 0


async def test_a_refund_returns_what_was_collected(world: World) -> None:
    await world.hears(instruction("succeeded", 500))
    assert await world.hears(give_back(500, key="ins_2", event_id="evt_2")) == HANDLED
    assert world.balances == {}
    assert len(world.journals) == 2


async def test_what_moved_otherwise_than_instructed_is_held_at_what_moved(world: World) -> None:
    verdict = await world.hears(instruction("suspended", 10_000, observed=money(9_000)))
    assert verdict == HANDLED
    assert world.balances == {"CHANNEL_RECEIVABLE": 9_000, "SUSPENSE": 9_000}


async def test_a_refund_that_was_carried_out_otherwise_is_held_as_well(world: World) -> None:
    refund = instruction("suspended", 500, kind="CHANNEL_REFUND", observed=money(400))
    assert await world.hears(refund) == HANDLED
    assert world.balances == {"CHANNEL_RECEIVABLE": -400, "SUSPENSE": -400}


async def test_attribution_and_fee_are_one_transaction(world: World) -> None:
    """The inbox, both journals and all balances commit together, or none of them."""
    commits = []
    original = world.store.transaction

    def counted() -> Any:
        commits.append(1)
        return original()

    world.store.transaction = counted
    await world.hears(paid(10_000))
    assert len(commits) == 1
    assert world.journals == ["trade.trade.paid/attribution", "trade.trade.paid/fee"]
    assert len(world.store.seen) == 1


async def test_an_event_that_comes_again_is_handled_and_not_booked(world: World) -> None:
    """Again in the same message, again later, and again under a new event id."""
    event = paid(10_000)
    assert await world.hears(event, event) == HANDLED
    assert await world.hears(event) == HANDLED
    assert await world.hears(paid(10_000, event_id="evt_again")) == HANDLED
    assert world.balance("MERCHANT_PENDING") == 9_940
    assert len(world.journals) == 2


async def test_a_fee_that_changed_since_books_nothing_more(world: World) -> None:
    """Booked without a fee, told again under a new id when there is one: it stays as it was."""
    free = load_templates(HERE / "templates.yaml", CONFIG.chart, Fees({"INSTANT": Decimal(0)}))
    of_today, world.consumer = (
        world.consumer,
        consumers.ledger(world.core, consumers.bookings(free), CONFIG.chart, SystemClock()),
    )
    assert await world.hears(paid(10_000)) == HANDLED
    world.consumer = of_today
    assert await world.hears(paid(10_000, event_id="evt_again")) == HANDLED
    assert world.journals == ["trade.trade.paid/attribution"]


async def test_another_amount_under_a_used_business_key_is_parked(world: World) -> None:
    await world.hears(paid(10_000))
    verdict = await world.hears(paid(9_999, event_id="evt_other"))
    assert "JOURNAL_KEY_REUSED" in verdict.dead[0].reason
    assert world.balance("MERCHANT_PENDING") == 9_940


async def test_what_cannot_be_booked_is_parked_and_its_neighbours_are_booked(world: World) -> None:
    """Only the bad events of a message are left over, with the reason."""
    strange = instruction("succeeded", 5, kind="UNSPECIFIED", key="ins_3", event_id="evt_3")
    product = paid(5, key="trd_4", event_id="evt_4", product="NO_SUCH")
    nothing = instruction("suspended", 5, key="ins_5", event_id="evt_5")
    later = paid(7, key="trd_6", event_id="evt_6")
    later.schema_version = 9
    unknown = paid(8, key="trd_7", event_id="evt_7")
    unknown.type = "trade.trade.eaten"
    currency = instruction("suspended", 5, key="ins_8", event_id="evt_8", observed=money(5, "XXZ"))
    good = instruction("succeeded", 5)
    bad = [strange, product, nothing, later, unknown]
    verdict = await world.hears(strange, product, good, nothing, later, unknown, currency)
    left = event_pb2.EventBatch.FromString(verdict.dead[0].body).events
    assert [event.event_id for event in left] == [event.event_id for event in [*bad, currency]]
    assert verdict.retry == ()
    assert world.balances == {"CHANNEL_RECEIVABLE": 5, "PAYER_TRANSIT": 5}


async def test_the_bus_feeds_the_books_in_the_real_database(
    app: App, bus: InProcessBus, database: Database
) -> None:
    """The work role as bootstrap made it: duplicate deliveries book each event once."""

    async def merchant(deliveries: Sequence[Delivery]) -> list[Verdict]:
        return [HANDLED for _ in deliveries]

    await bus.consume("trade.notifications", merchant)  # paid trades are bound there, too
    events = [instruction("succeeded", 100, key=f"ins_{n}", event_id=f"evt_c{n}") for n in range(5)]
    trades = [paid(100, key=f"trd_{n}", event_id=f"evt_t{n}") for n in range(5)]
    batches = [message(*trades), message(*events), message(*events, *events), message(*trades)]
    for batch in batches:
        assert list(await bus.publish([batch])) == [None]
    renamed = [paid(100, key=f"trd_{n}", event_id=f"evt_new{n}") for n in range(5)]
    assert list(await bus.publish([message(*renamed)])) == [None]
    assert bus.dead_letters("clearing.ledger") == []
    rows = database.query("SELECT subject, owner, balance_minor FROM account ORDER BY subject")
    assert rows == [
        ("CHANNEL_RECEIVABLE", CHANNEL, 500),
        ("FEE_INCOME", "platform", 5),
        ("MERCHANT_PENDING", "mer_1", 495),
        ("PAYER_TRANSIT", "platform", 0),
    ]
    assert database.query("SELECT count(*) FROM journal") == [(15,)]
    assert database.query("SELECT count(*) FROM inbox") == [(15,)]
