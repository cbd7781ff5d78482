"""A payer's balance is paid out to a beneficiary."""

from __future__ import annotations

from pay_svc.payments.accounts import USER_BALANCE
from pay_svc.payments.model import AccountRef, InstructionKind, Payment, Purpose
from pay_svc.payments.steps import PAYOUT, Plan, hold_step, taking_step
from pay_svc.purposes.declaration import Declaration
from paymesh.tools import ToolKind


def _plan(payment: Payment) -> Plan:
    hold = hold_step(payment, payment.amount, (AccountRef(USER_BALANCE, payment.payer_id),))
    kind, channel = InstructionKind.CHANNEL_PAYOUT, payment.payout_channel
    return ((hold,), (taking_step(hold, PAYOUT, kind, payment.amount, channel=channel),))


WITHDRAWAL = Declaration(
    purpose=Purpose.WITHDRAWAL,
    tools=frozenset({ToolKind.BALANCE}),
    plan=_plan,
    needs=frozenset({"beneficiary_id"}),
)
