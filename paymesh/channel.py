"""Client channels to other services of the mesh: bounded, kept alive, retried where it is safe."""

from __future__ import annotations

import json
from typing import Any

import grpc
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from paymesh import telemetry
from paymesh.errors import Code, PaymentError, Refused
from paymesh.status import from_status

MESSAGE_BYTES_MAX = 4 * 1024 * 1024

DIRECT = ("grpc.enable_http_proxy", 0)
"""An option of every channel of ours: whatever proxies the environment names are for the world
outside, and would read in clear what our services say to each other."""

SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            # Every method of ours is idempotent: a request_id, or a read.
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def open_channel(target: str) -> grpc.aio.Channel:
    """A channel to `host:port` or `dns:///name:port`; connects when it is first used."""
    return grpc.aio.insecure_channel(
        target,
        options=[
            DIRECT,
            ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # Processes of one host must not share a connection through the global pool.
            ("grpc.use_local_subchannel_pool", 1),
        ],
        interceptors=telemetry.client_interceptors(),
    )


async def invoke(method: Any, request: Any, timeout_s: float) -> Any:
    """Calls a stub's method. Raises the refusal that the status tells of, never AioRpcError."""
    try:
        return await method(request, timeout=max(timeout_s, 0.001))
    except grpc.aio.AioRpcError as error:
        raise refusal_of(error) from error


def refusal_of(error: grpc.aio.AioRpcError) -> PaymentError:
    """What a failed call means: the service's own refusal, or that it did not answer."""
    try:
        status: Status | None = rpc_status.from_call(error)
    except ValueError:  # details that contradict the code: believe the code
        status = None
    if status is not None:
        return from_status(status)
    number = error.code().value[0]
    code = Code(number) if number in Code._value2member_map_ else Code.UNAVAILABLE
    return Refused(
        code=code,
        reason="DEADLINE_PASSED" if code is Code.DEADLINE_EXCEEDED else "UNAVAILABLE",
        message=error.details() or error.code().name,
    )
