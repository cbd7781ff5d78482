"""The sandbox channel's words in ours: tables, and the pure functions that read by them.

What is not in a table is UNKNOWN. FAILED stands only where the channel says that nothing moved
and that nothing will.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway_svc.channels.port import (
    CALLBACK_BYTES_MAX,
    Callback,
    CallbackKind,
    ChannelResult,
    UnreadableCallback,
    Verb,
)
from gateway_svc.orders.model import ReportedState

Json = dict[str, Any]

_COLLECT = {
    "NOTPAY": ReportedState.AWAITING_PAYER,
    "SUCCESS": ReportedState.SUCCEEDED,
    "CLOSED": ReportedState.CLOSED,
}
_REFUND = {
    "PROCESSING": ReportedState.PROCESSING,
    "SUCCESS": ReportedState.SUCCEEDED,
    "FAILED": ReportedState.FAILED,
}
_PAYOUT = {**_REFUND, "BOUNCED": ReportedState.BOUNCED}

NATIVE_STATES: dict[Verb, dict[str, ReportedState]] = {
    Verb.QUERY: _COLLECT,
    # A close that is answered with an open order did not do what it says.
    Verb.CLOSE: {**_COLLECT, "NOTPAY": ReportedState.UNKNOWN},
    Verb.REFUND: _REFUND,
    Verb.QUERY_REFUND: _REFUND,
    Verb.PAYOUT: _PAYOUT,
    Verb.QUERY_PAYOUT: _PAYOUT,
}
"""The state in a 200 answer, by verb."""

REFUSALS: dict[Verb, dict[str, ReportedState]] = {
    Verb.PREPAY: {
        "INVALID_REQUEST": ReportedState.FAILED,
        # An order with our number exists with other parameters, and it may be paid.
        "ORDER_MISMATCH": ReportedState.UNKNOWN,
    },
    Verb.QUERY: {"ORDER_NOT_EXIST": ReportedState.NOT_FOUND},
    Verb.CLOSE: {
        "ORDER_NOT_EXIST": ReportedState.NOT_FOUND,
        # True, but without the amount that a success must show: the adapter queries.
        "ORDER_PAID": ReportedState.UNKNOWN,
    },
    Verb.REFUND: {
        "INVALID_REQUEST": ReportedState.FAILED,
        "ORDER_NOT_EXIST": ReportedState.FAILED,
        "ORDER_NOT_PAID": ReportedState.FAILED,
        "REFUND_EXCEEDS": ReportedState.FAILED,
        "REFUND_LIMIT": ReportedState.FAILED,
        "NOT_ENOUGH": ReportedState.WAITING_FUNDS,
        # A refund with our number exists with other parameters, and it may succeed.
        "REFUND_MISMATCH": ReportedState.UNKNOWN,
    },
    Verb.QUERY_REFUND: {"REFUND_NOT_EXIST": ReportedState.NOT_FOUND},
    Verb.PAYOUT: {
        "INVALID_REQUEST": ReportedState.FAILED,
        "NOT_ENOUGH": ReportedState.WAITING_FUNDS,
        # A payout with our number exists with other parameters, and it may succeed.
        "PAYOUT_MISMATCH": ReportedState.UNKNOWN,
    },
    Verb.QUERY_PAYOUT: {"PAYOUT_NOT_EXIST": ReportedState.NOT_FOUND},
}
"""The code in a signed 4xx answer, by verb. SIGN_ERROR is left out on purpose: a key that is wrong
here says nothing about what an earlier try has done."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Where in a resource the number, the state and the channel's own id stand."""

    number: str
    state: str
    txn_id: str


COLLECT_SHAPE = Shape("out_trade_no", "trade_state", "transaction_id")
REFUND_SHAPE = Shape("out_refund_no", "refund_status", "refund_id")
PAYOUT_SHAPE = Shape("out_payout_no", "payout_status", "payout_id")

SHAPES = {
    Verb.QUERY: COLLECT_SHAPE,
    Verb.CLOSE: COLLECT_SHAPE,
    Verb.REFUND: REFUND_SHAPE,
    Verb.QUERY_REFUND: REFUND_SHAPE,
    Verb.PAYOUT: PAYOUT_SHAPE,
    Verb.QUERY_PAYOUT: PAYOUT_SHAPE,
}


@dataclass(frozen=True, slots=True)
class Event:
    kind: CallbackKind
    shape: Shape
    native_state: str
    """The state that the resource of such an event must be in."""
    outcome: ReportedState


EVENTS: dict[str, Event] = {
    "TRANSACTION.SUCCESS": Event(
        CallbackKind.COLLECT, COLLECT_SHAPE, "SUCCESS", ReportedState.SUCCEEDED
    ),
    "REFUND.SUCCESS": Event(CallbackKind.REFUND, REFUND_SHAPE, "SUCCESS", ReportedState.SUCCEEDED),
    "REFUND.FAILED": Event(CallbackKind.REFUND, REFUND_SHAPE, "FAILED", ReportedState.FAILED),
    "PAYOUT.SUCCESS": Event(CallbackKind.PAYOUT, PAYOUT_SHAPE, "SUCCESS", ReportedState.SUCCEEDED),
    "PAYOUT.FAILED": Event(CallbackKind.PAYOUT, PAYOUT_SHAPE, "FAILED", ReportedState.FAILED),
    "PAYOUT.BOUNCED": Event(CallbackKind.PAYOUT, PAYOUT_SHAPE, "BOUNCED", ReportedState.BOUNCED),
}

_NUMBER = re.compile(r"[0-9A-Za-z_-]{6,32}")
_CHANNEL_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_WORD = re.compile(r"[A-Z0-9_.]{1,64}")
_AMOUNT_MAX = 2**63 - 1


def unknown(reason: str) -> ChannelResult:
    return ChannelResult(state=ReportedState.UNKNOWN, reason=reason)


def parse_object(raw: bytes) -> Json | None:
    """A JSON object; None if it is anything else."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def refusal(verb: Verb, code: str) -> ChannelResult:
    """The result of a signed 4xx answer."""
    return ChannelResult(
        state=REFUSALS[verb].get(code, ReportedState.UNKNOWN), reason=code or "REFUSED"
    )


def read_answer(verb: Verb, body: Json, numbers: Mapping[str, str]) -> ChannelResult:
    """The result of a 200 answer that must be about these numbers of ours."""
    # The signature does not say to which question this is the answer; the numbers do.
    if any(body.get(name) != number for name, number in numbers.items()):
        return unknown("OTHER_NUMBER")
    shape = SHAPES[verb]
    native = _text(body, shape.state, _WORD)
    outcome = NATIVE_STATES[verb].get(native or "", ReportedState.UNKNOWN)
    reason = "" if outcome is not ReportedState.UNKNOWN else f"STATE_{native}"
    return _read(shape, outcome, body, reason)


def read_callback(raw: bytes) -> Callback:
    """A callback whose signature is already verified. Raises UnreadableCallback."""
    if len(raw) > CALLBACK_BYTES_MAX:
        raise UnreadableCallback(f"more than {CALLBACK_BYTES_MAX} bytes")
    body = parse_object(raw)
    resource = body.get("resource") if body else None
    if body is None or not isinstance(resource, dict):
        raise UnreadableCallback("not a JSON object with a resource")
    event = EVENTS.get(_text(body, "event_type", _WORD) or "")
    if event is None:
        raise UnreadableCallback("an event type that we do not know")
    callback_id = _text(body, "id", _CHANNEL_ID)
    request_no = _text(resource, event.shape.number, _NUMBER)
    if callback_id is None or request_no is None:
        raise UnreadableCallback("its id or our number is missing or malformed")
    if resource.get(event.shape.state) == event.native_state:
        result = _read(event.shape, event.outcome, resource)
    else:
        # It contradicts itself: believe neither and ask.
        result = unknown("EVENT_AND_STATE_DIFFER")
    return Callback(id=callback_id, kind=event.kind, request_no=request_no, result=result)


def _read(shape: Shape, outcome: ReportedState, body: Json, reason: str = "") -> ChannelResult:
    amount = body.get("amount")
    # bool is an int in Python, and a float is never money.
    amount_minor = amount if type(amount) is int and 0 < amount <= _AMOUNT_MAX else None
    currency = _text(body, "currency", _CURRENCY)
    txn_id = _text(body, shape.txn_id, _CHANNEL_ID)
    known = amount_minor is not None and currency is not None and txn_id is not None
    if outcome is ReportedState.SUCCEEDED and not known:
        return unknown("SUCCESS_INCOMPLETE")
    failed = outcome in {ReportedState.FAILED, ReportedState.BOUNCED}
    if failed:
        reason = _text(body, "fail_reason", _WORD) or outcome.value
    return ChannelResult(
        state=outcome,
        amount_minor=amount_minor,
        currency=currency,
        channel_txn_id=txn_id,
        occurred_at=_time(body, "failed_time" if failed else "success_time"),
        reason=reason,
    )


def _text(body: Json, name: str, allowed: re.Pattern[str]) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and allowed.fullmatch(value) else None


def _time(body: Json, name: str) -> datetime | None:
    value = body.get(name)
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None
