"""The gRPC server of a service: interceptors, health, reflection, limits, orderly end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from payments.type.v1 import context_pb2

from paymesh import metrics, telemetry
from paymesh.context import Call, Context
from paymesh.errors import Code, ContextMissing, Internal, InvalidField, PaymentError
from paymesh.rpc import CALL_LIMIT_S, current_call, require_own, require_texts, validate
from paymesh.status import to_status
from paymesh.wire import context_of, deadline_class_of

log = structlog.get_logger()

CONTEXT_METADATA = "payments-context-bin"
UNARY_BYTES_MAX = 1024 * 1024
BATCH_BYTES_MAX = 4 * 1024 * 1024
CONCURRENT_RPCS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Service:
    """A servicer with what the interceptor needs to know. `edge`: outsiders may call it."""

    descriptor: ServiceDescriptor
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: Any
    edge: bool = False


class MessageTooLarge(PaymentError):
    code, reason, decided = Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", False


class _CallInterceptor(grpc.aio.ServerInterceptor):
    """Makes the Call, validates the request, turns refusals into statuses, counts and logs."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._methods = {
            f"/{service.descriptor.full_name}/{method.name}": (service, method)
            for service in services
            for method in service.descriptor.methods
        }

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(details)
        known = self._methods.get(details.method)
        if handler is None or known is None:
            return handler  # health, reflection, or a method that does not exist
        service, method = known
        reads = method.GetOptions().idempotency_level == 1  # NO_SIDE_EFFECTS
        is_batch = "items" in method.input_type.fields_by_name  # each is judged by itself
        needs_context = not (service.edge or reads or is_batch)
        metadata = dict(details.invocation_metadata)

        def prepare(request: Any, context: Any) -> None:
            limit = BATCH_BYTES_MAX if is_batch else UNARY_BYTES_MAX
            if request.ByteSize() > limit:
                raise MessageTooLarge(f"{request.ByteSize()} bytes; {method.name} takes {limit}")
            call = _call(metadata, context, needs_context=needs_context)
            current_call.set(call)
            _mark(call.context.business_id, request)
            validate(request)
            if service.edge and not reads and not is_batch:
                require_texts(request)
            if service.edge and not is_batch:
                require_own(call.context, request)

        if handler.response_streaming:
            return _streaming(handler, method.name, prepare)
        return _unary(handler, method.name, prepare)


def _call(metadata: dict[str, Any], context: Any, *, needs_context: bool) -> Call:
    remaining = context.time_remaining()
    raw = metadata.get(CONTEXT_METADATA)
    message = context_pb2.Context()
    if raw is not None:
        try:
            message = context_pb2.Context.FromString(raw)
        except DecodeError as error:
            raise InvalidField(CONTEXT_METADATA, "is not a payments.type.v1.Context") from error
        validate(message)
        require_texts(message)
    if needs_context and not message.business_id:
        raise ContextMissing(
            f"a call inside the mesh carries its context in the metadata {CONTEXT_METADATA}"
        )
    call = Call(
        context=context_of(message) if raw is not None else Context(business_id=""),
        deadline=time.monotonic() + min(remaining or CALL_LIMIT_S, CALL_LIMIT_S),
        traceparent=telemetry.traceparent(),
        deadline_class=deadline_class_of(message),
    )
    structlog.contextvars.bind_contextvars(business_id=call.context.business_id)
    return call


def _unary(handler: Any, name: str, prepare: Callable[[Any, Any], None]) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        started, code = time.monotonic(), "OK"
        try:
            prepare(request, context)
            response = await handler.unary_unary(request, context)
            _mark(current_call.get().context.business_id, request, response)
            return response
        except PaymentError as error:
            code = error.code.name
            await context.abort_with_status(rpc_status.to_status(to_status(error)))
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except grpc.aio.AbortError:
            raise
        except Exception as defect:
            code = "INTERNAL"
            await context.abort_with_status(_defect(name, defect))
        finally:
            metrics.RPC_SECONDS.labels(name, code).observe(time.monotonic() - started)

    return grpc.unary_unary_rpc_method_handler(
        answer, handler.request_deserializer, handler.response_serializer
    )


def _streaming(handler: Any, name: str, prepare: Callable[[Any, Any], None]) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        try:
            prepare(request, context)
            async for response in handler.unary_stream(request, context):
                yield response
        except PaymentError as error:
            await context.abort_with_status(rpc_status.to_status(to_status(error)))
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as defect:
            await context.abort_with_status(_defect(name, defect))

    return grpc.unary_stream_rpc_method_handler(
        answer, handler.request_deserializer, handler.response_serializer
    )


def _mark(business_id: str, *messages: Message) -> None:
    """Puts on the call's span which chains it is about: an outsider's is known by the answer."""
    if telemetry.enabled():
        found = [id_ for message in messages for id_ in _business_ids(message)]
        telemetry.mark_chains([business_id, *found])


def _business_ids(message: Message) -> Iterator[str]:
    """The business_id of a message and of every message in it."""
    for field, value in message.ListFields():
        if field.name == "business_id":
            yield value
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for part in value if field.is_repeated else (value,):
                yield from _business_ids(part)


def _defect(method: str, defect: Exception) -> Any:
    """The status of an exception that nobody expected: logged whole, told in short."""
    log.error("rpc.defect", method=method, exc_info=defect)
    internal = Internal(f"a defect of ours ({type(defect).__name__}); operators were alerted")
    return rpc_status.to_status(to_status(internal))


class Server:
    """A started server on a known port."""

    def __init__(self, services: Sequence[Service], *, listen: str) -> None:
        names = [service.descriptor.full_name for service in services]
        self._health = health.aio.HealthServicer()
        self._names = ["", *names]
        self._server = grpc.aio.server(
            interceptors=[*telemetry.server_interceptors(), _CallInterceptor(services)],
            maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX,
            options=[
                ("grpc.max_receive_message_length", 2 * BATCH_BYTES_MAX),
                ("grpc.max_connection_age_ms", 300_000),
                ("grpc.max_connection_age_grace_ms", 30_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
                ("grpc.so_reuseport", 0),
            ],
        )
        for service in services:
            service.add(service.servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        try:
            self.port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise OSError(f"PAYMESH_LISTEN is {listen}: nobody can listen there") from error

    async def start(self) -> None:
        await self._server.start()
        await self._set(health_pb2.HealthCheckResponse.SERVING)

    async def _set(self, status: Any) -> None:
        for name in self._names:
            await self._health.set(name, status)

    async def stop(self, *, drain_wait_s: float, grace_s: float = 15.0) -> None:
        """NOT_SERVING, wait for load balancers to see it, then finish what is under way."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.sleep(drain_wait_s)
        await self._server.stop(grace_s)
