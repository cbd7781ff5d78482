"""The unified platform context as plain data, and the envelope in which one call carries it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Traffic(StrEnum):
    LIVE = "LIVE"
    SHADOW = "SHADOW"


class DeadlineClass(StrEnum):
    INTERACTIVE = "INTERACTIVE"
    BACKGROUND = "BACKGROUND"


@dataclass(frozen=True, slots=True)
class Context:
    """Who, for what, in which chain; written in every row, header, span and log line.

    merchant_id, order_type, sub_type and pay_org_no together are the business code.
    """

    business_id: str
    merchant_id: str = ""
    order_type: str = ""
    sub_type: str = ""
    pay_org_no: str = ""
    traffic: Traffic = Traffic.LIVE
    parent_business_id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call or one item of a batch: context, deadline (monotonic seconds) and trace."""

    context: Context
    deadline: float
    traceparent: str = ""
    deadline_class: DeadlineClass = DeadlineClass.INTERACTIVE
    origin: str = ""
