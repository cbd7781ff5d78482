"""The coalescer in front of a real gRPC server that speaks the payment core's contract."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from payments.pay.v1 import payment_service_pb2, payment_service_pb2_grpc
from payments.type.v1 import context_pb2

from paymesh.batcher import BatchLimits
from paymesh.channel import open_channel
from paymesh.clock import SystemClock
from paymesh.coalescer import Coalescer
from paymesh.context import DeadlineClass, Traffic
from paymesh.errors import Code, DeadlinePassed, NotFound, Overloaded, PaymentError
from paymesh.status import to_status
from tests.runtime.world import CONTEXT, call

Request = payment_service_pb2.CreatePaymentRequest


class PaymentCore(payment_service_pb2_grpc.PaymentServiceServicer):
    """Answers each item by its subject, and notes what came."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.remaining_s: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusal: Status | None = None

    async def BatchCreatePayments(self, request: Any, context: Any) -> Any:
        self.batches.append(request)
        self.remaining_s.append(context.time_remaining())
        await self.gate.wait()
        if self.refusal is not None:
            await context.abort_with_status(rpc_status.to_status(self.refusal))
        result = payment_service_pb2.BatchCreatePaymentsResult
        return payment_service_pb2.BatchCreatePaymentsResponse(
            results=[
                result(error=to_status(NotFound("no such thing", metadata={"id": "x"})))
                if item.request.subject == "missing"
                else result(
                    response=payment_service_pb2.CreatePaymentResponse(
                        credential_id=item.request.subject
                    )
                )
                for item in request.items
            ]
        )

    def subjects(self) -> list[list[str]]:
        return [[item.request.subject for item in batch.items] for batch in self.batches]


@pytest.fixture
async def core() -> PaymentCore:
    return PaymentCore()  # the one method that is called


@pytest.fixture
async def port(core: PaymentCore) -> AsyncIterator[int]:
    server = grpc.aio.server()
    payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(core, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(0)


async def _coalescer(port: int, **limits: Any) -> AsyncIterator[Coalescer]:
    channel = open_channel(f"127.0.0.1:{port}")
    stub = payment_service_pb2_grpc.PaymentServiceStub(channel)
    coalescer = Coalescer(
        stub.BatchCreatePayments,
        payment_service_pb2.BatchCreatePaymentsRequest,
        caller="trade",
        clock=SystemClock(),
        limits=BatchLimits(linger_max_s=0.005, **limits),
    )
    yield coalescer
    await coalescer.close()
    await channel.close()


@pytest.fixture
async def coalescer(port: int) -> AsyncIterator[Coalescer]:
    async for made in _coalescer(port):
        yield made


@pytest.fixture
async def narrow(port: int) -> AsyncIterator[Coalescer]:
    """One batch in flight."""
    async for made in _coalescer(port, in_flight_max=1):
        yield made


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_concurrent_calls_travel_together_and_each_gets_its_own_result(
    coalescer: Coalescer, core: PaymentCore
) -> None:
    """One item's refusal is raised to its caller only, with all its details."""
    found = await asyncio.gather(
        coalescer.call(call(), Request(subject="a")),
        coalescer.call(call(), Request(subject="missing")),
        coalescer.call(call(), Request(subject="b")),
        return_exceptions=True,
    )
    assert core.subjects() == [["a", "missing", "b"]]
    assert [getattr(found[n], "credential_id", found[n]) for n in (0, 2)] == ["a", "b"]
    assert isinstance(found[1], PaymentError)
    assert (found[1].code, found[1].reason) == (Code.NOT_FOUND, "NOT_FOUND")
    assert found[1].metadata == {"id": "x"}


async def test_every_item_carries_its_own_context_and_deadline(
    coalescer: Coalescer, core: PaymentCore
) -> None:
    """The RPC's deadline is the longest item's."""
    short = replace(
        call(seconds=100, context=replace(CONTEXT, business_id="biz_short")), traceparent="00-t"
    )
    long = replace(
        call(seconds=500, context=replace(CONTEXT, business_id="biz_long")), origin="gateway"
    )
    await asyncio.gather(*(coalescer.call(c, Request()) for c in (short, long)))
    first, second = (item.call_context for item in core.batches[0].items)
    assert (first.context.business_id, second.context.business_id) == ("biz_short", "biz_long")
    assert (first.traceparent, first.origin, second.origin) == ("00-t", "trade", "gateway")
    assert first.context.caller == "trade"
    assert 40_000 < first.remaining_ms <= 100_000
    assert 440_000 < second.remaining_ms <= 500_000
    assert 440 < core.remaining_s[0] < 501


async def test_an_item_whose_deadline_has_passed_is_not_sent(
    coalescer: Coalescer, core: PaymentCore
) -> None:
    found = await asyncio.gather(
        coalescer.call(call(seconds=-1), Request(subject="late")),
        coalescer.call(call(), Request(subject="a")),
        return_exceptions=True,
    )
    assert isinstance(found[0], DeadlinePassed)
    assert core.subjects() == [["a"]]
    with pytest.raises(DeadlinePassed):
        await coalescer.call(call(seconds=-1), Request(subject="late"))
    assert len(core.batches) == 1


async def test_a_cancelled_caller_takes_its_queued_item_along(
    narrow: Coalescer, core: PaymentCore
) -> None:
    core.gate.clear()
    first = asyncio.create_task(narrow.call(call(), Request(subject="first")))
    await until(lambda: core.batches)
    leaving, staying = (
        asyncio.create_task(narrow.call(call(), Request(subject=s))) for s in ("gone", "staying")
    )
    await asyncio.sleep(0)
    leaving.cancel()
    core.gate.set()
    await asyncio.gather(first, staying)
    assert core.subjects() == [["first"], ["staying"]]


async def test_a_failure_of_the_whole_call_is_told_to_all(
    coalescer: Coalescer, core: PaymentCore
) -> None:
    core.refusal = to_status(Overloaded("too much"))
    found = await asyncio.gather(
        *(coalescer.call(call(), Request()) for _ in range(3)), return_exceptions=True
    )
    assert [getattr(error, "reason", error) for error in found] == ["OVERLOADED"] * 3
    core.refusal = None
    assert (await coalescer.call(call(), Request(subject="b"))).credential_id == "b"


async def test_a_server_that_is_not_there_is_unavailable_to_all() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async for nowhere in _coalescer(unused.getsockname()[1]):
            found = await asyncio.gather(
                *(nowhere.call(call(), Request()) for _ in range(3)),
                return_exceptions=True,
            )
    assert [getattr(error, "code", error) for error in found] == [Code.UNAVAILABLE] * 3


async def test_a_server_that_is_too_slow_is_a_passed_deadline(
    coalescer: Coalescer, core: PaymentCore
) -> None:
    core.gate.clear()
    async with asyncio.timeout(60):
        with pytest.raises(PaymentError) as refused:
            await coalescer.call(call(seconds=0.1), Request())
    assert refused.value.reason == "DEADLINE_PASSED"
    core.gate.set()


async def test_live_and_shadow_and_deadline_classes_never_share_a_message(
    coalescer: Coalescer, core: PaymentCore
) -> None:
    """A batch of both is refused by every service."""
    shadow = call(context=replace(CONTEXT, traffic=Traffic.SHADOW))
    slow = replace(call(), deadline_class=DeadlineClass.BACKGROUND)
    await asyncio.gather(
        *(coalescer.call(c, Request()) for c in (call(), shadow, slow, call(), shadow, slow))
    )
    lanes = [
        {
            (item.call_context.context.traffic, item.call_context.context.deadline_class)
            for item in batch.items
        }
        for batch in core.batches
    ]
    live, interactive = context_pb2.TRAFFIC_LIVE, context_pb2.DEADLINE_CLASS_INTERACTIVE
    assert sorted(map(sorted, lanes)) == sorted(
        [
            [(live, interactive)],
            [(context_pb2.TRAFFIC_SHADOW, interactive)],
            [(live, context_pb2.DEADLINE_CLASS_BACKGROUND)],
        ]
    )
    assert [len(batch.items) for batch in core.batches] == [2, 2, 2]
