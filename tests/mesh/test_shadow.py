"""SHADOW traffic is refused at every door, as long as nothing keeps it apart from live money."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from payments.type.v1 import context_pb2

from paymesh.app import App
from paymesh.channel import open_channel
from paymesh_ops.launch.mesh import MeshPlan
from tests.mesh.refusals import Refusal, read_refusal, refusal

pytestmark = pytest.mark.slow

SHADOW = context_pb2.Context(business_id="biz_1", traffic=context_pb2.TRAFFIC_SHADOW)
WANTED = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "SHADOW_NOT_DEPLOYED", ())


def methods(apps: dict[str, App]) -> list[tuple[str, MethodDescriptor]]:
    """Every method that is served, with its service's name in the plan."""
    return [
        (name, method)
        for name, app in apps.items()
        for service in app.services
        for method in service.descriptor.methods
    ]


def asks(channel: grpc.aio.Channel, method: MethodDescriptor, request: Any, **options: Any) -> Any:
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    call: Any = kind(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    return call(request, timeout=30, **options)


async def first(call: Any, method: MethodDescriptor) -> Any:
    return await (call.read() if method.server_streaming else call)


async def test_every_rpc_refuses_shadow_traffic_whatever_it_asks(
    apps: dict[str, App], sandboxed_plan: MeshPlan, nothing_written: None
) -> None:
    metadata = [("payments-context-bin", SHADOW.SerializeToString())]
    for name, method in methods(apps):
        async with open_channel(sandboxed_plan.target(name)) as channel:
            request = message_factory.GetMessageClass(method.input_type)()
            call = asks(channel, method, request, metadata=metadata)
            assert await refusal(first(call, method)) == WANTED, method.full_name


async def test_every_item_of_a_shadow_batch_is_refused(
    apps: dict[str, App], sandboxed_plan: MeshPlan, nothing_written: None
) -> None:
    """It has no context but its items'."""
    batches = [(n, m) for n, m in methods(apps) if "items" in m.input_type.fields_by_name]
    assert len(batches) >= 9
    for name, method in batches:
        async with open_channel(sandboxed_plan.target(name)) as channel:
            request = message_factory.GetMessageClass(method.input_type)()
            for _ in range(2):
                request.items.add().call_context.context.CopyFrom(SHADOW)
            response = await asks(channel, method, request)
            found = [read_refusal(result.error, WANTED.code) for result in response.results]
            assert found == [WANTED, WANTED], method.full_name
            codes = {result.error.code for result in response.results}
            assert codes == {WANTED.code.value[0]}
