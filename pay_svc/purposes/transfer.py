"""A payer's balance becomes another's."""

from __future__ import annotations

from pay_svc.payments.accounts import USER_BALANCE
from pay_svc.payments.model import AccountRef, Payment, Purpose
from pay_svc.purposes.declaration import Declaration, bring_in
from paymesh.tools import ToolKind


def _payees(payment: Payment) -> tuple[AccountRef, ...]:
    return (AccountRef(USER_BALANCE, payment.payee_id),) if payment.payee_id else ()


TRANSFER = Declaration(
    purpose=Purpose.TRANSFER,
    tools=frozenset({ToolKind.BALANCE}),
    plan=bring_in,
    payees=_payees,
    returnable=True,
    takes=frozenset({"payee_id"}),
)
