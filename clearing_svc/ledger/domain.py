"""The ledger's rules, as plain functions: what may be booked, and what it does to balances.

A journal is a balanced set of entries and is never changed. An account's balance is the sum of its
entries on its normal side. There is one journal per (event_type, business_key): the same journal
again is answered as posted, another one under that name is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from clearing_svc.ledger.chart import Chart, Side
from clearing_svc.ledger.drafts import JournalDraft, Line, entry_id_of
from paymesh.context import Context
from paymesh.core import Decision, Guard, View
from paymesh.errors import Code, CurrencyMismatch, InvalidField, PaymentError
from paymesh.money import MINOR_UNITS_MAX, Money, known_currency

ENTRIES_MAX = 100


class AccountStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class UnknownSubject(InvalidField):
    """The chart of accounts has no such subject. Nothing was written."""


class Unbalanced(PaymentError):
    """Follows from the request alone, so it is not kept: correct the entries and ask again."""

    code, reason, decided = Code.INVALID_ARGUMENT, "UNBALANCED", False


class JournalKeyReused(PaymentError):
    code, reason = Code.ALREADY_EXISTS, "JOURNAL_KEY_REUSED"


class AccountNotOpen(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN"


class InsufficientFunds(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS"


class BalanceTooLarge(PaymentError):
    """The balance would not fit into 64 bits."""

    code, reason = Code.FAILED_PRECONDITION, "INVALID_FIELD"


# Rows


@dataclass(frozen=True, slots=True)
class Account:
    """`subject` of the chart for one owner in one currency (that of its balance)."""

    id: str
    context: Context
    """Of the chain that opened it."""
    version: int
    status: AccountStatus
    subject: str
    owner: str
    normal_side: Side
    balance: Money
    minimum_minor: int | None
    """Taken from the chart when it was opened: a CHECK of the database holds it, too."""
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class AccountView:
    account: Account | None


@dataclass(frozen=True, slots=True)
class Journal:
    """Insert-only. The id follows from event_type, business_key and what makes it the same one."""

    id: str
    context: Context
    event_type: str
    business_key: str
    accounting_date: date
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal, insert-only; it lives in the shard of its account."""

    id: str
    context: Context
    journal_id: str
    line: int
    """From 1."""
    account_id: str
    subject: str
    owner: str
    side: Side
    amount: Money
    reference: str


@dataclass(frozen=True, slots=True)
class PostJournals:
    """Post all of these or none: the journals that one business event gives, or a caller's one."""

    context: Context
    journals: tuple[JournalDraft, ...]
    keys: tuple[str, ...] = field(init=False, compare=False)
    guards: tuple[Guard, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        keys = sorted({line.account_id for draft in self.journals for line in draft.lines})
        object.__setattr__(self, "keys", tuple(keys))
        object.__setattr__(self, "guards", tuple(draft.guard for draft in self.journals))


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer: journals with their entries, or the ids of those that were there before."""

    journals: tuple[tuple[Journal, tuple[Entry, ...]], ...] = ()
    replayed: tuple[str, ...] = ()


States = Mapping[str, AccountView]


def post_journals(
    state: States, c: PostJournals, at: datetime, view: View, *, chart: Chart
) -> Decision[States]:
    """Books the journals, one after the other, each seeing the balances that the last one left."""
    guards = c.guards
    if any(guard in view.taken for guard in guards):
        return _as_posted(c, guards, view)
    accounts = {key: view.account for key, view in state.items()}
    touched: set[str] = set()
    posted = []
    for draft, guard in zip(c.journals, guards, strict=True):
        _check(draft, chart)
        lines = {line.account_id: line for line in draft.lines}
        for key, debits in _net_debits(draft).items():
            account = accounts[key] or _opened(lines[key], c.context, at, chart)
            accounts[key] = _booked(account, debits)
        touched.update(lines)
        journal = Journal(
            id=guard.owner,
            context=c.context,
            event_type=draft.event_type,
            business_key=draft.business_key,
            accounting_date=at.astimezone(UTC).date(),
            posted_at=at,
        )
        posted.append((journal, _entries(journal, draft)))
    return Decision(
        state={key: AccountView(accounts[key]) for key in touched},
        answer=Posted(tuple(posted)),
        guards=guards,
        facts=tuple(fact for journal, entries in posted for fact in (journal, *entries)),
    )


def _as_posted(c: PostJournals, guards: Sequence[Guard], view: View) -> Decision[States]:
    """The answer to what was posted before.

    Journals of one command commit together: if one is there, all are that there were to be then.
    What a changed fee would add or leave out today does not count any more.
    """
    found = []
    for draft, guard in zip(c.journals, guards, strict=True):
        owner = view.taken.get(guard)
        if owner is not None and owner != guard.owner:
            raise JournalKeyReused(
                f"{draft.event_type} of {draft.business_key} was booked otherwise, as {owner}",
                metadata={"journal_id": owner},
            )
        if owner is not None:
            found.append(owner)
    return Decision(state={}, answer=Posted(replayed=tuple(found)))


def _check(draft: JournalDraft, chart: Chart) -> None:
    """What can be said of a journal without looking at any account."""
    if not 2 <= len(draft.lines) <= ENTRIES_MAX:
        raise InvalidField("entries", f"a journal has 2 to {ENTRIES_MAX} entries")
    sums = {Side.DEBIT: 0, Side.CREDIT: 0}
    for index, line in enumerate(draft.lines):
        field = f"entries[{index}]"
        subject = chart.get(line.subject)
        if subject is None:
            raise UnknownSubject(f"{field}.subject", f"{line.subject!r} is not in the chart")
        if not subject.accepts(line.owner):
            kind = subject.owner
            raise InvalidField(f"{field}.owner", f"{line.subject} belongs to a {kind}")
        known_currency(line.amount.currency, field=f"{field}.amount.currency_code")
        if not 0 < line.amount.minor <= MINOR_UNITS_MAX:
            raise InvalidField(f"{field}.amount.minor_units", "must be greater than zero")
        if subject.needs_reference and not line.reference:
            raise InvalidField(f"{field}.reference", f"{line.subject} needs one")
        if line.amount.currency != draft.lines[0].amount.currency:
            raise CurrencyMismatch("a journal has one currency")
        sums[line.side] += line.amount.minor
    if sums[Side.DEBIT] != sums[Side.CREDIT]:
        raise Unbalanced(f"debits are {sums[Side.DEBIT]}, credits {sums[Side.CREDIT]} minor units")


def _net_debits(draft: JournalDraft) -> dict[str, int]:
    """By account: its debits less its credits, in minor units."""
    result: dict[str, int] = {}
    for line in draft.lines:
        signed = line.amount.minor if line.side is Side.DEBIT else -line.amount.minor
        result[line.account_id] = result.get(line.account_id, 0) + signed
    return result


def _opened(line: Line, context: Context, at: datetime, chart: Chart) -> Account:
    subject = chart[line.subject]
    return Account(
        id=line.account_id,
        context=context,
        version=0,  # the first booking makes it 1
        status=AccountStatus.OPEN,
        subject=line.subject,
        owner=line.owner,
        normal_side=subject.normal_side,
        balance=Money(line.amount.currency, 0),
        minimum_minor=subject.minimum_minor,
        opened_at=at,
    )


def _booked(account: Account, debits: int) -> Account:
    """The account after so many net debits, in minor units. Refuses by raising."""
    delta = debits if account.normal_side is Side.DEBIT else -debits
    if account.status is not AccountStatus.OPEN:
        raise _refusal(AccountNotOpen, account, "is closed")
    minor = account.balance.minor + delta
    minimum = account.minimum_minor
    if delta < 0 and minimum is not None and minor < minimum:
        raise _refusal(InsufficientFunds, account, "would fall below its minimum")
    if abs(minor) > MINOR_UNITS_MAX:
        raise _refusal(BalanceTooLarge, account, "would not fit into 64 bits")
    balance = Money(account.balance.currency, minor)
    return replace(account, version=account.version + 1, balance=balance)


def _refusal(error: type[PaymentError], account: Account, why: str) -> PaymentError:
    about = {"account_id": account.id, "subject": account.subject, "owner": account.owner}
    return error(f"{account.subject} of {account.owner} {why}", metadata=about)


def _entries(journal: Journal, draft: JournalDraft) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            id=entry_id_of(journal.id, number, line.account_id),
            context=journal.context,
            journal_id=journal.id,
            line=number,
            account_id=line.account_id,
            subject=line.subject,
            owner=line.owner,
            side=line.side,
            amount=line.amount,
            reference=line.reference,
        )
        for number, line in enumerate(draft.lines, start=1)
    )
