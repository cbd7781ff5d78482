"""RETURNS_PAYABLE: money that an account did not take moves on to it once it does.

Owed, like any other effect: the row of what lies there says when to look again, and opening an
account makes that now. What holds have reserved stays for them: a refund of a purchase whose money
lies here takes it from here first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clearing_svc.ledger.accounts import (
    AccountNotOpen,
    AccountView,
    BalanceTooLarge,
    InsufficientFunds,
    booked,
    opened,
)
from clearing_svc.ledger.callers import MOVED_ON
from clearing_svc.ledger.chart import Chart, Side
from clearing_svc.ledger.diverting import Part, Returns, ReturnsView, moved_on
from clearing_svc.ledger.domain import ENTRIES_MAX, PostJournals, post_journals
from clearing_svc.ledger.drafts import JournalDraft, Line, account_id_of, digest_of
from clearing_svc.ledger.holds import States
from paymesh.context import Context
from paymesh.core import Decision, View
from paymesh.money import Money

PARTS_MAX = ENTRIES_MAX - 1
"""Moved on by one journal."""


@dataclass(frozen=True, slots=True)
class MoveReturns:
    """Move on what the accounts take now. `parts`: as they were when it was found due."""

    context: Context
    returns_id: str
    subject: str
    owner: str
    currency: str
    subjects: tuple[str, ...]
    """Of the accounts that it may go to."""

    @property
    def account_id(self) -> str:
        return account_id_of(self.subject, self.owner, self.currency)

    @property
    def keys(self) -> tuple[str, ...]:
        to = (account_id_of(subject, self.owner, self.currency) for subject in self.subjects)
        return (self.returns_id, self.account_id, *to)


def owed(state: ReturnsView, at: datetime) -> list[MoveReturns]:
    """What is to be tried for a row that is due."""
    of = state.returns
    if of is None or not of.parts:
        return []
    subjects = tuple(dict.fromkeys(part.subject for part in of.parts))
    return [MoveReturns(of.context, of.id, of.subject, of.owner, of.currency, subjects)]


def move_returns(
    state: States, command: MoveReturns, at: datetime, view: View, *, chart: Chart
) -> Decision[States]:
    """One journal for all that can go; nothing where no account takes anything yet."""
    returns: Returns | None = state[command.returns_id].returns
    if returns is None:
        return Decision(state={})
    lines, moved = _movable(state, command, returns, at, chart)
    if not lines:
        return Decision(state={})
    total = Money(command.currency, sum(line.amount.minor for line in lines))
    draft = JournalDraft(
        MOVED_ON,
        f"{returns.id}/{returns.version}",
        (Line(command.subject, command.owner, Side.DEBIT, total, returns.id), *lines),
        digest_of([[line.subject, line.reference, line.amount.minor] for line in lines]),
        template_version=1,  # nobody takes it back by hand
    )
    posted = post_journals(state, PostJournals(command.context, (draft,)), at, view, chart=chart)
    left = ReturnsView(moved_on(returns, moved, at))
    return Decision(
        state={**posted.state, command.returns_id: left},
        answer=posted.answer,
        guards=posted.guards,
        records=posted.records,
    )


def _movable(
    state: Mapping[str, Any], command: MoveReturns, returns: Returns, at: datetime, chart: Chart
) -> tuple[list[Line], Counter[tuple[str, str]]]:
    """The credits of what is not held and of what accounts take, and how much of each part."""
    free = state[command.account_id].account.available_minor or 0
    lines: list[Line] = []
    moved: Counter[tuple[str, str]] = Counter()
    credited: Counter[str] = Counter()
    for part in returns.parts[:PARTS_MAX]:
        key = account_id_of(part.subject, command.owner, command.currency)
        minor = min(part.minor, free)
        if key not in command.keys or not minor:
            continue
        if _takes(state, key, credited[key] + minor, part, command, at, chart):
            free -= minor
            credited[key] += minor
            moved[part.subject, part.reference] += minor
            reference = part.reference or returns.id
            amount = Money(command.currency, minor)
            lines.append(Line(part.subject, command.owner, Side.CREDIT, amount, reference))
    return lines, moved


def _takes(
    state: Mapping[str, Any],
    key: str,
    minor: int,
    part: Part,
    command: MoveReturns,
    at: datetime,
    chart: Chart,
) -> bool:
    view: AccountView = state[key]
    account = view.account or opened(
        chart, part.subject, command.owner, command.currency, context=command.context, at=at
    )
    try:
        booked(account, -minor)
    except (AccountNotOpen, InsufficientFunds, BalanceTooLarge):
        return False
    return True
