"""A merchant gives a part or all of a purchase back."""

from __future__ import annotations

from pay_svc.payments.accounts import MERCHANT_SUBJECTS
from pay_svc.payments.model import AccountRef, Payment, Purpose
from pay_svc.payments.steps import Plan, hold_step
from pay_svc.purposes.declaration import Declaration
from pay_svc.tools import TOOLS
from paymesh.tools import ToolKind

ATTRIBUTION = "trade.trade.paid/attribution"
"""The journal that gives a paid trade's money to its payee, of whom a refund then takes it."""


def _plan(payment: Payment) -> Plan:
    """The whole is held on the payee; the channel may still say no, so the balance comes last."""
    sources = tuple(AccountRef(s, payment.context.merchant_id) for s in MERCHANT_SUBJECTS)
    hold = hold_step(payment, payment.amount, sources)
    parts = [
        (TOOLS[kind].give_back(tool, hold),)
        for kind in (ToolKind.CHANNEL, ToolKind.BALANCE)
        for tool in payment.tools
        if tool.kind is kind
    ]
    return ((hold,), *parts)


def _held_after(payment: Payment) -> tuple[str, str] | None:
    """It may be faster than the booking of the trade that it gives back."""
    return ATTRIBUTION, payment.trade_id


REFUND = Declaration(
    purpose=Purpose.REFUND,
    tools=frozenset({ToolKind.CHANNEL, ToolKind.BALANCE}),
    plan=_plan,
    held_after=_held_after,
    needs=frozenset({"original_payment_id"}),
)
