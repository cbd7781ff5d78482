"""The shared messages (Money, Context, CallContext) to plain data and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from payments.type.v1 import context_pb2, money_pb2, tool_pb2

from paymesh.context import Call, Context, DeadlineClass, Traffic
from paymesh.errors import InvalidField, ShadowNotDeployed
from paymesh.money import Money
from paymesh.tools import Tool, ToolKind

_TRAFFIC = {
    Traffic.LIVE: context_pb2.TRAFFIC_LIVE,
    Traffic.SHADOW: context_pb2.TRAFFIC_SHADOW,
}
LIVE_TRAFFIC = frozenset({context_pb2.TRAFFIC_UNSPECIFIED, context_pb2.TRAFFIC_LIVE})
_CLASS = {
    DeadlineClass.INTERACTIVE: context_pb2.DEADLINE_CLASS_INTERACTIVE,
    DeadlineClass.BACKGROUND: context_pb2.DEADLINE_CLASS_BACKGROUND,
}
_CLASS_BACK = {number: class_ for class_, number in _CLASS.items()}


def money_to(money: Money) -> money_pb2.Money:
    return money_pb2.Money(currency_code=money.currency, minor_units=money.minor)


def money_of(message: money_pb2.Money) -> Money:
    return Money(message.currency_code, message.minor_units)


def tools_of(tools: Sequence[tool_pb2.PaymentTool]) -> tuple[Tool, ...]:
    return tuple(
        Tool("", money_of(tool.amount), ToolKind.BALANCE)
        if tool.HasField("balance")
        else Tool(tool.channel.channel, money_of(tool.amount))
        for tool in tools
    )


def tools_to(tools: Sequence[Tool]) -> list[tool_pb2.PaymentTool]:
    return [
        tool_pb2.PaymentTool(amount=money_to(tool.amount), balance=tool_pb2.BalanceTool())
        if tool.kind is ToolKind.BALANCE
        else tool_pb2.PaymentTool(
            amount=money_to(tool.amount), channel=tool_pb2.ChannelTool(channel=tool.channel)
        )
        for tool in tools
    ]


def time_to(at: datetime | None) -> Timestamp | None:
    """A Timestamp (UTC), or None for an absent time: protobuf leaves the field unset."""
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def time_of(stamp: Timestamp) -> datetime:
    """A datetime in UTC. Raises ValueError outside the years 1 to 9999."""
    return stamp.ToDatetime(tzinfo=UTC)


def time_asked(request: Any, field: str) -> datetime | None:
    """What a request says there; None: nothing. Raises InvalidField for what is no time."""
    if not request.HasField(field):
        return None
    try:
        return time_of(getattr(request, field))
    except ValueError as error:
        raise InvalidField(field, "is not a time of the years 1 to 9999") from error


def context_to(
    context: Context,
    *,
    caller: str = "",
    deadline_class: DeadlineClass = DeadlineClass.INTERACTIVE,
) -> context_pb2.Context:
    return context_pb2.Context(
        business_id=context.business_id,
        parent_business_id=context.parent_business_id,
        merchant_id=context.merchant_id,
        order_type=context.order_type,
        sub_type=context.sub_type,
        pay_org_no=context.pay_org_no,
        traffic=_TRAFFIC[context.traffic],
        caller=caller,
        deadline_class=_CLASS[deadline_class],
    )


def context_of(message: context_pb2.Context) -> Context:
    """The one door of every call, item and event. Raises ShadowNotDeployed."""
    if message.traffic not in LIVE_TRAFFIC:
        raise ShadowNotDeployed("this mesh moves live money and takes no SHADOW traffic")
    return Context(
        business_id=message.business_id,
        merchant_id=message.merchant_id,
        order_type=message.order_type,
        sub_type=message.sub_type,
        pay_org_no=message.pay_org_no,
        parent_business_id=message.parent_business_id,
    )


def deadline_class_of(message: context_pb2.Context) -> DeadlineClass:
    return _CLASS_BACK.get(message.deadline_class, DeadlineClass.INTERACTIVE)


def call_context_of(
    context: Context, *, traceparent: str = "", remaining_ms: int = 0, origin: str = ""
) -> context_pb2.CallContext:
    return context_pb2.CallContext(
        context=context_to(context),
        traceparent=traceparent,
        remaining_ms=remaining_ms,
        origin=origin,
    )


def call_to(call: Call, *, now: float, caller: str) -> context_pb2.CallContext:
    """The envelope of a batch's item: what the next service needs to know of the call."""
    return context_pb2.CallContext(
        context=context_to(call.context, caller=caller, deadline_class=call.deadline_class),
        traceparent=call.traceparent,
        remaining_ms=max(1, int((call.deadline - now) * 1000)),
        origin=call.origin or caller,
    )


def call_of(message: context_pb2.CallContext, *, now: float, limit_s: float) -> Call:
    """The call of a batch's item; its deadline is at most `limit_s` away."""
    remaining = message.remaining_ms / 1000 if message.remaining_ms else limit_s
    return Call(
        context=context_of(message.context),
        deadline=now + min(remaining, limit_s),
        traceparent=message.traceparent,
        deadline_class=deadline_class_of(message.context),
        origin=message.origin,
    )
