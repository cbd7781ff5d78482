"""A purchase that is the merchant's at once, and may be given back."""

from __future__ import annotations

from paymesh.tools import ToolKind
from trade_svc.types.declaration import (
    COLLECTED,
    Declaration,
    Purpose,
    TradeState,
    TradeType,
    moves,
)

INSTANT = Declaration(
    type=TradeType.INSTANT,
    product_code="INSTANT",
    purpose=Purpose.PURCHASE,
    # PAID → PAID: a refund begins or ends.
    moves=moves({**COLLECTED, TradeState.PAID: {TradeState.PAID}}),
    tools=frozenset({ToolKind.CHANNEL, ToolKind.BALANCE}),
)
