"""A payer pays a merchant."""

from __future__ import annotations

from pay_svc.payments.accounts import PURCHASES
from pay_svc.payments.model import AccountRef, Payment, Purpose
from pay_svc.purposes.declaration import Declaration, bring_in
from paymesh.tools import ToolKind


def _payees(payment: Payment) -> tuple[AccountRef, ...]:
    return (AccountRef(PURCHASES, payment.context.merchant_id),)


PURCHASE = Declaration(
    purpose=Purpose.PURCHASE,
    tools=frozenset({ToolKind.CHANNEL, ToolKind.BALANCE}),
    plan=bring_in,
    payees=_payees,
    returnable=True,
)
