"""The trade types on offer: a new one is a declaration of its own, named here."""

from __future__ import annotations

from collections.abc import Mapping

from trade_svc.types.declaration import Declaration, TradeType
from trade_svc.types.instant import INSTANT
from trade_svc.types.top_up import TOP_UP
from trade_svc.types.transfer import TRANSFER
from trade_svc.types.withdrawal import WITHDRAWAL

TRADE_TYPES: Mapping[TradeType, Declaration] = {
    declaration.type: declaration for declaration in (INSTANT, TOP_UP, TRANSFER, WITHDRAWAL)
}
