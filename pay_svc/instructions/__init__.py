"""Kinds of instructions: one handler each. A new one is a file of its own, named here."""

from __future__ import annotations

from collections.abc import Mapping

from pay_svc.instructions.collect import COLLECTION
from pay_svc.instructions.handler import InstructionHandler
from pay_svc.instructions.hold import HOLD
from pay_svc.instructions.payout import PAYOUT
from pay_svc.instructions.refund import REFUND
from pay_svc.instructions.release import RELEASE
from pay_svc.instructions.transfer import TRANSFER
from pay_svc.payments.model import InstructionKind

HANDLERS: Mapping[InstructionKind, InstructionHandler] = {
    handler.kind: handler for handler in (COLLECTION, REFUND, PAYOUT, HOLD, RELEASE, TRANSFER)
}
