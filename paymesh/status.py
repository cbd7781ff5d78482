"""PaymentError to google.rpc.Status and back; the only place that knows both."""

from __future__ import annotations

from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from paymesh.errors import TRANSIENT, Code, FieldViolation, PaymentError, Refused

DOMAIN = "payments"
RETRY_AFTER_S = 1


def to_status(error: PaymentError) -> Status:
    """Code, message, ErrorInfo (reason, metadata), BadRequest (fields), RetryInfo if transient."""
    details: list[Any] = [
        ErrorInfo(
            reason=error.reason,
            domain=DOMAIN,
            metadata={name: short(value) for name, value in error.metadata.items()},
        )
    ]
    if error.fields:
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(
                        field=short(f.field, 128), description=short(f.description), reason=f.rule
                    )
                    for f in error.fields
                ]
            )
        )
    if error.code in TRANSIENT:
        retry = RetryInfo()
        retry.retry_delay.seconds = RETRY_AFTER_S
        details.append(retry)
    status = Status(code=int(error.code), message=short(error.message, 1024))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def short(text: str, bytes_max: int = 256) -> str:
    """What a stranger sent may be in it, and a status travels in trailers: clients take 8 KiB."""
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return encoded[: bytes_max - 3].decode(errors="ignore") + "…"


def from_status(status: Status) -> Refused:
    """The refusal that a Status tells of; codes that we do not use become INTERNAL."""
    info, bad = ErrorInfo(), BadRequest()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad)
    known = status.code in Code._value2member_map_
    return Refused(
        code=Code(status.code) if known else Code.INTERNAL,
        reason=info.reason or "INTERNAL",
        message=status.message,
        fields=tuple(
            FieldViolation(f.field, f.description, f.reason) for f in bad.field_violations
        ),
        metadata=dict(info.metadata),
    )
