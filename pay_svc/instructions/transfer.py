"""What is held on a balance moves into the payment's transit, or back. The ledger books it from its
event."""

from __future__ import annotations

from pay_svc.instructions.handler import InstructionHandler
from pay_svc.payments.model import (
    InstructionKind,
)

TRANSFER = InstructionHandler(
    kind=InstructionKind.TRANSFER,
    draws=True,
    immediate=True,
    undone_by=("return", InstructionKind.TRANSFER),
)
