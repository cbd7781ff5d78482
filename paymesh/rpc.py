"""What the four services' servicers share: the call at hand, validation, batches, replies.

The interceptor (paymesh.server) has put the Call of a unary RPC into `current_call`; an item of a
batch carries its own. One handler serves both: `async def handler(call, request) -> response`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

import protovalidate
import structlog
from google.protobuf.message import Message
from payments.type.v1 import context_pb2

from paymesh.context import Call, Context
from paymesh.errors import (
    ContextMissing,
    FieldViolation,
    Internal,
    InvalidFields,
    PaymentError,
    TrafficMixed,
)
from paymesh.ids import bucket_of, new_id
from paymesh.items import Item, Outcome, RequestClaim
from paymesh.status import to_status
from paymesh.store.port import RequestKey
from paymesh.wire import call_of

M = TypeVar("M", bound=Message)
log = structlog.get_logger()

current_call: ContextVar[Call] = ContextVar("current_call")
CALL_LIMIT_S = 10.0
"""No call takes longer, whatever its caller would wait."""

_validator = protovalidate.Validator()


def validate(request: Message) -> None:
    """Applies the contract's rules. Raises InvalidFields with every field that breaks one."""
    violations = _validator.collect_violations(request)
    if violations:
        raise InvalidFields(tuple(map(_violation, violations)))


def _violation(violation: Any) -> FieldViolation:
    proto = violation.proto
    path = ""
    for element in proto.field.elements:
        path += ("." if path else "") + element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return FieldViolation(path or "(message)", proto.message, proto.rule_id)


def claim(method: str, owner: str, request: Message, request_id: str) -> RequestClaim:
    """The request's claim: its scope is method and owner, its hash covers the whole body."""
    body = request.SerializeToString(deterministic=True)
    return RequestClaim(
        key=RequestKey(f"{method}:{owner}", request_id.lower()),
        request_hash=hashlib.sha256(body).digest(),
    )


def started(
    call: Call,
    *,
    merchant_id: str,
    order_type: str = "",
    sub_type: str = "",
    pay_org_no: str = "",
) -> Call:
    """The call with a context of its own: a chain starts here, or goes on if it has begun."""
    old = call.context
    business_id = old.business_id or new_id("biz", bucket=bucket_of(merchant_id))
    structlog.contextvars.bind_contextvars(business_id=business_id)
    return replace(
        call,
        context=replace(
            old,
            business_id=business_id,
            merchant_id=merchant_id,
            order_type=order_type,
            sub_type=sub_type,
            pay_org_no=pay_org_no,
        ),
    )


async def run(
    submit: Callable[[Item], Awaitable[Outcome]],
    command: Any,
    call: Call,
    request_claim: RequestClaim | None = None,
    reply: Callable[[Any], Message] | None = None,
    response: type[Message] | None = None,
    *,
    shows_state: bool = False,
) -> Any:
    """Submits a command; its Done outcome. Raises the refusal. `shows_state`: see Item."""
    item = Item(command, call, request_claim, reply, response, shows_state=shows_state)
    outcome = await submit(item)
    if isinstance(outcome, PaymentError):
        raise outcome
    return outcome


async def batch(
    items: Sequence[Any],
    handler: Callable[[Call, Any], Awaitable[M]],
    result: Callable[..., Message],
    *,
    edge: bool = False,
) -> list[Any]:
    """One result an item, in order. Each item is validated and handled on its own, and a defect
    of ours is its item's own error.

    `edge`: items may come without a context (and then start a chain). Raises TrafficMixed for a
    batch of live and shadow items, before anything is done.
    """
    traffics = {_traffic(item.call_context.context.traffic) for item in items}
    if len(traffics) > 1:
        raise TrafficMixed("a batch is all LIVE or all SHADOW; send two batches")
    outer = current_call.get()

    async def one(item: Any) -> Message:
        try:
            if item.HasField("call_context"):
                validate(item.call_context)
                call = call_of(item.call_context, now=time.monotonic(), limit_s=CALL_LIMIT_S)
            else:
                call = replace(outer, context=Context(business_id=""))
            structlog.contextvars.bind_contextvars(business_id=call.context.business_id)
            if not edge and not call.context.business_id:
                raise ContextMissing("an item inside the mesh carries its context")
            validate(item.request)
            return result(response=await handler(call, item.request))
        except PaymentError as error:
            return result(error=to_status(error))
        except Exception as defect:  # one item's defect must not take its neighbours down
            log.exception("item.defect", request=type(item.request).__name__)
            told = Internal(f"a defect of ours ({type(defect).__name__}); operators were alerted")
            return result(error=to_status(told))

    return list(await asyncio.gather(*map(one, items)))


def _traffic(number: int) -> int:
    return number or context_pb2.TRAFFIC_LIVE
