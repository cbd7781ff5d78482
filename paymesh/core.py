"""The vocabulary of the functional core: rows, events, decisions.

A service's domain is plain functions `decide(state, command, at) -> Decision`. State goes in, new
state comes out; the shell (paymesh.shell) finds what changed, saves it and publishes the events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from paymesh.context import Context
from paymesh.errors import IllegalMove


class Row(Protocol):
    """What every stored entity has: an id, a version (1 when new) and its context."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def context(self) -> Context: ...


class StatefulRow(Row, Protocol):
    @property
    def state(self) -> StrEnum: ...


R = TypeVar("R", bound=StatefulRow)
S = TypeVar("S")
Moves = Mapping[Any, frozenset[Any]]
"""Legal moves as data: from each state, the states that may follow."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fact about one row: its version `sequence` was reached, in `state`.

    Every version of every row that has moves has exactly one event; `published` events also go out
    on the bus, the others are the row's history.
    """

    type: str
    aggregate_id: str
    sequence: int
    state: str
    context: Context
    payload: object = None
    published: bool = True


@dataclass(frozen=True, slots=True)
class Guard:
    """A name that only one aggregate may hold, such as a merchant's order number.

    `owner` is who takes it; empty: the aggregate that the command names (its first key).
    """

    kind: str
    key: str
    owner: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Decision(Generic[S]):
    """What a rule decided: the state after, the records, and the answer to the caller."""

    state: S
    events: tuple[Event, ...] = ()
    answer: Any = None
    guards: tuple[Guard, ...] = ()
    """Names that the aggregate takes now."""
    records: tuple[Any, ...] = ()
    """Rows that are only ever inserted: journals, entries, callbacks."""


@runtime_checkable
class Command(Protocol):
    """What is asked of the core. `key` names the aggregate; everything follows from the command."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class View:
    """What a decision sees beside its state: which guarded names are taken, and by whom."""

    taken: Mapping[Guard, str] = field(default_factory=dict)
    shared: Any = None
    """The family's own: see paymesh.store.rowtypes.AggregateSet."""
    peeked: Mapping[str, Any] = field(default_factory=dict)
    """Other aggregates' states as they were a moment ago, of which the command names the keys as
    its `peeks`. Nobody locks them: what they say is advice."""


def moved(row: R, to: StrEnum, moves: Moves, /, **changes: Any) -> R:
    """The row in its next version and state. Raises IllegalMove unless `moves` allows it."""
    if to not in moves[row.state]:
        raise IllegalMove(
            f"{row.id} is {row.state} and cannot become {to}",
            metadata={"id": row.id, "state": str(row.state)},
        )
    return replace(row, state=to, version=row.version + 1, **changes)  # type: ignore[type-var]


def event(row: StatefulRow, type_: str, payload: object = None, *, published: bool = True) -> Event:
    """The event of the row's present version."""
    return Event(
        type=type_,
        aggregate_id=row.id,
        sequence=row.version,
        state=str(row.state),
        context=row.context,
        payload=payload,
        published=published,
    )


def history(row: StatefulRow, type_: str) -> Event:
    """An event that stays in the row's history and is not sent to anybody."""
    return event(row, type_, published=False)


At = datetime
"""The database's now() at which a batch is decided, UTC."""
