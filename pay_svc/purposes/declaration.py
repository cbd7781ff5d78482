"""What a purpose of payments declares: which tools take part, and which steps follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pay_svc.payments.model import AccountRef, Payment, Purpose
from pay_svc.payments.steps import Plan
from pay_svc.tools import TOOLS
from paymesh.tools import ToolKind


def nobody(payment: Payment) -> tuple[AccountRef, ...]:
    return ()


def nothing(payment: Payment) -> tuple[str, str] | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    purpose: Purpose
    tools: frozenset[ToolKind]
    """Those that may take part, each at most once."""
    plan: Callable[[Payment], Plan]
    """Always follows from the payment's row."""
    payees: Callable[[Payment], tuple[AccountRef, ...]] = nobody
    """Whom the money of its holds is for, where that is an account that may take nothing."""
    held_after: Callable[[Payment], tuple[str, str] | None] = nothing
    """The journal that has to be posted before its money is held: event_type and business_key."""
    returnable: bool = False
    """Whether one that has succeeded can be given back as a whole."""
    needs: frozenset[str] = frozenset()
    """Fields of CreatePayment that only this purpose has, and that it must have."""
    takes: frozenset[str] = frozenset()
    """And those that it may have."""


def bring_in(payment: Payment) -> Plan:
    """What each tool brings, side by side; then what is left to do once all of it is there."""
    parts = [
        declared.bring_in(payment, tool)
        for kind, declared in TOOLS.items()
        for tool in payment.tools
        if tool.kind is kind
    ]
    first = tuple(step for stage, _ in parts for step in stage)
    return first, tuple(step for _, stage in parts for step in stage)
