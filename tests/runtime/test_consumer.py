"""From the bus to the core: each event counts once, and a bad one never stops its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from payments.pay.v1 import payment_events_pb2, payment_pb2
from payments.type.v1 import context_pb2, money_pb2
from payments.type.v1.event_pb2 import Event, EventBatch

from paymesh.bus.port import HANDLED, Delivery, Leftover, Message
from paymesh.clock import SystemClock
from paymesh.consumer import Consumer
from paymesh.errors import IllegalMove, Internal, Overloaded, PaymentError, Unavailable
from paymesh.ids import new_id
from paymesh.items import Item, Outcome
from paymesh.store.memory import MemoryStore
from paymesh.store.port import Store
from paymesh.store.postgres import PostgresStore
from paymesh.wire import call_context_of
from tests.runtime.world import (
    BUCKET,
    CONTEXT,
    Database,
    create,
    done,
    new_trade_id,
    one,
    pay,
    shell_on,
    trade_of,
)
from trade_svc import consumers
from trade_svc.trades.model import TradeState

QUEUE = consumers.PAYMENTS


class Trades:
    """The trade core's consumer of payment events, on a store."""

    def __init__(self, store: Store) -> None:
        self.store, self.shell = store, shell_on(store)
        known = consumers.payments(self, SystemClock())  # its shell only
        self.consumer: Consumer = known

    async def paying(self) -> tuple[str, str]:
        """A trade with a payment under way."""
        item = create(f"order-{new_trade_id()}")
        done(await one(self.shell, item))
        payment_id = new_id("pay", bucket=BUCKET)
        done(await one(self.shell, pay(item.command.trade_id, payment_id=payment_id)))
        return item.command.trade_id, payment_id

    async def state(self, trade_id: str) -> tuple[TradeState, int]:
        trade = await trade_of(self.store, trade_id)
        return trade.state, trade.version


@pytest.fixture(params=["memory", "postgres"])
def trades(request: pytest.FixtureRequest) -> Trades:
    if request.param == "memory":
        return Trades(MemoryStore(SystemClock()))
    store: PostgresStore = request.getfixturevalue("postgres_store")
    return Trades(store)


def succeeded(trade_id: str, payment_id: str, **changes: Any) -> Event:
    payment = payment_pb2.Payment(
        payment_id=payment_id,
        trade_id=trade_id,
        state=payment_pb2.PAYMENT_STATE_SUCCEEDED,
        amount=money_pb2.Money(currency_code="CNY", minor_units=100),
    )
    event = Event(
        event_id=new_id("evt", bucket=BUCKET),
        type="pay.payment.succeeded",
        schema_version=1,
        aggregate_id=payment_id,
        sequence=2,
        call_context=call_context_of(CONTEXT),
        payload=payment_events_pb2.PaymentMoved(payment=payment).SerializeToString(),
    )
    event.MergeFrom(Event(**changes))
    return event


def delivery(*events: Event, body: bytes | None = None) -> Delivery:
    data = EventBatch(events=events).SerializeToString() if body is None else body
    return Delivery(Message("msg_1", "pay.payment.succeeded", data), QUEUE, 0, 0)


def ids(leftovers: Sequence[Leftover]) -> list[str]:
    return [e.event_id for part in leftovers for e in EventBatch.FromString(part.body).events]


async def test_an_event_is_handled_and_its_duplicate_changes_nothing(trades: Trades) -> None:
    """In the same batch, in the next one, and in another process."""
    trade_id, payment_id = await trades.paying()
    event = succeeded(trade_id, payment_id)
    verdicts = await trades.consumer.handle([delivery(event, event), delivery(event)])
    assert verdicts == [HANDLED, HANDLED]
    assert await trades.state(trade_id) == (TradeState.PAID, 3)
    assert await Trades(trades.store).consumer.handle([delivery(event)]) == [HANDLED]
    assert await trades.state(trade_id) == (TradeState.PAID, 3)


async def test_a_bad_event_in_a_batch_is_parked_alone(trades: Trades) -> None:
    """Its neighbours in the same message are handled, and are not in what is left over."""
    first, second = await trades.paying(), await trades.paying()
    bad = succeeded(*first, payload=b"\xff\xff")
    [verdict] = await trades.consumer.handle([delivery(succeeded(*first), bad, succeeded(*second))])
    assert (verdict.retry, ids(verdict.dead)) == ((), [bad.event_id])
    assert verdict.dead[0].message_id == "msg_1"
    for trade_id in (first[0], second[0]):
        assert (await trades.state(trade_id))[0] is TradeState.PAID


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"type": "pay.payment.exploded"}, "pay.payment.exploded"),
        ({"payload": b"\xff"}, "DecodeError"),
    ],
)
async def test_what_we_do_not_understand_is_parked_with_the_reason(
    trades: Trades, change: dict[str, Any], reason: str
) -> None:
    trade_id, payment_id = await trades.paying()
    event = succeeded(trade_id, payment_id, **change)
    [verdict] = await trades.consumer.handle([delivery(event)])
    assert (verdict.retry, ids(verdict.dead)) == ((), [event.event_id])
    assert reason in verdict.dead[0].reason
    assert (await trades.state(trade_id))[0] is TradeState.PAYING


async def test_shadow_traffic_is_parked_with_the_reason(trades: Trades) -> None:
    """It moves nothing, and holds up nobody in its message."""
    first, second = await trades.paying(), await trades.paying()
    shadow = succeeded(*first)
    shadow.call_context.context.traffic = context_pb2.TRAFFIC_SHADOW
    [verdict] = await trades.consumer.handle([delivery(shadow, succeeded(*second))])
    assert (verdict.retry, ids(verdict.dead)) == ((), [shadow.event_id])
    assert verdict.dead[0].reason.startswith("SHADOW_NOT_DEPLOYED")
    assert (await trades.state(first[0]))[0] is TradeState.PAYING
    assert (await trades.state(second[0]))[0] is TradeState.PAID


async def test_an_unreadable_message_is_parked_whole_and_its_neighbours_are_handled(
    trades: Trades,
) -> None:
    trade_id, payment_id = await trades.paying()
    poison, good = delivery(body=b"\xff\xff\xff"), delivery(succeeded(trade_id, payment_id))
    verdicts = await trades.consumer.handle([poison, good])
    assert verdicts[1] == HANDLED
    [leftover] = verdicts[0].dead
    assert (leftover.message_id, leftover.body) == ("msg_1", b"\xff\xff\xff")
    assert leftover.reason.startswith("not readable")
    assert (await trades.state(trade_id))[0] is TradeState.PAID


async def test_what_is_not_there_yet_is_retried_and_counts_when_it_comes(trades: Trades) -> None:
    """The event may have overtaken what it is about."""
    trade_id, payment_id = await trades.paying()
    early, good = succeeded(new_trade_id(), payment_id), succeeded(trade_id, payment_id)
    [verdict] = await trades.consumer.handle([delivery(early, good)])
    assert (ids(verdict.retry), verdict.dead) == ([early.event_id], ())
    assert verdict.retry[0].reason.startswith("NOT_FOUND")
    [again] = await trades.consumer.handle([delivery(body=verdict.retry[0].body)])
    assert ids(again.retry) == [early.event_id], "a refused event is not taken for seen"


@pytest.mark.parametrize("trade_id", ["", "nonsense", "trd_!!", "a\x00b"])
async def test_an_event_about_an_impossible_id_does_not_stop_its_neighbours(
    trades: Trades, trade_id: str
) -> None:
    """Else the whole batch would come again, for ever."""
    known_id, payment_id = await trades.paying()
    bad, good = succeeded(trade_id, payment_id), succeeded(known_id, payment_id)
    [verdict] = await trades.consumer.handle([delivery(bad, good)])
    assert ids([*verdict.retry, *verdict.dead]) == [bad.event_id]
    assert (await trades.state(known_id))[0] is TradeState.PAID


@pytest.mark.parametrize(
    ("error", "later"),
    [
        (Unavailable("x"), True),
        (Internal("x"), True),
        (Overloaded("x"), True),
        (IllegalMove("x"), False),
    ],
)
async def test_what_may_pass_is_retried_and_what_is_final_is_parked(
    error: PaymentError, later: bool
) -> None:
    async def process(items: Sequence[Item]) -> Sequence[Outcome]:
        return [error for _ in items]

    consumer = Consumer(QUEUE, {"pay.payment.succeeded": lambda e: e}, process, SystemClock())
    event = succeeded("trd_1", "pay_1")
    [verdict] = await consumer.handle([delivery(event)])
    left, other = (verdict.retry, verdict.dead) if later else (verdict.dead, verdict.retry)
    assert (ids(left), other) == ([event.event_id], ())
    assert left[0].reason == f"{error.reason}: x"


async def test_an_event_that_means_nothing_to_us_is_handled_without_the_core() -> None:
    async def process(items: Sequence[Item]) -> Sequence[Outcome]:
        raise AssertionError("there is nothing to do")

    consumer = Consumer(QUEUE, {"pay.payment.succeeded": lambda e: None}, process, SystemClock())
    assert await consumer.handle([delivery(succeeded("trd_1", "pay_1")), delivery()]) == [
        HANDLED,
        HANDLED,
    ]


async def test_a_batch_of_deliveries_is_one_transaction(
    postgres_store: PostgresStore, database: Database
) -> None:
    trades = Trades(postgres_store)
    under_way = [await trades.paying() for _ in range(10)]
    deliveries = [delivery(succeeded(*names)) for names in under_way]
    assert await trades.consumer.handle(deliveries) == [HANDLED] * 10
    assert database.transactions("trade") == 1
    assert (database.transactions("inbox"), database.count("inbox")) == (1, 10)
