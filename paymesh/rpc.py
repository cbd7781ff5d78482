"""What the four services' servicers share: the call at hand, validation, batches, replies.

The interceptor (paymesh.server) has put the Call of a unary RPC into `current_call`; an item of a
batch carries its own. One handler serves both: `async def handler(call, request) -> response`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

import grpc
import protovalidate
import structlog
from google.protobuf.message import Message
from payments.type.v1 import context_pb2

from paymesh.chains import Look, require_own_chain
from paymesh.context import Call, Context
from paymesh.errors import (
    ContextMissing,
    FieldViolation,
    Internal,
    InvalidFields,
    NotFound,
    PaymentError,
    TrafficMixed,
)
from paymesh.ids import bucket_of, new_id
from paymesh.items import Done, Item, Outcome, RequestClaim
from paymesh.status import to_status
from paymesh.store.port import RequestKey
from paymesh.text import FOR_PEOPLE, OF_CARDS, problem
from paymesh.wire import call_of

RpcContext = grpc.aio.ServicerContext[Any, Any]
"""Of one call, as gRPC gives it to a servicer."""
M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)
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


def require_texts(request: Message) -> None:
    """What outsiders type, by one policy for all fields. Raises InvalidFields with each that breaks
    it."""
    wrong = tuple(_wrong_texts(request, ""))
    if wrong:
        raise InvalidFields(wrong)


def require_own(context: Context, request: Message) -> None:
    """A call that says for which merchant it is made is about no other one. Raises NotFound.

    Until callers are known by certificate this guards against mistakes, not against liars.
    """
    named = getattr(request, "merchant_id", "")
    if context.merchant_id and named and named != context.merchant_id:
        raise NotFound(f"no merchant {named}", metadata={"field": "merchant_id"})


def _wrong_texts(message: Message, path: str) -> Iterator[FieldViolation]:
    for field, value in message.ListFields():
        name = field.name
        place = f"{path}.{name}" if path else name
        values = enumerate(value) if field.is_repeated else ((None, value),)
        if field.type == field.TYPE_STRING:
            for index, text in values:
                if why := problem(text, names=name not in FOR_PEOPLE, of_cards=name in OF_CARDS):
                    at = place if index is None else f"{place}[{index}]"
                    yield FieldViolation(at, why, "text")
        elif field.message_type is not None:
            for index, inner in values:
                yield from _wrong_texts(inner, place if index is None else f"{place}[{index}]")


def _violation(violation: Any) -> FieldViolation:
    proto = violation.proto
    path = ""
    for element in proto.field.elements:
        path += ("." if path else "") + element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return FieldViolation(path or "(message)", proto.message, proto.rule_id)


def claim(
    method: str, owner: str, request: Message, request_id: str, *, advice: Sequence[str] = ()
) -> RequestClaim:
    """The request's claim: its scope is method and owner, its hash covers the body.

    A UUID in upper case is the same one. `advice`: fields that are no part of what is asked, so
    that with others it is the same request: a version of ours that knows more may ask again.
    """
    lower = request_id.lower()
    if lower != request_id or advice:
        changed: Any = type(request)()
        changed.CopyFrom(request)
        changed.request_id = lower
        for field in advice:
            changed.ClearField(field)
        request = changed
    body = request.SerializeToString(deterministic=True)
    return RequestClaim(RequestKey(f"{method}:{owner}", lower), hashlib.sha256(body).digest())


async def started(
    call: Call,
    look: Look,
    *,
    merchant_id: str,
    order_type: str = "",
    sub_type: str = "",
    pay_org_no: str = "",
) -> Call:
    """The call with a context of its own: a chain starts here, or goes on if it is this merchant's.

    Raises NotFound for a chain of nobody's or another's.
    """
    old = call.context
    await require_own_chain(look, old, merchant_id)
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
    reply: Callable[[Any], R] | None = None,
    response: type[R] | None = None,
    *,
    shows_state: bool = False,
) -> Done[Any, R]:
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
    require_one_traffic(items)
    outer = current_call.get()

    async def one(item: Any) -> Message:
        try:
            call = item_call(item, outer, edge=edge)
            structlog.contextvars.bind_contextvars(business_id=call.context.business_id)
            return result(response=await handler(call, item.request))
        except PaymentError as error:
            return result(error=to_status(error))
        except Exception as defect:  # one item's defect must not take its neighbours down
            return result(error=to_status(_defect(item, defect)))

    return list(await asyncio.gather(*map(one, items)))


async def outcomes_of(
    items: Sequence[Any],
    prepare: Callable[[Call, Any], Item],
    submit_all: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]],
) -> list[Outcome]:
    """What became of each item, in order: as `batch`, for methods that need nothing but the core.

    `prepare` makes a core's item of a request, without waiting for anything: so all of a message
    are submitted together and need no task each.
    """
    require_one_traffic(items)
    outer = current_call.get()
    outcomes: list[Outcome | None] = []
    prepared: list[Item] = []
    for item in items:
        refused: Outcome | None = None
        try:
            prepared.append(prepare(item_call(item, outer, edge=False), item.request))
        except PaymentError as error:
            refused = error
        except Exception as defect:  # one item's defect must not take its neighbours down
            refused = _defect(item, defect)
        outcomes.append(refused)
    found = iter(await submit_all(prepared) if prepared else ())
    return [refused or next(found) for refused in outcomes]


def require_one_traffic(items: Sequence[Any]) -> None:
    """Raises TrafficMixed for a batch of live and shadow items."""
    traffics = {item.call_context.context.traffic for item in items}
    if len({number or context_pb2.TRAFFIC_LIVE for number in traffics}) > 1:
        raise TrafficMixed("a batch is all LIVE or all SHADOW; send two batches")


def item_call(item: Any, outer: Call, *, edge: bool) -> Call:
    """The call of a batch's item, which is validated. Raises PaymentError."""
    if item.HasField("call_context"):
        validate(item.call_context)
        require_texts(item.call_context)
        call = call_of(item.call_context, now=time.monotonic(), limit_s=CALL_LIMIT_S)
    else:
        call = replace(outer, context=Context(business_id=""))
    if not edge and not call.context.business_id:
        raise ContextMissing("an item inside the mesh carries its context")
    validate(item.request)
    if edge:
        require_texts(item.request)
        require_own(call.context, item.request)
    return call


def _defect(item: Any, defect: Exception) -> PaymentError:
    """What is told of an exception that nobody expected: it is logged whole."""
    business_id = item.call_context.context.business_id
    request = type(item.request).__name__
    log.error("item.defect", request=request, business_id=business_id, exc_info=defect)
    return Internal(f"a defect of ours ({type(defect).__name__}); operators were alerted")
