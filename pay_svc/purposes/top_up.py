"""A payer puts money onto a balance."""

from __future__ import annotations

from pay_svc.payments.model import Purpose
from pay_svc.purposes.declaration import Declaration, bring_in
from paymesh.tools import ToolKind

TOP_UP = Declaration(
    purpose=Purpose.TOP_UP, tools=frozenset({ToolKind.CHANNEL}), plan=bring_in, returnable=True
)
