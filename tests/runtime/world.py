"""What the runtime's tests are made of: trades, their commands as items, a database to look at."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from payments.trade.v1 import trade_service_pb2

from paymesh import rpc
from paymesh.clock import SystemClock
from paymesh.context import Call, Context
from paymesh.errors import PaymentError
from paymesh.ids import new_id
from paymesh.items import Done, Item, Outcome
from paymesh.money import Money
from paymesh.shell import Publisher, Rule, Shell
from paymesh.store.port import Store, StoredEvent
from paymesh.tools import Tool
from paymesh.wire import money_to
from tests import databases
from trade_svc import wire
from trade_svc.merchants.domain import Merchant, MerchantState
from trade_svc.store import TRADES
from trade_svc.trades import domain, model
from trade_svc.trades.model import (
    Attempt,
    AttemptState,
    CloseReason,
    CloseTrade,
    CreateTrade,
    PaymentMoved,
    PaymentOutcome,
    PayTrade,
    Trade,
    TradeState,
    TradeType,
    TradeView,
)

BUCKET = 77
MERCHANT = "mer_cnaaaaaaaaaaaaaaaaaaaaaaaaaa"
CONTEXT = Context("biz_1", MERCHANT, "web", "shoes", "2088")


class Database(databases.Database):
    def count(self, table: str) -> int:
        return int(self.query(f"SELECT count(*) FROM {table}")[0][0])

    def transactions(self, table: str) -> int:
        """How many transactions wrote the rows that are there: PostgreSQL notes it in each."""
        return int(self.query(f"SELECT count(DISTINCT xmin::text) FROM {table}")[0][0])

    def kill_open_transactions(self) -> None:
        """Ends the application's connections that wait inside a transaction."""
        self.query(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s "
            "AND usename = 'paymesh_trade_app' AND state = 'idle in transaction'",
            self.name,
        )


class QuickClock(SystemClock):
    """Real time, but nobody waits."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(0)


@dataclass
class Published:
    """A publisher that only remembers."""

    events: list[StoredEvent] = field(default_factory=list)

    def offer(self, events: Sequence[StoredEvent]) -> None:
        self.events.extend(events)


TIMING = model.TradeTiming()
RULES: dict[type, Rule] = {
    CreateTrade: domain.create_trade,
    PayTrade: partial(domain.pay_trade, timing=TIMING),
    CloseTrade: partial(domain.close_trade, timing=TIMING),
    PaymentMoved: partial(domain.payment_moved, timing=TIMING),
}


def shell_on(
    store: Store, *, rules: Mapping[type, Rule] = {}, publisher: Publisher | None = None
) -> Shell[TradeView]:
    """The trade core's shell; `rules` stand in for its own."""
    return Shell(
        store=store,
        aggregate=TRADES,
        rules={**RULES, **rules},
        encode=wire.encode,
        clock=QuickClock(),
        publisher=publisher or Published(),
    )


def new_trade_id() -> str:
    return new_id("trd", bucket=BUCKET)


def request_id() -> str:
    return str(uuid.uuid4())


def call(*, seconds: float = 60, context: Context = CONTEXT) -> Call:
    return Call(context, time.monotonic() + seconds)


def create(
    order: str, *, minor: int = 100, rid: str = "", trade_id: str = "", **changes: Any
) -> Item:
    """CreateTrade as its RPC submits it."""
    rid = rid or request_id()
    request = trade_service_pb2.CreateTradeRequest(
        request_id=rid, merchant_order_no=order, amount=money_to(Money("CNY", minor))
    )
    command = CreateTrade(
        trade_id=trade_id or new_trade_id(),
        context=CONTEXT,
        type=TradeType.INSTANT,
        merchant_order_no=order,
        amount=Money("CNY", minor),
        subject="shoes",
        payer_id="usr_1",
        expires_at=None,
    )
    response = trade_service_pb2.CreateTradeResponse
    return Item(
        replace(command, **changes),
        call(),
        rpc.claim("CreateTrade", MERCHANT, request, rid),
        lambda view: response(trade=wire.trade_to(view)),
        response,
    )


def pay(trade_id: str, *, minor: int = 100, rid: str = "", payment_id: str = "") -> Item:
    rid = rid or request_id()
    tool = Tool("sandbox", Money("CNY", minor))
    request = trade_service_pb2.PayTradeRequest(
        request_id=rid, merchant_id=MERCHANT, trade_id=trade_id, tools=wire.tools_to([tool])
    )
    response = trade_service_pb2.PayTradeResponse
    return Item(
        PayTrade(trade_id, MERCHANT, payment_id or new_id("pay", bucket=BUCKET), (tool,)),
        call(),
        rpc.claim("PayTrade", trade_id, request, rid),
        lambda answer: response(trade=wire.trade_to(answer[0]), payment_id=answer[1]),
        response,
    )


def close(trade_id: str, *, rid: str = "") -> Item:
    rid = rid or request_id()
    request = trade_service_pb2.CloseTradeRequest(
        request_id=rid, merchant_id=MERCHANT, trade_id=trade_id
    )
    response = trade_service_pb2.CloseTradeResponse
    return Item(
        CloseTrade(trade_id, MERCHANT, CloseReason.REQUESTED, CONTEXT),
        call(),
        rpc.claim("CloseTrade", trade_id, request, rid),
        lambda view: response(trade=wire.trade_to(view)),
        response,
    )


def payment_moved(trade_id: str, payment_id: str, outcome: PaymentOutcome) -> Item:
    command = PaymentMoved(trade_id, payment_id, outcome, Money("CNY", 100), CONTEXT)
    return Item(command, call())


def verdicts(outcomes: Sequence[Outcome]) -> list[str]:
    """OK, AGAIN for a replay, or the refusal's reason."""
    return [
        o.reason if isinstance(o, PaymentError) else "AGAIN" if o.replayed else "OK"
        for o in outcomes
    ]


def done(outcome: Outcome) -> Done[Any, Any]:
    assert isinstance(outcome, Done), outcome
    return outcome


async def one(shell: Shell[TradeView], item: Item) -> Outcome:
    [outcome] = await shell.process([item])
    return outcome


async def view_of(store: Store, trade_id: str) -> TradeView:
    view: TradeView = (await store.load(TRADES, [trade_id]))[trade_id]
    return view


async def trade_of(store: Store, trade_id: str) -> Trade:
    trade = (await view_of(store, trade_id)).trade
    assert trade is not None
    return trade


def trade(**changes: Any) -> Trade:
    """A row of the trade table."""
    now = datetime.now(UTC)
    row = Trade(
        id=new_trade_id(),
        context=CONTEXT,
        version=1,
        state=TradeState.PENDING,
        type=TradeType.INSTANT,
        merchant_order_no="order",
        amount=Money("CNY", 100),
        subject="shoes",
        payer_id="usr_1",
        expires_at=now + timedelta(hours=1),
        created_at=now,
        next_action_at=now + timedelta(hours=1),
    )
    return replace(row, **changes)


def merchant() -> Merchant:
    """A row of the merchant table."""
    id_ = new_id("mer", bucket=BUCKET)
    state, at = MerchantState.ACTIVE, datetime.now(UTC)
    return Merchant(id_, CONTEXT, 1, state, "Shop", "", b"sealed", at)


def attempt(of: Trade, **changes: Any) -> Attempt:
    row = Attempt(
        id=new_id("pay", bucket=BUCKET),
        context=CONTEXT,
        version=1,
        state=AttemptState.PROCESSING,
        trade_id=of.id,
        tools=(Tool("sandbox", of.amount),),
        created_at=of.created_at,
    )
    return replace(row, **changes)


def stored_event(of: Trade, *, age_s: float = 0, published: bool = True) -> StoredEvent:
    return StoredEvent(
        id=new_id("evt", bucket=BUCKET),
        type="trade.trade.closed",
        aggregate_id=of.id,
        sequence=of.version,
        state=of.state,
        occurred_at=datetime.now(UTC) - timedelta(seconds=age_s),
        context=of.context,
        traceparent="00-1-2-01",
        payload=b"payload",
        published=published,
    )


async def pending(shell: Shell[TradeView], order: str = "first") -> str:
    """A new trade, ready to be paid."""
    item = create(order)
    done(await one(shell, item))
    return str(item.command.trade_id)
