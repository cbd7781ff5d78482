"""The whole chain: purchases from CreateTrade to booked journals, one by one or in batches.

A turn is a fixed number of payments. Its time runs from the first call until the last payment is
booked, so what has piled up in queues counts. At most UNFINISHED_MAX payments are created and not
booked: if callers are faster than the books, they wait. So no step waits longer than its effect is
given, and what is measured is work, not what is done twice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from payments.trade.v1 import trade_pb2, trade_service_pb2, trade_service_pb2_grpc
from payments.type.v1 import money_pb2, tool_pb2

from paymesh.channel import open_channel
from paymesh.wire import time_to
from paymesh_ops.bench.backlog import Backlog, Look, backlog
from paymesh_ops.bench.cpu import Groups
from paymesh_ops.bench.load import RPC_TIMEOUT_S, called
from paymesh_ops.bench.measure import Done
from paymesh_ops.clients.requests import request_id

UNARY_CALLERS = 64
BATCH_CALLERS = 4
BATCH_PAYMENTS = 50
UNFINISHED_MAX = 2_000
EXPIRES_AFTER = timedelta(hours=6)
AMOUNT = money_pb2.Money(currency_code="EUR", minor_units=1234)
TOOL = tool_pb2.PaymentTool(amount=AMOUNT, channel=tool_pb2.ChannelTool(channel="loopback"))

Order = trade_service_pb2.CreateTradeRequest


class Market(Protocol):
    """Where the purchases are made: ours, or the reference."""

    @property
    def target(self) -> str:
        """Where TradeService answers."""

    @property
    def business_code(self) -> Mapping[str, str]:
        """merchant_id, order_type, sub_type, pay_org_no."""

    @property
    def look_every_s(self) -> float:
        """How often it may be asked what is booked."""

    def booked(self) -> AbstractAsyncContextManager[Look]:
        """Tells how many payments are booked so far."""

    async def wrong(self, paid: int) -> Sequence[str]:
        """What is wrong with books in which so many payments must be."""


@dataclass
class Purchases:
    """Each caller sends a CreateTrade, then its PayTrade, then the next; or batches of both."""

    name: str
    groups: Groups
    market: Market
    payments: int
    """So many a turn."""
    batches: bool = False
    unit: str = "payments"
    paid: int = 0
    orders: Sequence[Order] = ()
    """Of the next turn."""
    latencies_s: list[float] = field(default_factory=list)
    """Of the calls that create trades."""

    async def warm_up(self, payments: int) -> None:
        """Once through the chain, so that everything is open and has run."""
        self.orders = [self._order() for _ in range(payments)]
        await self.turn()

    async def prepare(self) -> None:
        self.orders = [self._order() for _ in range(self.payments)]

    def _order(self) -> Order:
        return Order(
            **self.market.business_code,
            request_id=request_id(),
            merchant_order_no=f"order-{secrets.token_hex(5)}",
            type=trade_pb2.TRADE_TYPE_INSTANT,
            amount=AMOUNT,
            subject="One book",
            payer_id="customer-7",
            expire_time=time_to(datetime.now(UTC) + EXPIRES_AFTER),
        )

    async def turn(self) -> Done:
        self.latencies_s = []
        async with open_channel(self.market.target) as channel, self.market.booked() as look:
            await channel.channel_ready()
            trades = trade_service_pb2_grpc.TradeServiceStub(channel)
            async with backlog(
                look, most=UNFINISHED_MAX, every_s=self.market.look_every_s
            ) as payments:
                started = time.perf_counter()
                await self._bought(trades, payments)
                await payments.over()
                seconds = time.perf_counter() - started
        self.paid += len(self.orders)
        return Done(len(self.orders), seconds, self.latencies_s)

    async def _bought(self, trades: Any, payments: Backlog) -> None:
        """All orders are created and their payments started."""

        async def one(order: Order) -> None:
            await payments.begin()
            created = await self._timed(trades.CreateTrade, order)
            await trades.PayTrade(_payment(created.trade), timeout=RPC_TIMEOUT_S)

        async def batch(orders: Sequence[Order]) -> None:
            await payments.begin(len(orders))
            created = await self._timed(trades.BatchCreateTrades, _creations(orders))
            request = _payments([response.trade for response in _done(created.results)])
            _done((await trades.BatchPayTrades(request, timeout=RPC_TIMEOUT_S)).results)

        if self.batches:
            size = BATCH_PAYMENTS
            parts = [self.orders[n : n + size] for n in range(0, len(self.orders), size)]
            await called(parts, batch, callers=BATCH_CALLERS)
        else:
            await called(self.orders, one, callers=UNARY_CALLERS)

    async def _timed(self, method: Any, request: Any) -> Any:
        started = time.perf_counter()
        response = await method(request, timeout=RPC_TIMEOUT_S)
        self.latencies_s.append(time.perf_counter() - started)
        return response

    async def wrong(self) -> Sequence[str]:
        return await self.market.wrong(self.paid)


def _payment(trade: trade_pb2.Trade) -> trade_service_pb2.PayTradeRequest:
    return trade_service_pb2.PayTradeRequest(
        request_id=request_id(),
        merchant_id=trade.merchant_id,
        trade_id=trade.trade_id,
        tools=[TOOL],
    )


def _creations(orders: Sequence[Order]) -> trade_service_pb2.BatchCreateTradesRequest:
    item = trade_service_pb2.BatchCreateTradesItem
    return trade_service_pb2.BatchCreateTradesRequest(items=[item(request=o) for o in orders])


def _payments(trades: Sequence[trade_pb2.Trade]) -> trade_service_pb2.BatchPayTradesRequest:
    item = trade_service_pb2.BatchPayTradesItem
    return trade_service_pb2.BatchPayTradesRequest(
        items=[item(request=_payment(trade)) for trade in trades]
    )


def _done(results: Sequence[Any]) -> Sequence[Any]:
    """The responses of a batch. Raises RuntimeError if one was refused."""
    for result in results:
        if result.WhichOneof("result") == "error":
            raise RuntimeError(f"a payment was refused: {result.error.message}")
    return [result.response for result in results]
