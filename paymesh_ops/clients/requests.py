"""How a business system asks: requests that may be repeated, and patience."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from payments.type.v1 import money_pb2, tool_pb2

T = TypeVar("T")
RPC_TIMEOUT_S = 10.0


def money(minor_units: int, currency: str = "EUR") -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, minor_units=minor_units)


def by_channel(amount: money_pb2.Money) -> tool_pb2.PaymentTool:
    return tool_pb2.PaymentTool(amount=amount, channel=tool_pb2.ChannelTool(channel="sandbox"))


def by_balance(amount: money_pb2.Money) -> tool_pb2.PaymentTool:
    return tool_pb2.PaymentTool(amount=amount, balance=tool_pb2.BalanceTool())


def request_id() -> str:
    return str(uuid.uuid4())


async def eventually(what: str, look: Callable[[], Awaitable[T | None]], *, timeout_s: float) -> T:
    """The first answer of `look` that is not None. Raises TimeoutError, saying what was awaited."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = await look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout_s:g} s there is still no {what}")
        await asyncio.sleep(0.05)


async def answered(call: Awaitable[Any]) -> Any:
    """The response, or None when the service is away or late: the same request is asked again."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() not in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        }:
            raise
        return None
