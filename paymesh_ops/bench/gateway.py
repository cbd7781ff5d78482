"""The gateway alone: BatchPrepay of 50 until the orders have succeeded and it has been told.

Nobody listens to what it tells: these orders belong to no payment. So it has databases of its own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from payments.gateway.v1 import channel_service_pb2, channel_service_pb2_grpc

from paymesh.channel import open_channel
from paymesh.context import Context
from paymesh.ids import BUCKETS, body_of, new_id
from paymesh.wire import call_context_of, time_to
from paymesh_ops.bench.backlog import backlog, looking
from paymesh_ops.bench.books import Books
from paymesh_ops.bench.chain import AMOUNT, BATCH_PAYMENTS, TOOL, UNFINISHED_MAX
from paymesh_ops.bench.cpu import Groups
from paymesh_ops.bench.load import RPC_TIMEOUT_S, called
from paymesh_ops.bench.measure import Done
from paymesh_ops.clients.requests import request_id

CALLERS = 4
EXPIRES_AFTER = timedelta(hours=6)
INVARIANTS_ALONE = frozenset({9, 10, 11, 12, 18, 19})
"""Of paymesh_ops.check: what must hold of a gateway that nobody listens to."""

_WAITING = """
    SELECT (SELECT count(*) FROM channel_order WHERE next_action_at IS NOT NULL)
        + (SELECT count(*) FROM outbox_due)
"""
_SUCCEEDED = "SELECT count(*) FROM channel_order WHERE state = 'SUCCEEDED'"
_TOLD = "SELECT count(*) FROM outbox WHERE type = 'gateway.channel.result'"


@dataclass
class Prepays:
    """Orders at the channel `loopback`, which pays them by itself."""

    name: str
    target: str
    groups: Groups
    books: Books
    reader_url: str
    orders: int
    """So many a turn."""
    unit: str = "orders"
    messages: Sequence[channel_service_pb2.BatchPrepayRequest] = ()
    answered: int = 0

    async def warm_up(self, orders: int) -> None:
        self.messages = _messages(orders)
        await self.turn()

    async def prepare(self) -> None:
        self.messages = _messages(self.orders)

    async def turn(self) -> Done:
        before = self.answered
        latencies: list[float] = []
        async with (
            open_channel(self.target) as channel,
            looking(self.reader_url, _WAITING) as waiting,
        ):

            async def over() -> int:
                answered = self.answered  # before the look: whoever was answered is in it
                return answered - await waiting()

            await channel.channel_ready()
            gateway = channel_service_pb2_grpc.ChannelServiceStub(channel)
            async with backlog(over, most=UNFINISHED_MAX) as orders:

                async def prepay(message: channel_service_pb2.BatchPrepayRequest) -> None:
                    await orders.begin(len(message.items))
                    at = time.perf_counter()
                    response = await gateway.BatchPrepay(message, timeout=RPC_TIMEOUT_S)
                    latencies.append(time.perf_counter() - at)
                    for result in response.results:
                        if result.WhichOneof("result") == "error":
                            raise RuntimeError(f"an order was refused: {result.error.message}")
                    self.answered += len(message.items)

                started = time.perf_counter()
                await called(self.messages, prepay, callers=CALLERS)
                await orders.over()
                seconds = time.perf_counter() - started
        return Done(self.answered - before, seconds, latencies)

    async def wrong(self) -> Sequence[str]:
        """Every order that was answered has succeeded, once, and that was told."""
        found = {
            "have succeeded": await self.books.number("gateway", _SUCCEEDED),
            "were told": await self.books.number("gateway", _TOLD),
        }
        lost = [
            f"{self.answered} orders, {n} {what}" for what, n in found.items() if n != self.answered
        ]
        return [*lost, *await self.books.wrong()]


def _messages(orders: int) -> Sequence[channel_service_pb2.BatchPrepayRequest]:
    expire_time = time_to(datetime.now(UTC) + EXPIRES_AFTER)
    items = [
        channel_service_pb2.BatchPrepayItem(
            call_context=call_context_of(
                Context(new_id("biz", bucket=bucket), "mer_bench", "shop", "book", "contract-1")
            ),
            request=channel_service_pb2.PrepayRequest(
                request_id=request_id(),
                request_no=body_of(new_id("chn", bucket=bucket)),
                channel=TOOL.channel.channel,
                amount=AMOUNT,
                subject="One book",
                expire_time=expire_time,
            ),
        )
        for bucket in (secrets.randbelow(BUCKETS) for _ in range(orders))
    ]
    return [
        channel_service_pb2.BatchPrepayRequest(items=items[n : n + BATCH_PAYMENTS])
        for n in range(0, orders, BATCH_PAYMENTS)
    ]
