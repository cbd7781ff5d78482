"""What the payment core has to know of a payment tool: the steps that it brings, either way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pay_svc.payments.model import Payment
from pay_svc.payments.steps import Stage, Step
from paymesh.tools import Tool, ToolKind

BringIn = Callable[[Payment, Tool], tuple[Stage, Stage]]
"""The steps that bring the tool's part into the payment's transit: what runs side by side with the
others', and what is left to do once all of those have succeeded."""
GiveBack = Callable[[Tool, Step], Step]
"""The step that gives the tool's part back, from what the hold has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTool:
    kind: ToolKind
    bring_in: BringIn
    give_back: GiveBack
    of_payer: bool = False
    """It takes from a balance, so the payer has to be named."""
