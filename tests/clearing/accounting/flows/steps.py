"""What a case is told in: money is held, something happens, what is left of a hold is released.

Amounts are euro cents. Accounts are named by their subject, those of users with the user:
"USER_BALANCE ann".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from paymesh.money import Money

CURRENCY = "EUR"


@dataclass(frozen=True, slots=True)
class Hold:
    """Before money leaves: `minor` is held on the accounts, in their order."""

    name: str
    minor: int
    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """What is left of a hold is released."""

    name: str


@dataclass(frozen=True, slots=True)
class Happens:
    """A business event. `names` are its facts that are not as usual (see books.USUAL)."""

    words: str
    type: str
    kind: str
    product: str
    amounts: Mapping[str, int]
    names: Mapping[str, str] = field(default_factory=dict)
    hold: str = ""
    """The name of the hold that it takes from."""


Step = Hold | Release | Happens


@dataclass(frozen=True, slots=True)
class Case:
    """A flow as it goes on one occasion. `closing` is worked out by hand."""

    name: str
    story: str
    steps: tuple[Step, ...]
    closing: Mapping[str, int]
    """Balances on the normal side, of all accounts that are not at zero."""
    after: Case | None = None
    """What was before: its balances are the opening ones."""


@dataclass(frozen=True, slots=True)
class Flow:
    name: str
    cases: tuple[Case, ...]
    never: str = ""
    """What cannot occur to it, and why."""


def euros(minor: int) -> str:
    """Such as 1,234.50."""
    return str(Money(CURRENCY, minor)).removeprefix(f"{CURRENCY} ")


MERCHANT = (
    "MERCHANT_RETURNS_PAYABLE",
    "MERCHANT_PENDING",
    "MERCHANT_AVAILABLE",
    "MERCHANT_RECEIVABLE",
)
"""What a merchant is charged on, in this order: first what came to an account that took nothing,
last what it may come to owe us."""
ANN = ("USER_BALANCE ann",)
_MOVED = "pay.instruction.succeeded"


# What instructions did


def collected(minor: int, purpose: str = "PURCHASE", payment: str = "pay_1") -> Happens:
    names = {"payment_id": payment, "origin_payment_id": payment}
    words = f"the channel collects {euros(minor)}"
    return Happens(words, _MOVED, "CHANNEL_COLLECT", purpose, {"amount": minor}, names)


def transferred(minor: int, hold: str, purpose: str = "PURCHASE") -> Happens:
    words = f"{euros(minor)} of ann's balance go into transit"
    return Happens(words, _MOVED, "TRANSFER", purpose, {"amount": minor}, hold=hold)


def returned(minor: int, kind: str) -> Happens:
    """A collection or a transfer is taken back."""
    words = f"{euros(minor)} go back to the payer, by {_BY[kind]}"
    return Happens(words, _MOVED, kind, "RETURN", {"amount": minor})


def refunded(minor: int, kind: str, hold: str) -> Happens:
    words = f"{euros(minor)} are refunded by {_BY[kind]}"
    names = {"payment_id": "pay_2", "origin_payment_id": "pay_1"}
    return Happens(words, _MOVED, kind, "REFUND", {"amount": minor}, names, hold)


_BY = {"CHANNEL_REFUND": "the channel", "TRANSFER": "balance"}


def paid_out(minor: int, hold: str) -> Happens:
    words = f"the channel pays out {euros(minor)}"
    return Happens(words, _MOVED, "CHANNEL_PAYOUT", "WITHDRAWAL", {"amount": minor}, hold=hold)


def bounced(
    minor: int, kind: str, names: Mapping[str, str] | None = None, *, product: str = ""
) -> Happens:
    words = f"the channel brings {euros(minor)} back"
    type_ = "pay.instruction.bounced"
    return Happens(words, type_, kind, product, {"amount": minor}, names or {})


def suspended(
    minor: int, observed: int, kind: str, names: Mapping[str, str] | None = None
) -> Happens:
    words = f"told to move {euros(minor)}, the channel moves {euros(observed)}"
    facts = {"amount": minor, "observed_amount": observed}
    return Happens(words, "pay.instruction.suspended", kind, "", facts, names or {})


def paid(minor: int, product: str, trade: str = "trd_1", payment: str = "pay_1") -> Happens:
    names = {"trade_id": trade, "payment_id": payment}
    words = f"the trade is paid: {euros(minor)}"
    return Happens(words, "trade.trade.paid", "", product, {"amount": minor}, names)


# What the channel's statement says, and what follows with time


def cost(minor: int, kind: str = "OUT", payment: str = "pay_1") -> Happens:
    act = "keeps" if kind == "OUT" else "gives back"
    words = f"the channel {act} {euros(minor)} for its service"
    names = {"payment_id": payment}
    return Happens(words, "clearing.statement.cost", kind, "", {"amount": minor}, names)


def settled(minor: int, payment: str = "pay_1") -> Happens:
    words = f"the statement: {euros(minor)} come in"
    type_, names = "clearing.statement.settled", {"payment_id": payment}
    return Happens(words, type_, "IN", "", {"amount": minor}, names)


def deducted(minor: int) -> Happens:
    words = f"the statement: {euros(minor)} are deducted"
    return Happens(words, "clearing.statement.settled", "OUT", "", {"amount": minor})


def payout_line(minor: int, kind: str = "OUT") -> Happens:
    act = "was paid out" if kind == "OUT" else "came back"
    words = f"the statement: {euros(minor)} {act}"
    return Happens(words, "clearing.statement.payout", kind, "", {"amount": minor})


def window(minor: int, recovered: int = 0) -> Happens:
    words = f"the settlement window releases {euros(minor)}"
    words += f", {euros(recovered)} of it are owed to us" if recovered else ""
    facts = {"amount": minor, "recovered": recovered}
    return Happens(words, "clearing.settlement.released", "", "", facts)


# Disputes, and what a person decides


def disputed(minor: int, fee: int) -> tuple[Happens, Happens]:
    """The channel takes it back; its statement says so."""
    words = f"a dispute: the channel takes back {euros(minor)} and a fee of {euros(fee)}"
    facts = {"amount": minor, "channel_fee": fee}
    return Happens(words, "clearing.dispute.opened", "", "", facts), deducted(minor + fee)


def won(minor: int, fee: int, fee_returned: int) -> Happens:
    gets = euros(minor + fee_returned)
    facts = {"amount": minor, "channel_fee": fee, "fee_returned": fee_returned}
    words = f"the dispute is won: the channel gives {gets} back"
    return Happens(words, "clearing.dispute.won", "", "", facts)


def lost(minor: int, fee: int, charged: int, hold: str) -> Happens:
    facts = {"amount": minor, "channel_fee": fee, "charged": charged}
    words = f"the dispute is lost: {euros(charged)} are charged to the payee"
    return Happens(words, "clearing.dispute.lost", "", "", facts, hold=hold)


def resolved(
    minor: int, kind: str, product: str = "", names: Mapping[str, str] | None = None, hold: str = ""
) -> Happens:
    words = f"a person decides: {euros(minor)} {_DECIDED[kind]}"
    type_, facts = "clearing.suspense.resolved", {"amount": minor}
    return Happens(words, type_, kind, product, facts, names or {}, hold)


_DECIDED = {
    "ACCEPTED": "are the payee's",
    "RETURNED": "go back to the payer",
    "CHARGED": "are charged to who holds for it",
    "RESTORED": "are the merchant's again",
}
