"""What a trade type declares, and the states and moves that all of them have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from paymesh.core import Moves
from paymesh.tools import ToolKind


class TradeType(StrEnum):
    INSTANT = "INSTANT"
    ESCROW = "ESCROW"
    PREAUTH = "PREAUTH"
    TOP_UP = "TOP_UP"
    WITHDRAWAL = "WITHDRAWAL"
    TRANSFER = "TRANSFER"
    REFUND = "REFUND"
    COMBINED = "COMBINED"


class TradeState(StrEnum):
    PENDING = "PENDING"
    PAYING = "PAYING"
    BOOKING = "BOOKING"
    """The money is here; PAID once the ledger has booked it, where a product wants that."""
    PAID = "PAID"
    CLOSED = "CLOSED"
    RETURNED = "RETURNED"


class AttemptState(StrEnum):
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"
    SUSPENDED = "SUSPENDED"
    """Money moved, but not as it should: a person decides."""


class RefundState(StrEnum):
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    RETURNED = "RETURNED"
    """The channel brought back what it had given; what was paid onto a balance stays there."""


class Party(StrEnum):
    """Who takes part in a trade beside its merchant, by the field that names them."""

    PAYER = "payer_id"
    PAYEE = "payee_id"
    BENEFICIARY = "beneficiary_id"


class Purpose(StrEnum):
    """What a payment is for, as the payment core calls it."""

    PURCHASE = "PURCHASE"
    TOP_UP = "TOP_UP"
    TRANSFER = "TRANSFER"
    WITHDRAWAL = "WITHDRAWAL"
    REFUND = "REFUND"


def moves(table: Mapping[StrEnum, set[StrEnum]]) -> Moves:
    return {state: frozenset(after) for state, after in table.items()}


_T, _A, _R = TradeState, AttemptState, RefundState

UNPAID = frozenset({_T.PENDING, _T.PAYING})
"""States in which a trade takes the first success that comes."""

ATTEMPT_MOVES = moves(
    {
        _A.PROCESSING: {
            _A.SUCCEEDED, _A.FAILED, _A.CLOSED, _A.CLOSING, _A.RETURNING, _A.SUSPENDED,
        },
        _A.CLOSING: {_A.SUCCEEDED, _A.FAILED, _A.CLOSED, _A.RETURNING, _A.SUSPENDED},
        # A payout that came back; a success that the ledger would not book.
        _A.SUCCEEDED: {_A.RETURNED, _A.RETURNING},
        # Late success: the money came after all. It pays the trade or is returned, never dropped.
        _A.FAILED: {_A.SUCCEEDED, _A.RETURNING, _A.SUSPENDED},
        _A.CLOSED: {_A.SUCCEEDED, _A.RETURNING, _A.SUSPENDED},
        _A.RETURNING: {_A.RETURNED, _A.SUSPENDED},
        _A.RETURNED: {_A.SUSPENDED},  # what was returned came back again
        _A.SUSPENDED: set(),
    }
)  # fmt: skip
OPEN_ATTEMPTS = frozenset({_A.PROCESSING, _A.CLOSING, _A.RETURNING})

REFUND_MOVES = moves(
    {
        _R.PROCESSING: {_R.SUCCEEDED, _R.FAILED},
        _R.SUCCEEDED: {_R.RETURNED},
        _R.FAILED: set(),
        _R.RETURNED: set(),
    }
)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One trade type. What may be done with a trade follows from its moves."""

    type: TradeType

    product_code: str
    """Selects the accounting templates."""
    purpose: Purpose
    """Of the payments made for it."""
    moves: Moves
    tools: frozenset[ToolKind]
    """What it may be paid with."""
    parties: frozenset[Party] = frozenset()
    """Who has to be named. A payer may always be named, the others only where they have to be."""
    expires_after: timedelta = timedelta(minutes=30)
    expires_after_max: timedelta = timedelta(days=7)

    def _before(self, to: TradeState) -> frozenset[TradeState]:
        return frozenset(state for state, after in self.moves.items() if to in after)

    @property
    def payable(self) -> frozenset[TradeState]:
        """States from which a payment may be started."""
        return self._before(_T.PAYING)

    @property
    def closable(self) -> frozenset[TradeState]:
        """States from which it may be closed, and in which it expires."""
        return self._before(_T.CLOSED)

    @property
    def refundable(self) -> bool:
        """Whether a part or all of a paid one may be given back."""
        return _T.PAID in self.moves[_T.PAID]

    @property
    def may_be_booked_before_paid(self) -> bool:
        """Whether there is something to book before a trade is said to be paid."""
        return _T.BOOKING in self.moves

    @property
    def may_come_back(self) -> bool:
        """Whether the money of a paid one may come back by itself."""
        return _T.RETURNED in self.moves[_T.PAID]


COLLECTED: Mapping[StrEnum, set[StrEnum]] = {
    _T.PENDING: {_T.PAYING, _T.BOOKING, _T.PAID, _T.CLOSED},  # BOOKING, PAID: a late success
    # PAYING → PAYING: the payer starts anew with another tool.
    _T.PAYING: {_T.PAYING, _T.PENDING, _T.BOOKING, _T.PAID, _T.CLOSED},
    _T.BOOKING: {_T.PAID, _T.PENDING},  # PENDING: the ledger would not; the money goes back
    _T.PAID: set(),
    _T.CLOSED: set(),
}
"""Money is taken from a payer: it may be tried again at any time, and given up at any time."""
