"""What any gRPC client finds: reflection, health, and an orderly end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from payments.trade.v1 import trade_service_pb2, trade_service_pb2_grpc

from paymesh.app import App
from paymesh.channel import DIRECT
from paymesh.ids import new_id
from paymesh.server import Server
from paymesh_ops.clients.requests import eventually
from paymesh_ops.clients.shop import Shop
from paymesh_ops.launch.mesh import Mesh, MeshPlan
from paymesh_ops.launch.processes import tail

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SURFACE = {
    "trade": {"payments.trade.v1.TradeService", "payments.trade.v1.MerchantService"},
    "pay": {"payments.pay.v1.PaymentService", "payments.pay.v1.BeneficiaryService"},
    "gateway": {"payments.gateway.v1.ChannelService"},
    "clearing": {"payments.clearing.v1.BooksService", "payments.clearing.v1.LedgerService"},
}
COMMON = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
UNKNOWN = new_id("trd", bucket=0)
NOBODY = new_id("mer", bucket=0)


def _reflected(target: str) -> tuple[set[str], dict[str, list[str]]]:
    """The services that a server names, and the methods of ours by service."""
    with grpc.insecure_channel(target, options=[DIRECT]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        names = set(database.get_services())
        pool = DescriptorPool(database)
        return names, {
            name: [method.name for method in pool.FindServiceByName(name).methods]
            for name in names
            if name.startswith("payments.")
        }


@pytest.mark.usefixtures("apps")
@pytest.mark.parametrize("service", sorted(SURFACE))
async def test_reflection_lists_the_services_and_describes_each(
    service: str, apps: dict[str, App], sandboxed_plan: MeshPlan
) -> None:
    """With all their methods."""
    names, methods = await asyncio.to_thread(_reflected, sandboxed_plan.target(service))
    assert names == SURFACE[service] | COMMON
    declared = {
        s.descriptor.full_name: [method.name for method in s.descriptor.methods]
        for s in apps[service].services
    }
    assert methods == declared


def _call_by_reflection(target: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """What grpcurl does: knows the address, and nothing else."""
    service, _, name = method.rpartition("/")
    with grpc.insecure_channel(target, options=[DIRECT]) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        found = pool.FindServiceByName(service).FindMethodByName(name)
        asked = message_factory.GetMessageClass(found.input_type)
        answered = message_factory.GetMessageClass(found.output_type)
        call: Any = channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answered.FromString,
        )
        response = call(json_format.ParseDict(request, asked()), timeout=30)
        return dict(json_format.MessageToDict(response, preserving_proto_field_name=True))


async def test_a_generic_client_creates_a_trade_with_nothing_but_reflection(
    shop: Shop, sandboxed_plan: MeshPlan
) -> None:
    """From JSON, without any generated code."""
    request = json_format.MessageToDict(shop.create_request(), preserving_proto_field_name=True)
    response = await asyncio.to_thread(
        _call_by_reflection,
        sandboxed_plan.target("trade"),
        "payments.trade.v1.TradeService/CreateTrade",
        request,
    )
    trade = response["trade"]
    assert trade["merchant_order_no"] == request["merchant_order_no"]
    assert (await shop.trade(trade["trade_id"])).amount.minor_units == 1234


@asynccontextmanager
async def _client(target: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(target, options=[DIRECT]) as channel:
        yield channel


async def _health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    response = await stub.Check(request, timeout=30)
    return int(response.status)


async def _still_answers(channel: grpc.aio.Channel) -> bool:
    """Whether a call is carried out: of a trade that does not exist, NOT_FOUND is the answer."""
    stub: Any = trade_service_pb2_grpc.TradeServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetTrade(
            trade_service_pb2.GetTradeRequest(merchant_id=NOBODY, trade_id=UNKNOWN), timeout=30
        )
    return caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.usefixtures("apps")
async def test_health_is_told_for_the_server_and_for_each_service(
    sandboxed_plan: MeshPlan,
) -> None:
    """A service that is not here is NOT_FOUND."""
    for service, names in SURFACE.items():
        async with _client(sandboxed_plan.target(service)) as channel:
            assert {await _health(channel, name) for name in ("", *names)} == {SERVING}
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _health(channel, "payments.Nobody")
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_stopping_server_says_not_serving_and_still_answers_until_it_has_drained(
    apps: dict[str, App],
) -> None:
    """Load balancers look away first; nobody's call is cut off."""
    server = Server(apps["trade"].services, listen="127.0.0.1:0")
    await server.start()
    async with _client(f"127.0.0.1:{server.port}") as channel:
        assert await _health(channel) == SERVING
        stopping = asyncio.create_task(server.stop(drain_wait_s=600))

        async def looks_away() -> bool | None:
            return await _health(channel) == NOT_SERVING or None

        await eventually("drain", looks_away, timeout_s=30)
        states = [await _health(channel, name) for name in ("", *SURFACE["trade"])]
        assert set(states) == {NOT_SERVING}
        assert await _still_answers(channel)
        assert not stopping.done()
        stopping.cancel()
        await server.stop(drain_wait_s=0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _health(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.slow
async def test_a_process_that_is_told_to_end_drains_and_exits_with_0(real_plan: MeshPlan) -> None:
    """SIGTERM to `python -m trade_svc serve`: NOT_SERVING, still answering, then gone."""
    for drain_wait_s in (1.5, 30):  # longer, where a look at it takes long
        if await _is_seen_draining(real_plan, drain_wait_s):
            return
    raise AssertionError("nobody saw it drain")


async def _is_seen_draining(real_plan: MeshPlan, drain_wait_s: float) -> bool:
    mesh = Mesh(real_plan, extra={"trade-serve": {"PAYMESH_DRAIN_WAIT_S": f"{drain_wait_s:g}"}})
    seen = False
    await asyncio.to_thread(mesh.start, ["trade-serve"])
    process = mesh.children["trade-serve"].popen
    try:
        async with _client(real_plan.target("trade")) as channel:
            assert await _health(channel) == SERVING
            told = time.monotonic()
            process.send_signal(signal.SIGTERM)
            while process.poll() is None and not seen:
                try:
                    seen = await _health(channel) == NOT_SERVING and await _still_answers(channel)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
            code = await asyncio.to_thread(process.wait, 60)
        assert code == 0
        assert time.monotonic() - told >= drain_wait_s
        assert '"stopped"' in tail(mesh.plan.home / "run" / "trade-serve.log")
    finally:
        mesh.stop()
    assert mesh.exit_codes == {"trade-serve": 0}
    return seen
