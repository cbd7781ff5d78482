"""Commands, and the few things of which the model of the ledger is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

GREATEST = 2**63 - 1


PAST = "PAST"
"""A day between would be beyond a limit: told as INSUFFICIENT_FUNDS. Beside others, at once, it may
be right all the same: then what there is in the end says so."""


UNDECIDED = {"INVALID_FIELD", "NOT_FOUND", "REQUEST_ID_REUSED", PAST}
"""Refusals that are not kept under their request_id: the same request may succeed later."""


TOO_LARGE = "TOO_LARGE"
"""Told as INVALID_FIELD, but kept."""


FAULTS = {
    "unbalanced": "UNBALANCED",
    "two currencies": "CURRENCY_MISMATCH",
    "zero": "INVALID_FIELD",
    "negative": "INVALID_FIELD",
    "unknown subject": "INVALID_FIELD",
    "unknown currency": "INVALID_FIELD",
    "no reference": "INVALID_FIELD",
    "one entry": "INVALID_FIELD",
}
"""What can be wrong with a journal by itself, and what is said of it, before anything else."""


@dataclass(frozen=True)
class Subject:
    grows_by_credit: bool
    minimum: int | None
    maximum: int | None
    referenced: bool
    """Every entry needs a reference, and nothing is held."""


CHART = {
    "USER_BALANCE": Subject(True, 0, None, False),
    "MERCHANT_PENDING": Subject(True, 0, None, False),
    "MERCHANT_RECEIVABLE": Subject(False, 0, 100_000, False),
    "CHANNEL_RECEIVABLE": Subject(False, None, None, False),
    "PAYOUT_TRANSIT": Subject(True, None, None, True),
    "ESCROW": Subject(True, 0, None, True),
}


Name = tuple[str, str, str]
"""An account: subject, owner, currency."""


Line = tuple[Name, str, int]
"""An entry: account, "DEBIT" or "CREDIT", minor units."""


@dataclass(frozen=True)
class Post:
    """One journal of a PostJournals message."""

    event_type: str
    key: str
    lines: tuple[Line, ...]
    request_id: str = ""
    day: date | None = None
    fault: str = ""
    """What the sender does wrong to the lines before it sends them: one of FAULTS."""


@dataclass(frozen=True)
class Message:
    """A PostJournals request."""

    posts: tuple[Post, ...]


@dataclass(frozen=True)
class Place:
    hold_id: str
    minor: int
    sources: tuple[Name, ...]
    request_id: str


@dataclass(frozen=True)
class Take:
    hold_id: str
    minor: int
    sources: tuple[Name, ...]
    to: Name
    key: str
    request_id: str


@dataclass(frozen=True)
class Release:
    hold_id: str
    sources: tuple[Name, ...]
    request_id: str


@dataclass(frozen=True)
class Reverse:
    event_type: str
    key: str
    """Of the journal that is to be taken back."""
    why: str
    request_id: str
    day: date | None = None


@dataclass(frozen=True)
class Create:
    account: Name
    mode: str
    minimum: int | None
    maximum: int | None
    request_id: str


@dataclass(frozen=True)
class SetStatus:
    account: Name
    status: str
    request_id: str


@dataclass(frozen=True)
class SetMode:
    account: Name
    mode: str
    request_id: str


@dataclass(frozen=True)
class CloseDay:
    day: date


Command = Message | Place | Take | Release | Reverse | Create | SetStatus | SetMode | CloseDay


@dataclass
class Account:
    minimum: int | None
    maximum: int | None
    balance: int = 0
    held: int = 0
    status: str = "OPEN"
    mode: str = "DIRECT"


@dataclass
class Part:
    account: Name
    held: int
    posted: int = 0
    released: int = 0

    @property
    def left(self) -> int:
        return self.held - self.posted - self.released


@dataclass
class Hold:
    asked: tuple[int, tuple[Name, ...]]
    """How much, and from where."""
    parts: list[Part]
    state: str = "HELD"

    @property
    def left(self) -> int:
        return sum(part.left for part in self.parts)


@dataclass(frozen=True)
class Journal:
    asked: object
    """What makes it the same one, when its name comes again."""
    lines: tuple[Line, ...]
    day: date | None
    """None: none was named."""
    is_reversal: bool = False


def available(name: Name, account: Account) -> int | None:
    """How much can still be debited; None: without limit."""
    if not takes_debits(name, account):
        return 0
    if CHART[name[0]].grows_by_credit:
        if account.minimum is None:
            return None
        return max(0, account.balance - account.held - account.minimum)
    if account.maximum is None:
        return None
    return max(0, account.maximum - account.balance - account.held)


def takes_debits(name: Name, account: Account) -> bool:
    frozen = "FROZEN_OUT" if CHART[name[0]].grows_by_credit else "FROZEN_IN"
    return account.status not in {"CLOSED", frozen}


def body_of(post: Post) -> object:
    return post.lines, post.day


def told_as(reason: str) -> str:
    words = {TOO_LARGE: "INVALID_FIELD", PAST: "INSUFFICIENT_FUNDS"}
    return {**words, "REQUEST_ID_KEPT": "REQUEST_ID_REUSED"}.get(reason, reason)


def new_account(name: Name) -> Account:
    chart = CHART[name[0]]
    return Account(chart.minimum, chart.maximum)


def net_of(lines: Sequence[Line]) -> dict[Name, int]:
    """Debits less credits, by account."""
    net: dict[Name, int] = {}
    for name, side, minor in lines:
        net[name] = net.get(name, 0) + (minor if side == "DEBIT" else -minor)
    return net


def refusal_of(name: Name, account: Account, debits: int, drawn: int) -> str:
    """Why the account does not take so many net debits; empty: it does."""
    growth = -debits if CHART[name[0]].grows_by_credit else debits
    reserved = 0 < debits <= drawn
    if account.status == "CLOSED":
        return "ACCOUNT_NOT_OPEN"
    if account.status == "FROZEN_IN" and growth > 0 and not reserved:
        return "ACCOUNT_NOT_OPEN"
    if account.status == "FROZEN_OUT" and growth < 0 and not reserved:
        return "ACCOUNT_NOT_OPEN"
    after = replace(account, balance=account.balance + growth, held=account.held - drawn)
    least, greatest = span_of(name, after)
    if account.minimum is not None and least < account.minimum:
        return "INSUFFICIENT_FUNDS"
    if account.maximum is not None and greatest > account.maximum:
        return "INSUFFICIENT_FUNDS"
    return "" if fits(name, after) else TOO_LARGE


def span_of(name: Name, account: Account) -> tuple[int, int]:
    """The least and the greatest that it comes to as its holds are taken."""
    if CHART[name[0]].grows_by_credit:
        return account.balance - account.held, account.balance
    return account.balance, account.balance + account.held


def fits(name: Name, account: Account) -> bool:
    least, greatest = span_of(name, account)
    return least >= -GREATEST and greatest <= GREATEST
