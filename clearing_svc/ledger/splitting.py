"""Split journals: one journal, booked leg by leg, each leg in a short transaction of its own.

A leg is an entry balanced by SPLIT_TRANSIT of the same owner, so that both accounts lie in one
shard. Debits come first. When all of them are booked, credits follow, and from then on it only goes
forward: a credit that is refused goes to its owner's RETURNS_PAYABLE, or to suspense if he can have
none. If a debit is refused, those that are booked are taken back. Per split journal, its transit is
even at either end.

A leg is tried by whoever finds it due, perhaps by two processes at once, and one that was refused
here may be booked there a moment later: money came, or the account was opened again. So a report
decides nothing. What becomes of a leg is a name that is taken once, in the leg's own transaction
(its Fate): booked, set aside instead, or barred. Who comes later is told which. Before a
split journal ends without a leg, the leg is barred: then nobody books it any more, however late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from clearing_svc.ledger.callers import LEG, require_callers_own
from clearing_svc.ledger.chart import Chart, Side
from clearing_svc.ledger.diverting import Way
from clearing_svc.ledger.domain import JournalKeyReused, check
from clearing_svc.ledger.drafts import JournalDraft, Line, drafted, journal_id_of
from paymesh.context import Context
from paymesh.core import Decision, Guard, Moves, View, history, moved
from paymesh.errors import CurrencyMismatch, NotFound
from paymesh.ids import body_of

TRANSIT, SUSPENSE = "SPLIT_TRANSIT", "SUSPENSE"


class SplitState(StrEnum):
    DEBITING = "DEBITING"
    CREDITING = "CREDITING"
    """All debits are booked; nothing turns back any more."""
    POSTED = "POSTED"
    REVERSING = "REVERSING"
    """A debit was refused: what is booked is being taken back."""
    REFUSED = "REFUSED"


_S = SplitState
SPLIT_MOVES: Moves = {
    _S.DEBITING: frozenset({_S.DEBITING, _S.CREDITING, _S.REVERSING}),
    _S.CREDITING: frozenset({_S.CREDITING, _S.POSTED}),
    _S.REVERSING: frozenset({_S.REVERSING, _S.REFUSED}),
    _S.POSTED: frozenset(),
    _S.REFUSED: frozenset(),
}
OVER = frozenset({_S.POSTED, _S.REFUSED})


class Fate(StrEnum):
    """What has become of a leg, or of taking it back: one of these, for ever."""

    BOOKED = "BOOKED"
    SUSPENDED = "SUSPENDED"
    """Its account took no money: that lies on its owner's RETURNS_PAYABLE, or in suspense under the
    split journal's id."""
    BARRED = "BARRED"
    """Nothing was booked, and nothing will be."""


FORWARD: dict[Fate | None, str] = {Fate.BOOKED: "", Fate.SUSPENDED: "/suspend"}
BACK: dict[Fate | None, str] = {Fate.BOOKED: "/back", Fate.SUSPENDED: "/suspend"}
"""How the journals of a leg's fates are named. A leg that is taken back is a debit, one that goes
is set aside is a credit: so /suspend names one journal."""


# Rows


@dataclass(frozen=True, slots=True)
class Leg:
    """One entry as asked for, and how far it is."""

    number: int
    """Its place among the entries, from 1."""
    subject: str
    owner: str
    side: Side
    minor: int
    """In minor units of the split journal's currency."""
    reference: str
    fate: Fate | None = None
    back: Fate | None = None
    """Of taking it back, once it was booked."""
    refusal: str = ""
    """Why its account did not take the money, or did not give it."""


@dataclass(frozen=True, slots=True)
class SplitJournal:
    """The id follows from event_type and business_key, its name."""

    id: str
    context: Context
    version: int
    state: SplitState
    event_type: str
    business_key: str
    digest: str
    """Of what makes it the same one, when its name comes again."""
    currency: str
    legs: tuple[Leg, ...]
    refusal: str
    """The reason for which it was refused, or empty."""
    created_at: datetime
    next_action_at: datetime | None
    action_attempts: int = 0

    def journal_id(self, leg: Leg, suffix: str = "") -> str:
        return journal_id_of(leg_type(self, leg) + suffix, self.business_key)

    @property
    def journal_ids(self) -> tuple[str, ...]:
        """Of what is known to be booked: debits, then credits, then what took debits back."""
        by_side = sorted(self.legs, key=lambda leg: leg.side is Side.CREDIT)
        suffixes = [(leg, FORWARD.get(leg.fate)) for leg in by_side]
        suffixes += [(leg, BACK.get(leg.back)) for leg in by_side]
        return tuple(self.journal_id(leg, s) for leg, s in suffixes if s is not None)

    @property
    def suspended(self) -> list[tuple[Leg, str]]:
        """The legs whose accounts took no money, with the journals that set it aside."""
        legs = [leg for leg in self.legs if Fate.SUSPENDED in {leg.fate, leg.back}]
        return [(leg, self.journal_id(leg, BACK[Fate.SUSPENDED])) for leg in legs]


@dataclass(frozen=True, slots=True)
class SplitView:
    split: SplitJournal | None


@dataclass(frozen=True, slots=True)
class SplitTiming:
    lease: timedelta = timedelta(seconds=2)
    """After a commit its own process goes on; after this the sweeper does."""


def leg_type(split: SplitJournal, leg: Leg) -> str:
    return f"{split.event_type}{LEG}{leg.number}"


def split_id_of(event_type: str, business_key: str) -> str:
    """The one split journal of a name."""
    return f"spl_{body_of(journal_id_of(event_type, business_key))}"


# Commands


@dataclass(frozen=True, slots=True)
class PostSplit:
    context: Context
    event_type: str
    business_key: str
    lines: tuple[Line, ...]

    @property
    def key(self) -> str:
        return split_id_of(self.event_type, self.business_key)


@dataclass(frozen=True, slots=True)
class LegBooked:
    """What a leg's own transaction found or made of it."""

    split_id: str
    context: Context
    number: int
    back: bool
    """It was to be taken back."""
    fate: Fate

    @property
    def key(self) -> str:
        return self.split_id


@dataclass(frozen=True, slots=True)
class LegRefused:
    """A leg, or taking it back, was refused for good when it was tried."""

    split_id: str
    context: Context
    number: int
    back: bool
    reason: str

    @property
    def key(self) -> str:
        return self.split_id


@dataclass(frozen=True, slots=True)
class BookLeg:
    """A command of the ledger: give what `name` names this fate, and book it, unless it has one."""

    context: Context
    name: str
    fate: Fate
    draft: JournalDraft | None
    """What is booked; None: nothing."""
    ways: tuple[Way, ...] = ()
    """Of the account that is known to take nothing."""
    keys: tuple[str, ...] = field(init=False, compare=False)
    guards: tuple[Guard, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        fate = Guard("split_leg", self.name, self.fate)
        draft = self.draft
        keys = {line.account_id for line in draft.lines} if draft else set()
        keys.update(key for way in self.ways for key in way.keys)
        object.__setattr__(self, "keys", tuple(sorted(keys)))
        object.__setattr__(self, "guards", (fate, draft.guard) if draft else (fate,))


@dataclass(frozen=True, slots=True)
class SubmitLeg:
    """An effect: book a leg, and tell the split journal."""

    split_id: str
    context: Context
    number: int
    back: bool
    command: BookLeg


# Rules of the split journal


def post_split(
    state: SplitView,
    command: PostSplit,
    at: datetime,
    view: View,
    *,
    chart: Chart,
    timing: SplitTiming,
) -> Decision[SplitView]:
    """Begins it. The same again is answered as it stands."""
    check(command.lines, chart)
    require_callers_own(command.event_type, command.business_key, command.lines, chart)
    for line in command.lines:
        if line.amount.currency != command.lines[0].amount.currency:
            raise CurrencyMismatch("a split journal has one currency: exchange in one of its own")
    digest = drafted(command.event_type, command.business_key, command.lines).digest
    if state.split is not None:
        if state.split.digest != digest:
            raise JournalKeyReused(
                f"{command.event_type} of {command.business_key} was posted otherwise, "
                f"as {command.key}",
                metadata={"split_journal_id": command.key},
            )
        return Decision(state=state, answer=state)
    split = SplitJournal(
        id=command.key,
        context=command.context,
        version=1,
        state=SplitState.DEBITING,
        event_type=command.event_type,
        business_key=command.business_key,
        digest=digest,
        currency=command.lines[0].amount.currency,
        legs=tuple(
            Leg(number, line.subject, line.owner, line.side, line.amount.minor, line.reference)
            for number, line in enumerate(command.lines, start=1)
        ),
        refusal="",
        created_at=at,
        next_action_at=at + timing.lease,
    )
    return _decided(split)


def leg_booked(
    state: SplitView, command: LegBooked, at: datetime, view: View, *, timing: SplitTiming
) -> Decision[SplitView]:
    split, leg = _leg(state, command)
    if _fate(leg, back=command.back) is not None:
        return Decision(state=state, answer=state)
    # What was refused once and is booked after all was not refused.
    refusal = "" if command.fate is Fate.BOOKED else leg.refusal
    fate, back = (leg.fate, command.fate) if command.back else (command.fate, leg.back)
    legs = _with(split, replace(leg, fate=fate, back=back, refusal=refusal))
    return _moved(split, _next(split.state, legs), at, timing, legs=legs)


def leg_refused(
    state: SplitView, command: LegRefused, at: datetime, view: View, *, timing: SplitTiming
) -> Decision[SplitView]:
    """A refused debit turns all back. A credit, or what is taken back, is set aside instead."""
    split, leg = _leg(state, command)
    if _fate(leg, back=command.back) is not None or leg.refusal or split.state in OVER:
        return Decision(state=state, answer=state)
    legs = _with(split, replace(leg, refusal=command.reason))
    if split.state is SplitState.DEBITING:
        to, why = SplitState.REVERSING, command.reason
        return _moved(split, to, at, timing, legs=legs, refusal=why)
    return _moved(split, split.state, at, timing, legs=legs)


def _leg(state: SplitView, command: LegBooked | LegRefused) -> tuple[SplitJournal, Leg]:
    if state.split is None:
        raise NotFound(f"no split journal {command.split_id}")
    return state.split, state.split.legs[command.number - 1]


def _fate(leg: Leg, *, back: bool) -> Fate | None:
    return leg.back if back else leg.fate


def _with(split: SplitJournal, leg: Leg) -> tuple[Leg, ...]:
    return tuple(leg if old.number == leg.number else old for old in split.legs)


def _next(state: SplitState, legs: Sequence[Leg]) -> SplitState:
    debits = [leg for leg in legs if leg.side is Side.DEBIT]
    if state is SplitState.DEBITING and all(leg.fate is Fate.BOOKED for leg in debits):
        return SplitState.CREDITING
    if state is SplitState.CREDITING and all(leg.fate for leg in legs):
        return SplitState.POSTED
    if state is SplitState.REVERSING and all(map(_undone, debits)):
        return SplitState.REFUSED
    return state


def _undone(leg: Leg) -> bool:
    return leg.fate is Fate.BARRED or leg.back is not None


def _moved(
    split: SplitJournal, to: SplitState, at: datetime, timing: SplitTiming, **changes: object
) -> Decision[SplitView]:
    due = None if to in OVER else at + timing.lease
    changes |= {"next_action_at": due, "action_attempts": 0}
    return _decided(moved(split, to, SPLIT_MOVES, **changes))


def _decided(split: SplitJournal) -> Decision[SplitView]:
    """With the event of its present version: history, for nobody waits for it."""
    new = SplitView(split)
    event = history(split, f"clearing.split.{split.state.lower()}")
    return Decision(state=new, events=(event,), answer=new)
