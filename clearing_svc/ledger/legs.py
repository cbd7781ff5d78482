"""Legs of split journals: which are owed, their journals, and how one is booked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from clearing_svc.ledger.chart import PLATFORM, Chart, Side
from clearing_svc.ledger.diverting import Way, ways
from clearing_svc.ledger.domain import PostJournals, post_journals
from clearing_svc.ledger.drafts import JournalDraft, Line, drafted
from clearing_svc.ledger.holds import States
from clearing_svc.ledger.splitting import (
    BACK,
    FORWARD,
    OVER,
    SUSPENSE,
    TRANSIT,
    BookLeg,
    Fate,
    Leg,
    SplitJournal,
    SplitState,
    SplitView,
    SubmitLeg,
    leg_type,
)
from paymesh.core import Decision, View
from paymesh.money import Money

# What it owes


def owed(state: SplitView, at: datetime, *, chart: Chart) -> list[SubmitLeg]:
    """The legs that are to be booked now, each by itself."""
    split = state.split
    if split is None or split.state in OVER:
        return []
    asked = (_SUBMIT[split.state](split, leg, chart) for leg in split.legs)
    return [ask for ask in asked if ask is not None]


def _submit_debit(split: SplitJournal, leg: Leg, chart: Chart) -> SubmitLeg | None:
    wanted = leg.side is Side.DEBIT and leg.fate is None
    return _submit(split, leg, Fate.BOOKED, _booking(split, leg)) if wanted else None


def _submit_credit(split: SplitJournal, leg: Leg, chart: Chart) -> SubmitLeg | None:
    if leg.side is Side.DEBIT or leg.fate is not None:
        return None
    if leg.refusal:
        return _submit(split, leg, Fate.SUSPENDED, *_set_aside(split, leg, chart))
    return _submit(split, leg, Fate.BOOKED, _booking(split, leg))


def _submit_back(split: SplitJournal, leg: Leg, chart: Chart) -> SubmitLeg | None:
    if leg.side is Side.CREDIT or leg.back is not None:
        return None
    if leg.fate is None:  # booked or not: now that is known
        return _submit(split, leg, Fate.BARRED, None)
    if leg.fate is Fate.BARRED:
        return None
    if leg.refusal:
        return _submit(split, leg, Fate.SUSPENDED, *_set_aside(split, leg, chart), back=True)
    return _submit(split, leg, Fate.BOOKED, _taking_back(split, leg), back=True)


_SUBMIT: dict[SplitState, Callable[[SplitJournal, Leg, Chart], SubmitLeg | None]] = {
    SplitState.DEBITING: _submit_debit,
    SplitState.CREDITING: _submit_credit,
    SplitState.REVERSING: _submit_back,
}


def _submit(
    split: SplitJournal,
    leg: Leg,
    fate: Fate,
    draft: JournalDraft | None,
    ways: tuple[Way, ...] = (),
    *,
    back: bool = False,
) -> SubmitLeg:
    name = split.journal_id(leg, BACK[Fate.BOOKED] if back else FORWARD[Fate.BOOKED])
    command = BookLeg(split.context, name, fate, draft, ways)
    return SubmitLeg(split.id, split.context, leg.number, back, command)


# Journals of legs

_OTHER = {Side.DEBIT: Side.CREDIT, Side.CREDIT: Side.DEBIT}


def _booking(split: SplitJournal, leg: Leg) -> JournalDraft:
    lines = _between(split, leg, leg.side, leg.subject, leg.owner, leg.reference)
    return drafted(leg_type(split, leg), split.business_key, lines)


def _taking_back(split: SplitJournal, leg: Leg) -> JournalDraft:
    lines = _between(split, leg, _OTHER[leg.side], leg.subject, leg.owner, leg.reference)
    return drafted(
        leg_type(split, leg) + BACK[Fate.BOOKED],
        split.business_key,
        lines,
        reverses=split.journal_id(leg),
    )


def _set_aside(split: SplitJournal, leg: Leg, chart: Chart) -> tuple[JournalDraft, tuple[Way, ...]]:
    """What cannot be credited, or debited no longer: always money for its owner, and its way."""
    type_ = leg_type(split, leg) + BACK[Fate.SUSPENDED]
    reference = leg.reference or split.id
    lines = _between(split, leg, Side.CREDIT, leg.subject, leg.owner, reference)
    draft = drafted(type_, split.business_key, lines)
    found = ways((draft,), chart, always=True)
    if not found:
        lines = _between(split, leg, Side.CREDIT, SUSPENSE, PLATFORM, split.id)
        draft = drafted(type_, split.business_key, lines)
    return draft, found


def _between(
    split: SplitJournal, leg: Leg, side: Side, subject: str, owner: str, reference: str
) -> tuple[Line, ...]:
    """An entry, and the one of its leg's transit that balances it."""
    amount = Money(split.currency, leg.minor)
    return (
        Line(subject, owner, side, amount, reference),
        Line(TRANSIT, leg.owner, _OTHER[side], amount, split.id),
    )


# The rule of the ledger


def book_leg(
    state: States, command: BookLeg, at: datetime, view: View, *, chart: Chart
) -> Decision[States]:
    """The answer is the fate that it has now. Refuses by raising, and then it has none."""
    fate = command.guards[0]
    known = view.taken.get(fate)
    if known is not None:
        return Decision(state={}, answer=Fate(known))
    booked: Decision[States] = Decision(state={})
    if command.draft is not None:
        posting = PostJournals(command.context, (command.draft,), ways=command.ways)
        booked = post_journals(state, posting, at, view, chart=chart)
    return replace(booked, answer=command.fate, guards=(fate, *booked.guards))
