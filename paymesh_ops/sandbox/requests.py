"""Bodies to commands, bounded and strict. What is wrong is 400 INVALID_REQUEST."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

from starlette.requests import Request

from paymesh_ops.sandbox.domain import NewOrder, NewPayout, NewRefund, Refusal
from paymesh_ops.sandbox.rows import Json, time_of

BODY_BYTES_MAX = 64 * 1024
AMOUNT_MAX = 2**63 - 1
"""Minor units."""
URL_CHARS_MAX = 256

NUMBER = re.compile(r"[0-9A-Za-z_-]{6,32}")
"""A number that the merchant makes, as WeChat Pay wants it: 6 to 32 characters."""
_CURRENCY = re.compile(r"[A-Z]{3}")
_ACCOUNT = re.compile(r"[0-9A-Za-z]{4,34}")


async def read_body(request: Request) -> bytes:
    """The raw body. Raises Refusal 413 past BODY_BYTES_MAX, whatever Content-Length says."""
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > BODY_BYTES_MAX:
            raise Refusal(413, "TOO_LARGE", f"a body has at most {BODY_BYTES_MAX} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def parse_order(raw: bytes) -> NewOrder:
    """The body of POST /v1/orders. Raises Refusal."""
    body = parse_object(raw)
    return NewOrder(
        out_trade_no=_match(body, "out_trade_no", NUMBER),
        amount=_amount(body),
        currency=_match(body, "currency", _CURRENCY),
        subject=_text(body, "subject", chars_max=127),
        time_expire=_time(body, "time_expire"),
        notify_url=_url(body, "notify_url"),
    )


def parse_refund(raw: bytes) -> NewRefund:
    """The body of POST /v1/refunds. Raises Refusal."""
    body = parse_object(raw)
    return NewRefund(
        out_refund_no=_match(body, "out_refund_no", NUMBER),
        out_trade_no=_match(body, "out_trade_no", NUMBER),
        amount=_amount(body),
    )


def parse_payout(raw: bytes) -> NewPayout:
    """The body of POST /v1/payouts. Raises Refusal."""
    body = parse_object(raw)
    return NewPayout(
        out_payout_no=_match(body, "out_payout_no", NUMBER),
        amount=_amount(body),
        currency=_match(body, "currency", _CURRENCY),
        account=_match(body, "account", _ACCOUNT),
        name=_text(body, "name", chars_max=64),
        notify_url=_url(body, "notify_url"),
    )


def parse_object(raw: bytes) -> Json:
    """A JSON object. Raises Refusal; NaN and infinities, which are not JSON, are refused too."""
    try:
        body: Any = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise invalid("the body is not JSON") from error
    if not isinstance(body, dict):
        raise invalid("the body is not a JSON object")
    return body


def invalid(message: str) -> Refusal:
    return Refusal(400, "INVALID_REQUEST", message)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _amount(body: Json) -> int:
    value = body.get("amount")
    # bool is an int in Python, and 10.0 is not an amount.
    if type(value) is not int or not 0 < value <= AMOUNT_MAX:
        raise invalid(f"amount is an integer of minor units from 1 to {AMOUNT_MAX}")
    return value


def _match(body: Json, field: str, allowed: re.Pattern[str]) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not allowed.fullmatch(value):
        raise invalid(f"{field} is not {allowed.pattern}")
    return value


def _text(body: Json, field: str, *, chars_max: int) -> str:
    value = body.get(field)
    # Printable leaves out control characters and lone surrogates, which cannot be encoded.
    if not isinstance(value, str) or not 0 < len(value) <= chars_max or not value.isprintable():
        raise invalid(f"{field} is printable text of 1 to {chars_max} characters")
    return value


def _time(body: Json, field: str) -> datetime:
    value = body.get(field)
    if not isinstance(value, str):
        raise invalid(f"{field} is a time in RFC 3339")
    try:
        at = time_of(value)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{field} is a time in RFC 3339 with an offset") from error
    # The book keeps milliseconds; an order read back must equal the one that came in.
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _url(body: Json, field: str) -> str:
    value = _text(body, field, chars_max=URL_CHARS_MAX)
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise invalid(f"{field} is not a URL") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise invalid(f"{field} is an http or https URL without user or password")
    return value
