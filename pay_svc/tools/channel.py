"""Payment by an external channel."""

from __future__ import annotations

from pay_svc.payments.model import InstructionKind, Payment
from pay_svc.payments.steps import COLLECT, REFUND, Stage, Step, taking_step
from pay_svc.tools.tool import PaymentTool
from paymesh.tools import Tool, ToolKind


def _bring_in(payment: Payment, tool: Tool) -> tuple[Stage, Stage]:
    kind = InstructionKind.CHANNEL_COLLECT
    return (Step(COLLECT, kind, tool.amount, channel=tool.channel),), ()


def _give_back(tool: Tool, hold: Step) -> Step:
    kind = InstructionKind.CHANNEL_REFUND
    return taking_step(hold, REFUND, kind, tool.amount, channel=tool.channel)


CHANNEL = PaymentTool(kind=ToolKind.CHANNEL, bring_in=_bring_in, give_back=_give_back)
