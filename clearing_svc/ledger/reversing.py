"""Taking journals back: by another journal with the sides exchanged, once.

It is a journal like any other: limits apply, and what a hold was debited goes back to the account,
not to the hold. A reversal is not taken back itself: what should have been is posted anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from clearing_svc.ledger.accounts import AccountNotOpen, InsufficientFunds
from clearing_svc.ledger.acts import act
from clearing_svc.ledger.callers import REVERSAL
from clearing_svc.ledger.chart import Chart, Side
from clearing_svc.ledger.domain import Entry, Journal, PostJournals, booking_day, post_journals
from clearing_svc.ledger.drafts import JournalDraft, Line, digest_of
from clearing_svc.ledger.holds import States
from clearing_svc.ledger.splitting import TRANSIT
from paymesh.context import Context
from paymesh.core import Decision, Guard, View
from paymesh.errors import Code, IllegalMove, InvalidField, PaymentError

_OTHER = {Side.DEBIT: Side.CREDIT, Side.CREDIT: Side.DEBIT}


class AlreadyReversed(PaymentError):
    """By a request that was not this one: the same one is answered as it was."""

    code, reason = Code.ALREADY_EXISTS, "ALREADY_REVERSED"


class JournalNotReversible(PaymentError):
    """It books a business event, which another event undoes: a refund, a bounce."""

    code, reason = Code.FAILED_PRECONDITION, "JOURNAL_NOT_REVERSIBLE"


@dataclass(frozen=True, slots=True)
class ReverseJournal:
    """`journal` and `entries` as they were posted: they never change."""

    context: Context
    journal: Journal
    entries: tuple[Entry, ...]
    why: str
    accounting_date: date | None = None
    """None: the first open day, or today if that is later."""
    draft: JournalDraft = field(init=False, compare=False)

    def __post_init__(self) -> None:
        lines = tuple(
            Line(e.subject, e.owner, _OTHER[e.side], e.amount, e.reference) for e in self.entries
        )
        draft = JournalDraft(
            REVERSAL,
            self.journal.id,
            lines,
            digest_of([self.why, str(self.accounting_date or "")]),
            accounting_date=self.accounting_date,
            reverses=self.journal.id,
        )
        object.__setattr__(self, "draft", draft)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(sorted({line.account_id for line in self.draft.lines}))

    @property
    def guards(self) -> tuple[Guard, ...]:
        return (self.draft.guard,)


def reverse_journal(
    state: States, command: ReverseJournal, at: datetime, view: View, *, chart: Chart
) -> Decision[States]:
    """Once, and only what a caller posted."""
    original, draft = command.journal, command.draft
    if original.template_version:
        raise JournalNotReversible(
            f"{original.id} books {original.event_type}: only an event of its own undoes that",
            metadata={"journal_id": original.id},
        )
    if original.reverses:
        raise IllegalMove(
            f"{original.id} takes {original.reverses} back: post what should have been anew",
            metadata={"journal_id": original.id},
        )
    if legs := [e.reference for e in command.entries if e.subject == TRANSIT]:
        raise IllegalMove(
            f"{original.id} is a leg of {legs[0]}: post another split journal the other way",
            metadata={"journal_id": original.id, "split_journal_id": legs[0]},
        )
    if draft.guard in view.taken:
        raise AlreadyReversed(
            f"{original.id} was taken back by {draft.id}", metadata={"journal_id": draft.id}
        )
    day = booking_day(command.accounting_date, at, last_closed=view.shared)
    if day < original.accounting_date:
        raise InvalidField(
            "accounting_date", f"lies before the journal's own, {original.accounting_date}"
        )
    try:
        posted = post_journals(
            state, PostJournals(command.context, (draft,)), at, view, chart=chart
        )
    except (InsufficientFunds, AccountNotOpen) as refusal:
        refused = f"{original.id} cannot be taken back: {refusal.message}"
        raise type(refusal)(refused, metadata=refusal.metadata) from refusal
    kept = act(original.id, 1, "REVERSED", command.why, context=command.context, at=at)
    return Decision(
        state=posted.state,
        events=posted.events,
        answer=posted.answer,
        guards=posted.guards,
        records=(*posted.records, kept),
    )
