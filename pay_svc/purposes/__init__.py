"""What payments are for: one declaration a purpose. A new one is a file of its own, named here."""

from __future__ import annotations

from collections.abc import Mapping

from pay_svc.payments.model import Purpose
from pay_svc.purposes.declaration import Declaration
from pay_svc.purposes.purchase import PURCHASE
from pay_svc.purposes.refund import REFUND
from pay_svc.purposes.top_up import TOP_UP
from pay_svc.purposes.transfer import TRANSFER
from pay_svc.purposes.withdrawal import WITHDRAWAL

PURPOSES: Mapping[Purpose, Declaration] = {
    declaration.purpose: declaration
    for declaration in (PURCHASE, TOP_UP, TRANSFER, WITHDRAWAL, REFUND)
}
