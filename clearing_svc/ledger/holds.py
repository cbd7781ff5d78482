"""Holds: money that stays where it is and can be spent only by the journals of who holds it.

A hold lies on one or several accounts, in parts. It is placed all or nothing, taken by journals
part by part in order, and what they leave is released. It never ends by time alone: one that is
past its expiry is asked for, and ends only when its owner will never take from it again. That has
to be an answer which stays true: between it and the release anything may happen, and a release is
not to be called back (docs/adr/0018).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from clearing_svc.ledger.accounts import (
    Account,
    AccountNotOpen,
    AccountView,
    InsufficientFunds,
    freed,
    opened,
    reserved,
    subject_for,
)
from clearing_svc.ledger.chart import Chart, Side
from clearing_svc.ledger.drafts import AccountRef, Draw, Line, account_id_of, digest_of
from paymesh.context import Context
from paymesh.core import Decision, Event, Guard, Moves, View, history, moved
from paymesh.errors import Code, FieldViolation, InvalidField, NotFound, PaymentError
from paymesh.money import MINOR_UNITS_MAX, Money, known_currency

SOURCES_MAX = 4
_PAYMENT_ID = re.compile(r"pay_[a-z2-7]{28}").fullmatch


class HoldState(StrEnum):
    HELD = "HELD"
    """It holds money; journals may have taken a part."""
    POSTED = "POSTED"
    """Journals have taken all of it."""
    RELEASED = "RELEASED"
    """What journals had not taken was released."""


HOLD_MOVES: Moves = {
    HoldState.HELD: frozenset({HoldState.HELD, HoldState.POSTED, HoldState.RELEASED}),
    HoldState.POSTED: frozenset(),
    HoldState.RELEASED: frozenset(),
}


class HoldEnded(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "HOLD_ENDED"


class HoldIdReused(PaymentError):
    code, reason = Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"


class NotBookedYet(PaymentError):
    """What the hold has to come after may be booked at any moment: not kept, ask again."""

    code, reason, decided = Code.UNAVAILABLE, "NOT_BOOKED_YET", False


# Rows


@dataclass(frozen=True, slots=True)
class HoldPart:
    """What of a hold lies on one account, in minor units of the hold's currency."""

    account_id: str
    subject: str
    owner: str
    held: int
    """At first."""
    posted: int = 0
    released: int = 0

    @property
    def left(self) -> int:
        return self.held - self.posted - self.released


@dataclass(frozen=True, slots=True)
class Hold:
    id: str
    context: Context
    version: int
    state: HoldState
    amount: Money
    """At first: the sum of its parts."""
    reference: str
    """What it is for, in the words of who asked."""
    digest: str
    """Of what was asked for: whether the same id is asked for the same thing again."""
    parts: tuple[HoldPart, ...]
    """In the order in which they are taken, each on an account of its own."""
    created_at: datetime
    expires_at: datetime | None = None
    """From then on its owner, the payment in its reference, is asked for it; None: never."""
    next_action_at: datetime | None = None
    action_attempts: int = 0

    @property
    def left(self) -> int:
        """What it still holds, in minor units."""
        return sum(part.left for part in self.parts)


@dataclass(frozen=True, slots=True)
class HoldView:
    hold: Hold | None


States = Mapping[str, Any]
"""An AccountView by account id, a HoldView by hold id."""


# Commands


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Hold `amount` on the sources, what the first does not have on the second, and so on."""

    context: Context
    hold_id: str
    amount: Money
    sources: tuple[AccountRef, ...]
    reference: str = ""
    after: Guard | None = None
    """The journal that must have been posted before (see drafts.journal_guard)."""
    expires_at: datetime | None = None
    """When to ask is no part of what the hold is: the digest is without it."""
    payees: tuple[AccountRef, ...] = ()
    """Whom its money is for. No part of what the hold is, either."""

    @property
    def peeks(self) -> tuple[str, ...]:
        """The payees' accounts, in order."""
        return _account_ids(self.payees, self.amount.currency)

    @property
    def account_ids(self) -> tuple[str, ...]:
        """The sources' accounts, in order."""
        return _account_ids(self.sources, self.amount.currency)

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.hold_id, *self.account_ids)

    @property
    def guards(self) -> tuple[Guard, ...]:
        return () if self.after is None else (self.after,)

    @property
    def digest(self) -> str:
        sources = [[source.subject, source.owner] for source in self.sources]
        return digest_of([self.amount.currency, self.amount.minor, sources, self.reference])


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Let go of what a hold still holds."""

    hold_id: str
    sources: tuple[AccountRef, ...]
    """As it was placed with."""
    currency: str

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.hold_id, *_account_ids(self.sources, self.currency))


@dataclass(frozen=True, slots=True)
class ExpireHold:
    """Let go of a hold that is past its expiry, and that its owner will never take from again."""

    context: Context
    hold_id: str
    sources: tuple[AccountRef, ...]
    currency: str

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.hold_id, *_account_ids(self.sources, self.currency))


@dataclass(frozen=True, slots=True)
class QueryHoldOwner:
    """An effect: ask the payment of a hold that is past its expiry."""

    context: Context
    payment_id: str
    unknown_ends: bool
    """Whether the hold ends if there is no such payment."""
    expire: ExpireHold
    """What follows if it is no longer needed."""


def _account_ids(sources: Sequence[AccountRef], currency: str) -> tuple[str, ...]:
    return tuple(account_id_of(source.subject, source.owner, currency) for source in sources)


# Rules


def place_hold(
    state: States, command: PlaceHold, at: datetime, view: View, *, chart: Chart
) -> Decision[States]:
    """All of the amount or nothing. The same hold again is answered as it stands."""
    _check(command, chart)
    known: Hold | None = state[command.hold_id].hold
    if known is not None:
        if known.digest != command.digest:
            raise HoldIdReused(f"{command.hold_id} was placed otherwise; choose a new hold_id")
        return Decision(state={}, answer=HoldView(known))
    if command.after is not None and command.after not in view.taken:
        raise NotBookedYet("the journal that this has to come after is not posted; ask again")
    _require_takers(command, view)
    changed: dict[str, Any] = {}
    parts, shut = [], []
    missing = command.amount.minor
    for source, key in zip(command.sources, command.account_ids, strict=True):
        account: Account = state[key].account or opened(
            chart,
            source.subject,
            source.owner,
            command.amount.currency,
            context=command.context,
            at=at,
        )
        room = account.available_minor
        part = missing if room is None else min(missing, room)
        if part:
            changed[key] = AccountView(reserved(account, part))
            parts.append(HoldPart(key, source.subject, source.owner, held=part))
            missing -= part
        if not account.takes_debits:
            shut.append(account)
    if missing and shut:
        reserved(shut[0], missing)  # says why not
    if missing:
        raise InsufficientFunds(f"{command.amount} is more than the sources have together")
    hold = Hold(
        id=command.hold_id,
        context=command.context,
        version=1,
        state=HoldState.HELD,
        amount=command.amount,
        reference=command.reference,
        digest=command.digest,
        parts=tuple(parts),
        created_at=at,
        expires_at=command.expires_at,
        next_action_at=command.expires_at,
    )
    changed[hold.id] = HoldView(hold)
    return Decision(state=changed, events=(hold_event(hold),), answer=changed[hold.id])


def _require_takers(command: PlaceHold, view: View) -> None:
    """Raises AccountNotOpen while somebody takes nothing whom the money is for. He may change that
    before it comes, either way: so this only spares what would come to nothing now."""
    for index, (payee, key) in enumerate(zip(command.payees, command.peeks, strict=True)):
        account: Account | None = view.peeked[key].account
        if account is not None and not account.takes_credits:
            why = f"is {account.status}: nothing comes in"
            raise AccountNotOpen(
                f"{payee.subject} of {payee.owner} {why}",
                fields=(FieldViolation(f"payees[{index}]", why),),
                metadata={"account_id": key, "subject": payee.subject, "owner": payee.owner},
            )


def release_hold(
    state: States, command: ReleaseHold | ExpireHold, at: datetime, view: View
) -> Decision[States]:
    """Lets go of the rest. A hold that has ended is answered as it stands."""
    hold: Hold | None = state[command.hold_id].hold
    if hold is None:
        raise NotFound(f"no hold {command.hold_id}")
    if hold.state is not HoldState.HELD:
        return Decision(state={}, answer=HoldView(hold))
    changed: dict[str, Any] = {}
    for part in hold.parts:
        if part.left:
            _require_loaded(part, command.keys)
            changed[part.account_id] = AccountView(freed(state[part.account_id].account, part.left))
    parts = tuple(replace(part, released=part.held - part.posted) for part in hold.parts)
    hold = moved(hold, HoldState.RELEASED, HOLD_MOVES, parts=parts, next_action_at=None)
    changed[hold.id] = HoldView(hold)
    return Decision(state=changed, events=(hold_event(hold),), answer=changed[hold.id])


def taken(hold: Hold | None, draw: Draw) -> tuple[Hold, tuple[Line, ...]]:
    """The hold after a journal took so much of it, and the debits: from its parts in order.

    Refuses by raising.
    """
    if hold is None:
        raise NotFound(f"no hold {draw.hold_id}")
    if hold.state is not HoldState.HELD:
        raise HoldEnded(f"{hold.id} is {hold.state}")
    draw.amount.require_same_currency(hold.amount)
    left = Money(hold.amount.currency, hold.left)
    if draw.amount.minor > left.minor:
        raise HoldEnded(f"of {hold.id} only {left} is left, {draw.amount} is to be taken")
    loaded = draw.account_ids
    parts, lines = [], []
    missing = draw.amount.minor
    for part in hold.parts:
        minor = min(missing, part.left)
        if minor:
            _require_loaded(part, loaded)
            amount = Money(left.currency, minor)
            lines.append(Line(part.subject, part.owner, Side.DEBIT, amount, reference=hold.id))
            missing -= minor
        parts.append(replace(part, posted=part.posted + minor))
    whole = draw.amount == left
    to = HoldState.POSTED if whole else HoldState.HELD
    due = None if whole else hold.next_action_at
    return moved(hold, to, HOLD_MOVES, parts=tuple(parts), next_action_at=due), tuple(lines)


def owed(state: HoldView, at: datetime, *, unknown_ends_after: timedelta) -> list[QueryHoldOwner]:
    """What is to be asked about a hold that is due."""
    hold = state.hold
    if hold is None or hold.state is not HoldState.HELD or hold.expires_at is None:
        return []
    sources = tuple(AccountRef(part.subject, part.owner) for part in hold.parts)
    expire = ExpireHold(hold.context, hold.id, sources, hold.amount.currency)
    late = at - hold.expires_at >= unknown_ends_after
    return [QueryHoldOwner(hold.context, hold.reference, late, expire)]


def hold_event(hold: Hold) -> Event:
    """The event of the hold's present version: history, for nobody waits for it."""
    return history(hold, f"clearing.hold.{hold.state.lower()}")


def _require_loaded(part: HoldPart, account_ids: Sequence[str]) -> None:
    if part.account_id not in account_ids:
        raise InvalidField(
            "sources",
            f"the hold lies on {part.subject}, too: name sources and currency as it was placed",
        )


def _check(command: PlaceHold, chart: Chart) -> None:
    """What can be said of a hold without looking at any account."""
    known_currency(command.amount.currency, field="amount.currency_code")
    if not 0 < command.amount.minor <= MINOR_UNITS_MAX:
        raise InvalidField("amount.minor_units", "must be greater than zero")
    if command.expires_at is not None and not _PAYMENT_ID(command.reference):
        raise InvalidField("reference", "must name the payment that is asked once it has expired")
    if not 1 <= len(command.sources) <= SOURCES_MAX:
        raise InvalidField("sources", f"a hold has 1 to {SOURCES_MAX} of them")
    for index, source in enumerate(command.sources):
        field = f"sources[{index}]"
        subject = subject_for(chart, source.subject, source.owner, field=field)
        if subject.needs_reference:
            # What lies there belongs to its references; a hold would take it from all of them.
            raise InvalidField(f"{field}.subject", f"nothing is held on {subject.name}")
        if source in command.sources[:index]:
            raise InvalidField(field, "comes twice")
    for index, payee in enumerate(command.payees):
        subject_for(chart, payee.subject, payee.owner, field=f"payees[{index}]")
