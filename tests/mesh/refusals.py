"""What a server says when it refuses, read as a client would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status


@dataclass(frozen=True)
class Refusal:
    code: grpc.StatusCode
    reason: str
    fields: tuple[str, ...]


async def refusal(call: Any) -> Refusal:
    """Status, ErrorInfo, BadRequest of a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read_refusal(rpc_status.from_call(caught.value), caught.value.code())


def read_refusal(status: Any, code: grpc.StatusCode) -> Refusal:
    info, bad = ErrorInfo(), BadRequest()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad)
    assert info.domain == "payments"
    return Refusal(code, info.reason, tuple(f.field for f in bad.field_violations))


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The reason in the refusal's ErrorInfo."""
    from google.rpc import error_details_pb2, status_pb2

    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""
