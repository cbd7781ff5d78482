"""Journals, as plain functions: what may be booked, and what it does to balances and holds.

A journal is a balanced set of entries and is never changed. An account's balance is the sum of its
entries on its normal side. There is one journal per (event_type, business_key): the same journal
again is answered as posted, another one under that name is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from clearing_svc.ledger.accounts import (
    Account,
    AccountNotOpen,
    AccountView,
    BalanceTooLarge,
    InsufficientFunds,
    booked,
    opened,
    require_name,
    subject_for,
)
from clearing_svc.ledger.chart import RETURNS, Chart, Side
from clearing_svc.ledger.diverting import (
    ReturnsView,
    Way,
    come,
    diverted,
    drawn,
    laid,
    returns_id_of,
)
from clearing_svc.ledger.drafts import Draw, JournalDraft, Line, entry_id_of
from clearing_svc.ledger.holds import HoldView, States, hold_event, taken
from paymesh.context import Context
from paymesh.core import Decision, Event, Guard, View
from paymesh.errors import Code, CurrencyMismatch, FieldViolation, InvalidField, PaymentError
from paymesh.money import MINOR_UNITS_MAX, Money, known_currency

ENTRIES_MAX = 100


class Unbalanced(PaymentError):
    """Follows from the request alone, so it is not kept: correct the entries and ask again."""

    code, reason, decided = Code.INVALID_ARGUMENT, "UNBALANCED", False


class DayClosed(PaymentError):
    """An explicit accounting date whose day takes no entries any more."""

    code, reason = Code.FAILED_PRECONDITION, "DAY_CLOSED"


class JournalKeyReused(PaymentError):
    code, reason = Code.ALREADY_EXISTS, "JOURNAL_KEY_REUSED"


# Rows


@dataclass(frozen=True, slots=True)
class Journal:
    """Insert-only. The id follows from event_type and business_key, its name."""

    id: str
    context: Context
    event_type: str
    business_key: str
    digest: str
    """Of what makes it the same one, when its name comes again."""
    reverses: str
    """The id of the journal that it takes back, or empty."""
    template_version: int
    """Of the template that gave it; 0: none."""
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
    """Post all of these or none: the journals that one business event gives, or a caller's one.

    None at all is right, too: an event that moves no money is heard, and nothing is booked.
    """

    context: Context
    journals: tuple[JournalDraft, ...]
    happened: bool = False
    """An event tells of it: no account's status refuses it any more."""
    ways: tuple[Way, ...] = ()
    """Of the accounts whose money is diverted if they do not take it."""
    keys: tuple[str, ...] = field(init=False, compare=False)
    guards: tuple[Guard, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        keys = {line.account_id for draft in self.journals for line in draft.lines}
        for draft in self.journals:
            if draft.draw is not None:
                keys.update((draft.draw.hold_id, *draft.draw.account_ids))
                keys.update(returns_id_of(id_) for id_ in _returns_accounts(draft.draw))
        keys.update(key for way in self.ways for key in way.keys)
        object.__setattr__(self, "keys", tuple(sorted(keys)))
        object.__setattr__(self, "guards", tuple(draft.guard for draft in self.journals))


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer: journals with their entries, or the ids of those that were there before."""

    journals: tuple[tuple[Journal, tuple[Entry, ...]], ...] = ()
    replayed: tuple[str, ...] = ()

    @property
    def journal_ids(self) -> tuple[str, ...]:
        return self.replayed or tuple(journal.id for journal, _ in self.journals)


def post_journals(
    state: States, command: PostJournals, at: datetime, view: View, *, chart: Chart
) -> Decision[States]:
    """Books the journals as one whole: what counts for an account is what all of them do to it."""
    guards = command.guards
    if any(guard in view.taken for guard in guards):
        return _as_posted(command, guards, view)
    now: dict[str, Any] = {}
    events: list[Event] = []
    held: Counter[str] = Counter()
    drafts: list[tuple[JournalDraft, tuple[Line, ...]]] = []
    days: list[date] = []
    for draft in command.journals:
        debits: tuple[Line, ...] = ()
        if draft.draw is not None:
            hold_id = draft.draw.hold_id
            hold, debits = taken((now.get(hold_id) or state[hold_id]).hold, draft.draw)
            now[hold_id] = HoldView(hold)
            events.append(hold_event(hold))
            for line in debits:
                held[line.account_id] += line.amount.minor
        check((*debits, *draft.lines), chart)
        days.append(booking_day(draft.accounting_date, at, last_closed=view.shared))
        drafts.append((draft, debits))
    shut = _book(now, state, command, drafts, held, at, chart)
    if shut:
        _lay(now, state, [draft for draft, _ in drafts], shut, at, chart)
        drafts = [(diverted(draft, shut), debits) for draft, debits in drafts]
        _book(now, state, replace(command, ways=()), drafts, held, at, chart)
    _draw(now, state, [line for _, debits in drafts for line in debits], at)
    posted = []
    for (draft, debits), day in zip(drafts, days, strict=True):
        journal = Journal(
            id=draft.id,
            context=command.context,
            event_type=draft.event_type,
            business_key=draft.business_key,
            digest=draft.digest,
            reverses=draft.reverses,
            template_version=draft.template_version,
            accounting_date=day,
            posted_at=at,
        )
        posted.append((journal, _entries(journal, (*debits, *draft.lines))))
    return Decision(
        state=now,
        events=tuple(events),
        answer=Posted(tuple(posted)),
        guards=guards,
        records=tuple(record for journal, entries in posted for record in (journal, *entries)),
    )


Drafts = Sequence[tuple[JournalDraft, tuple[Line, ...]]]
"""Each with the debits that its hold gave."""


def _book(
    now: dict[str, Any],
    state: States,
    command: PostJournals,
    drafts: Drafts,
    held: Counter[str],
    at: datetime,
    chart: Chart,
) -> Mapping[str, Way]:
    """Puts the accounts as they will be into `now`, if all take what is booked on them; else the
    ways of those that do not. Refuses by raising where there is none."""
    lines = [line for draft, debits in drafts for line in (*debits, *draft.lines)]
    of_account = {line.account_id: line for line in lines}
    ways = {way.account_id: way for way in command.ways}
    after: dict[str, AccountView] = {}
    shut: dict[str, Way] = {}
    for key, net in _net_debits(lines).items():
        account = state[key].account
        if account is None:
            if not command.happened:
                index = lines.index(of_account[key])
                require_name(of_account[key].owner, field=f"entries[{index}]")
            account = _opened(of_account[key], command, at, chart)
        way = ways.get(key) if net <= 0 else None
        if way is not None and way.always:
            shut[key] = way
            continue
        happened = command.happened and way is None
        try:
            booking = booked(account, net, drawn=held[key], whatever_status=happened)
        except (AccountNotOpen, InsufficientFunds, BalanceTooLarge):
            if way is None:
                raise
            shut[key] = way
        else:
            after[key] = AccountView(booking)
    if not shut:
        now.update(after)
    return shut


def _lay(
    now: dict[str, Any],
    state: States,
    drafts: Sequence[JournalDraft],
    shut: Mapping[str, Way],
    at: datetime,
    chart: Chart,
) -> None:
    """Keeps whose the money is that goes to RETURNS_PAYABLE."""
    lines = [line for draft in drafts for line in draft.lines]
    for way in shut.values():
        _, key = way.keys
        view: ReturnsView = now.get(key) or state[key]
        now[key] = ReturnsView(laid(view.returns, way, come(lines, way, chart), at))


def _draw(now: dict[str, Any], state: States, debits: Sequence[Line], at: datetime) -> None:
    """Keeps whose the money is that holds give from RETURNS_PAYABLE."""
    for line in debits:
        if line.subject in RETURNS.values():
            key = returns_id_of(line.account_id)
            returns = (now.get(key) or state[key]).returns
            now[key] = ReturnsView(drawn(returns, line.amount.minor, at))


def _returns_accounts(draw: Draw) -> list[str]:
    """Those of RETURNS_PAYABLE on which its hold may lie."""
    pairs = zip(draw.sources, draw.account_ids, strict=True)
    return [account_id for source, account_id in pairs if source.subject in RETURNS.values()]


def _as_posted(command: PostJournals, guards: Sequence[Guard], view: View) -> Decision[States]:
    """The answer to what was posted before.

    Journals of one command commit together: if one is there, all are that there were to be then.
    What a changed fee would add or leave out today does not count any more.
    """
    found = []
    for draft, guard in zip(command.journals, guards, strict=True):
        digest = view.taken.get(guard)
        if digest is not None:
            found.append(same_journal(draft, digest))
    return Decision(state={}, answer=Posted(replayed=tuple(found)))


def same_journal(draft: JournalDraft, digest: str) -> str:
    """The id of the journal that was posted, if it is the one asked for."""
    if digest != draft.digest:
        raise JournalKeyReused(
            f"{draft.event_type} of {draft.business_key} was booked otherwise, as {draft.id}",
            metadata={"journal_id": draft.id},
        )
    return draft.id


def booking_day(asked: date | None, at: datetime, *, last_closed: date | None) -> date:
    """The day to which a journal belongs in the books.

    `last_closed`: no day up to it takes entries, be it closed or before the books; None: books in
    memory, which have no days. Refuses by raising.
    """
    today = at.astimezone(UTC).date()
    first_open = date.min if last_closed is None else last_closed + timedelta(days=1)
    if asked is None:
        return max(today, first_open)
    if asked < first_open:
        raise DayClosed(
            f"{asked} takes no entries; the first open day is {first_open}",
            fields=(FieldViolation("accounting_date", "is closed, or before the books"),),
        )
    if asked > max(today, first_open):
        raise InvalidField("accounting_date", f"lies in the future: today is {today} (UTC)")
    return asked


def check(lines: Sequence[Line], chart: Chart) -> None:
    """What can be said of a journal without looking at any account."""
    if not 2 <= len(lines) <= ENTRIES_MAX:
        raise InvalidField("entries", f"a journal has 2 to {ENTRIES_MAX} entries")
    check_lines(lines, chart)
    sums: dict[str, dict[Side, int]] = {}
    for line in lines:
        of_currency = sums.setdefault(line.amount.currency, {Side.DEBIT: 0, Side.CREDIT: 0})
        of_currency[line.side] += line.amount.minor
    exchanged = {line.amount.currency for line in lines if chart[line.subject].exchanges}
    if len(sums) > 1 and (lacking := sorted(sums.keys() - exchanged)):
        positions = " or ".join(name for name, subject in chart.items() if subject.exchanges)
        raise CurrencyMismatch(
            f"a journal has one currency; to exchange, book {' and '.join(lacking)} "
            f"against {positions or 'an exchange position, which the chart does not have'}"
        )
    for currency, of_currency in sums.items():
        if of_currency[Side.DEBIT] != of_currency[Side.CREDIT]:
            raise Unbalanced(
                f"debits are {of_currency[Side.DEBIT]}, credits {of_currency[Side.CREDIT]} "
                f"minor units of {currency}"
            )


def check_lines(lines: Sequence[Line], chart: Chart) -> None:
    """What can be said of each line by itself; refusals name it by its place among these."""
    for index, line in enumerate(lines):
        field = f"entries[{index}]"
        subject = subject_for(chart, line.subject, line.owner, field=field)
        known_currency(line.amount.currency, field=f"{field}.amount.currency_code")
        if not 0 < line.amount.minor <= MINOR_UNITS_MAX:
            raise InvalidField(f"{field}.amount.minor_units", "must be greater than zero")
        if subject.needs_reference and not line.reference:
            raise InvalidField(f"{field}.reference", f"{line.subject} needs one")


def _net_debits(lines: Sequence[Line]) -> dict[str, int]:
    """By account: its debits less its credits, in minor units."""
    result: dict[str, int] = {}
    for line in lines:
        signed = line.amount.minor if line.side is Side.DEBIT else -line.amount.minor
        result[line.account_id] = result.get(line.account_id, 0) + signed
    return result


def _opened(line: Line, command: PostJournals, at: datetime, chart: Chart) -> Account:
    currency = line.amount.currency
    return opened(chart, line.subject, line.owner, currency, context=command.context, at=at)


def _entries(journal: Journal, lines: Sequence[Line]) -> tuple[Entry, ...]:
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
        for number, line in enumerate(lines, start=1)
    )
