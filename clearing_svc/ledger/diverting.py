"""Money for an account that does not take it: it goes to its owner's RETURNS_PAYABLE instead.

Only money that has come already, and so must be booked: an event has happened, a split journal
only goes forward. Who can still say no refuses. What lies there is kept by the account that it came
for, so that it moves on when that is open again (see clearing_svc.ledger.returns).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from clearing_svc.ledger.chart import RETURNS, Chart, Side
from clearing_svc.ledger.drafts import JournalDraft, Line, account_id_of
from paymesh.context import Context
from paymesh.ids import body_of

SOON = timedelta(minutes=1)
"""After this it is looked whether the account takes the money now."""


# Rows


@dataclass(frozen=True, slots=True)
class Part:
    """What came for one account, and on one that needs references: for which."""

    subject: str
    reference: str
    minor: int


@dataclass(frozen=True, slots=True)
class Returns:
    """What of an owner's RETURNS_PAYABLE in one currency is for which of his accounts: its parts
    are its balance. The id follows from the account's."""

    id: str
    context: Context
    """A chain of its own: the journals by which it moves on are told under its id."""
    version: int
    subject: str
    owner: str
    currency: str
    parts: tuple[Part, ...]
    next_action_at: datetime | None
    """None while nothing lies there."""
    action_attempts: int = 0


@dataclass(frozen=True, slots=True)
class ReturnsView:
    returns: Returns | None


def returns_id_of(account_id: str) -> str:
    """Of what lies on a RETURNS_PAYABLE account."""
    return f"rtn_{body_of(account_id)}"


@dataclass(frozen=True, slots=True)
class Way:
    """Where the money of one account goes if that does not take it."""

    account_id: str
    subject: str
    """A RETURNS_PAYABLE."""
    owner: str
    currency: str
    always: bool = False
    """It is known already that the account does not take it."""

    @property
    def keys(self) -> tuple[str, str]:
        """The account that it leads to, and what lies there."""
        account_id = account_id_of(self.subject, self.owner, self.currency)
        return account_id, returns_id_of(account_id)


# Rules


def way_of(chart: Chart, subject: str, owner: str, currency: str) -> Way | None:
    """None for an account whose owner has no RETURNS_PAYABLE, and for that itself."""
    to = RETURNS.get(chart[subject].owner, subject)
    if to == subject:
        return None
    return Way(account_id_of(subject, owner, currency), to, owner, currency)


def ways(drafts: Iterable[JournalDraft], chart: Chart, *, always: bool = False) -> tuple[Way, ...]:
    """Of each account that the drafts credit and whose owner can have a RETURNS_PAYABLE."""
    found: dict[str, Way] = {}
    for draft in drafts:
        for line in draft.lines:
            if line.side is not Side.CREDIT:
                continue
            way = way_of(chart, line.subject, line.owner, line.amount.currency)
            if way is not None:
                found[line.account_id] = replace(way, always=always)
    return tuple(found.values())


def diverted(draft: JournalDraft, shut: Mapping[str, Way]) -> JournalDraft:
    """The draft with the lines of accounts that take nothing on their ways. Its name and its digest
    stay: it is the same journal, wherever its money goes."""
    return replace(
        draft,
        lines=tuple(
            line._replace(subject=shut[line.account_id].subject)
            if line.account_id in shut
            else line
            for line in draft.lines
        ),
    )


def come(lines: Iterable[Line], way: Way, chart: Chart) -> Counter[tuple[str, str]]:
    """What the lines bring the account of the way: minor units by subject and reference."""
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if line.account_id == way.account_id:
            reference = line.reference if chart[line.subject].needs_reference else ""
            minor = line.amount.minor
            found[line.subject, reference] += minor if line.side is Side.CREDIT else -minor
    return found


def laid(
    returns: Returns | None, way: Way, come: Counter[tuple[str, str]], at: datetime
) -> Returns:
    """What lies there with what has come, at first by its way."""
    _, id_ = way.keys
    if returns is None:
        context = Context(business_id=id_)
        returns = Returns(id_, context, 0, way.subject, way.owner, way.currency, (), None)
    all_ = Counter({(part.subject, part.reference): part.minor for part in returns.parts})
    all_.update(come)
    return _with(returns, [Part(*of, minor) for of, minor in all_.items()], at)


def drawn(returns: Returns, minor: int, at: datetime) -> Returns:
    """What is left when a hold's money was taken: an owner's money is one, so in order."""
    parts = []
    for part in returns.parts:
        taken = min(minor, part.minor)
        minor -= taken
        parts.append(replace(part, minor=part.minor - taken))
    assert minor == 0, "the balance is the sum of the parts"
    return _with(returns, parts, at)


def moved_on(returns: Returns, moved: Counter[tuple[str, str]], at: datetime) -> Returns:
    """What is left when so much has moved on, by subject and reference."""
    parts = [
        replace(part, minor=part.minor - moved[part.subject, part.reference])
        for part in returns.parts
    ]
    return _with(returns, parts, at)


def due(returns: Returns, at: datetime) -> Returns:
    """It is to be looked after at once."""
    return replace(returns, version=returns.version + 1, next_action_at=at, action_attempts=0)


def _with(returns: Returns, parts: Sequence[Part], at: datetime) -> Returns:
    assert all(part.minor >= 0 for part in parts), "what has come is never less than nothing"
    left = tuple(part for part in parts if part.minor)
    return replace(
        returns,
        version=returns.version + 1,
        parts=left,
        next_action_at=at + SOON if left else None,
        action_attempts=0,
    )
