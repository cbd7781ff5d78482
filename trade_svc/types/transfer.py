"""A payer's balance becomes another's."""

from __future__ import annotations

from paymesh.tools import ToolKind
from trade_svc.types.declaration import COLLECTED, Declaration, Party, Purpose, TradeType, moves

TRANSFER = Declaration(
    type=TradeType.TRANSFER,
    product_code="TRANSFER",
    purpose=Purpose.TRANSFER,
    moves=moves(COLLECTED),
    tools=frozenset({ToolKind.BALANCE}),
    parties=frozenset({Party.PAYER, Party.PAYEE}),
)
