"""Payment from the payer's balance: it is held, then transferred."""

from __future__ import annotations

from pay_svc.payments.accounts import USER_BALANCE
from pay_svc.payments.model import AccountRef, InstructionKind, Payment
from pay_svc.payments.steps import TRANSFER, Stage, Step, hold_step, taking_step
from pay_svc.tools.tool import PaymentTool
from paymesh.tools import Tool, ToolKind


def _bring_in(payment: Payment, tool: Tool) -> tuple[Stage, Stage]:
    hold = hold_step(payment, tool.amount, (AccountRef(USER_BALANCE, payment.payer_id),))
    return (hold,), (_give_back(tool, hold),)


def _give_back(tool: Tool, hold: Step) -> Step:
    """Whichever way it goes, it comes out of the hold."""
    return taking_step(hold, TRANSFER, InstructionKind.TRANSFER, tool.amount)


BALANCE = PaymentTool(
    kind=ToolKind.BALANCE, bring_in=_bring_in, give_back=_give_back, of_payer=True
)
