"""A payer's balance is paid out to a beneficiary, and may come back from there."""

from __future__ import annotations

from paymesh.tools import ToolKind
from trade_svc.types.declaration import Declaration, Party, Purpose, TradeState, TradeType, moves

WITHDRAWAL = Declaration(
    type=TradeType.WITHDRAWAL,
    product_code="WITHDRAWAL",
    purpose=Purpose.WITHDRAWAL,
    moves=moves(
        {
            TradeState.PENDING: {TradeState.PAYING, TradeState.PAID, TradeState.CLOSED},
            # What is on its way out can neither be stopped nor sent a second time.
            TradeState.PAYING: {TradeState.PENDING, TradeState.PAID},
            TradeState.PAID: {TradeState.RETURNED},  # the bank brought it back
            TradeState.CLOSED: set(),
            TradeState.RETURNED: set(),
        }
    ),
    tools=frozenset({ToolKind.BALANCE}),
    parties=frozenset({Party.PAYER, Party.BENEFICIARY}),
)
