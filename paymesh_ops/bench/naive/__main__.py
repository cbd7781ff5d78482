"""`python -m paymesh_ops.bench.naive trade|pay|gateway|clearing`: one service, told by NAIVE_*."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import grpc
import uvloop
from payments.gateway.v1 import channel_service_pb2_grpc as channels
from payments.pay.v1 import payment_service_pb2_grpc as payments
from payments.trade.v1 import trade_service_pb2_grpc as trades
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from paymesh.channel import DIRECT
from paymesh_ops.bench.naive.bus import Body, Bus
from paymesh_ops.bench.naive.clearing import on_collected, on_paid
from paymesh_ops.bench.naive.models import TABLES, Inbox
from paymesh_ops.bench.naive.services import Event, Orders, Payments, Sessions, Trades

POOL_CONNECTIONS = 15
"""As many as SQLAlchemy's own defaults allow, but kept."""
STOP_GRACE_S = 2.0

Handlers = dict[str, Callable[[AsyncSession, Body], Awaitable[list[Event]]]]
"""By routing key."""


async def run(name: str) -> None:
    """Serves until SIGTERM, or until the broker is gone."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = create_async_engine(
        os.environ["NAIVE_DATABASE_URL"], pool_size=POOL_CONNECTIONS, max_overflow=0
    )
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    bus = await Bus.connect(os.environ["NAIVE_AMQP_URL"], f"naive {name}")
    bus.lost.add_done_callback(lambda _lost: stop.set())
    server = grpc.aio.server()
    handlers = build(name, server, sessions, bus)
    if handlers:
        await consume(f"naive.{name}", handlers, sessions, bus)
    server.add_insecure_port(os.environ["NAIVE_LISTEN"])
    await server.start()
    await stop.wait()
    await server.stop(STOP_GRACE_S)


def build(name: str, server: grpc.aio.Server, sessions: Sessions, bus: Bus) -> Handlers:
    """Adds the service to the server; gives what it consumes.

    To the type checker every method of a generated servicer is abstract. What these do not have
    is answered UNIMPLEMENTED.
    """
    if name == "trade":
        pay = payments.PaymentServiceStub(_channel("NAIVE_PAY_TARGET"))
        trade = Trades(sessions, pay)  # type: ignore[abstract]
        trades.add_TradeServiceServicer_to_server(trade, server)
        return {"pay.payment.succeeded": trade.on_payment}
    if name == "pay":
        gateway = channels.ChannelServiceStub(_channel("NAIVE_GATEWAY_TARGET"))
        payment = Payments(sessions, gateway)  # type: ignore[abstract]
        payments.add_PaymentServiceServicer_to_server(payment, server)
        return {"gateway.channel.result": payment.on_result}
    if name == "gateway":
        order = Orders(sessions, bus.publish)  # type: ignore[abstract]
        channels.add_ChannelServiceServicer_to_server(order, server)
        return {}
    return {"pay.instruction.succeeded": on_collected, "trade.trade.paid": on_paid}


def _channel(variable: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(os.environ[variable], options=[DIRECT])


async def consume(queue: str, handlers: Handlers, sessions: Sessions, bus: Bus) -> None:
    async def take(key: str, message_id: str, body: Body) -> None:
        """Counts the message once, in the transaction of its effect; then tells what follows."""
        async with sessions.begin() as session:
            row = insert(Inbox).values(message_id=message_id).on_conflict_do_nothing()
            if not await session.scalar(row.returning(Inbox.message_id)):
                return
            events = await handlers[key](session, body)
        for event in events:
            await bus.publish(*event)

    await bus.consume(queue, take)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in TABLES:
        sys.exit(f"usage: python -m paymesh_ops.bench.naive {'|'.join(TABLES)}")
    logging.basicConfig(level=logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(sys.argv[1]))
