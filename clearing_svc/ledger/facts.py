"""Which events are booked, and which facts each of them has for its template to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from clearing_svc.ledger.chart import PLATFORM, OwnerKind
from clearing_svc.ledger.drafts import AccountRef
from paymesh.money import Money

FEE = "fee"
HOLD_ID = "hold_id"


class NotBookable(ValueError):
    """There is no way to book this event: nothing was written, a person must look."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Which facts an event type has: amounts of money, and names (of owners, of references)."""

    amounts: frozenset[str]
    names: frozenset[str]
    kinds: frozenset[str]
    products: frozenset[str]
    """What its kind and its product can be; none where it has no such thing."""


def _facts(amounts: str, names: str, *, kinds: str = "", products: str = "") -> Facts:
    return Facts(*(frozenset(words.split()) for words in (amounts, names, kinds, products)))


_KINDS = "CHANNEL_COLLECT CHANNEL_REFUND CHANNEL_PAYOUT TRANSFER"
_PURPOSES = "PURCHASE TOP_UP TRANSFER WITHDRAWAL REFUND RETURN"
_PRODUCTS = "INSTANT TOP_UP TRANSFER WITHDRAWAL"

_INSTRUCTION = (
    f"{PLATFORM} channel_account payment_id origin_payment_id payer_id merchant_id {HOLD_ID}"
)
_STATEMENT = "channel_account payment_id statement_id"
_DISPUTE = f"{PLATFORM} channel_account payment_id dispute_id"
_TRADE = f"{PLATFORM} merchant_id payment_id trade_id payee_id"
EVENTS: Mapping[str, Facts] = {
    "pay.instruction.succeeded": _facts("amount", _INSTRUCTION, kinds=_KINDS, products=_PURPOSES),
    "pay.instruction.suspended": _facts(
        "amount observed_amount", _INSTRUCTION, kinds=_KINDS, products=_PURPOSES
    ),
    "pay.instruction.bounced": _facts("amount", _INSTRUCTION, kinds=_KINDS, products=_PURPOSES),
    # The fee is ours to know: see Fees.
    "trade.trade.paid": _facts(f"amount {FEE}", _TRADE, products=_PRODUCTS),
    # Of the amount, `recovered` stays with us for what the merchant owes.
    "clearing.settlement.released": _facts("amount recovered", "merchant_id settlement_id"),
    "clearing.statement.settled": _facts("amount", _STATEMENT, kinds="IN OUT"),
    "clearing.statement.cost": _facts("amount", _STATEMENT, kinds="IN OUT"),
    "clearing.statement.payout": _facts("amount", _STATEMENT, kinds="IN OUT"),
    # `channel_fee`: what the channel takes beside the amount, and `fee_returned`: gives back of it.
    "clearing.dispute.opened": _facts("amount channel_fee", _DISPUTE),
    "clearing.dispute.won": _facts("amount channel_fee fee_returned", _DISPUTE),
    # Of both, the payee bears what is `charged`.
    "clearing.dispute.lost": _facts("amount channel_fee charged", f"{_DISPUTE} {HOLD_ID}"),
    "clearing.suspense.resolved": _facts(
        f"amount {FEE}",
        f"{_TRADE} {HOLD_ID}",
        kinds="ACCEPTED RETURNED CHARGED RESTORED",
        products=_PRODUCTS,
    ),
}
OWNERS: Mapping[str, OwnerKind] = {
    PLATFORM: OwnerKind.PLATFORM,
    "channel_account": OwnerKind.CHANNEL,
    "merchant_id": OwnerKind.MERCHANT,
    "payer_id": OwnerKind.USER,
    "payee_id": OwnerKind.USER,
}
"""Facts that name an owner."""


@dataclass(frozen=True, slots=True)
class BusinessEvent:
    """Something that happened and is to be booked. `amounts` and `names` are its facts.

    A name that it does not have is empty.
    """

    type: str
    kind: str
    product: str
    business_key: str
    occurred_at: datetime
    """UTC. It selects the version of the template."""
    amounts: Mapping[str, Money]
    names: Mapping[str, str]
    hold_sources: tuple[AccountRef, ...] = ()
    """The accounts on which the hold of its hold_id may lie."""

    def name(self, fact: str) -> str:
        """A name that is needed. Raises NotBookable where there is none."""
        if not self.names[fact]:
            raise NotBookable(f"{self.type} of {self.business_key} has no {fact}")
        return self.names[fact]
