"""A payer puts money onto a balance."""

from __future__ import annotations

from paymesh.tools import ToolKind
from trade_svc.types.declaration import COLLECTED, Declaration, Party, Purpose, TradeType, moves

TOP_UP = Declaration(
    type=TradeType.TOP_UP,
    product_code="TOP_UP",
    purpose=Purpose.TOP_UP,
    moves=moves(COLLECTED),
    tools=frozenset({ToolKind.CHANNEL}),
    parties=frozenset({Party.PAYEE}),
)
