"""What the shell knows of a store: a transaction reads once, writes once, and commits.

Reading locks the aggregates it names (in key order) until the transaction ends. Writing is all or
nothing; every count is asserted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from paymesh.context import Context
from paymesh.core import Guard
from paymesh.store.rowtypes import Aggregate, AggregateSet, RowType


class Conflict(Exception):
    """Somebody else was there: a lost CAS, a taken key, a deadlock, a lock timeout. Try again."""


class Rejected(Exception):
    """The data itself was refused (a CHECK, a value out of range): trying again does not help.

    `constraint`: the name of the one that refused it, where there is one, and `why` in its words.
    """

    def __init__(self, text: str, *, constraint: str = "", why: str = "") -> None:
        super().__init__(text)
        self.constraint, self.why = constraint, why


class Unreachable(Exception):
    """The store does not answer. Nothing was committed."""


class CommitUnknown(Exception):
    """The connection broke while committing: read again before doing anything."""


class RequestKey(NamedTuple):
    """(scope, request_id): scope is the method and the merchant."""

    scope: str
    request_id: str


class MessageKey(NamedTuple):
    """(consumer, message id): what makes a message count once."""

    consumer: str
    message_id: str


class CursorKey(NamedTuple):
    """(consumer, aggregate): where a consumer that minds the order keeps how far it has come."""

    consumer: str
    aggregate_id: str


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that a request_id got: for its body's hash, a response or a refusal."""

    request_hash: bytes
    ok: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the outbox keeps it."""

    id: str
    type: str
    aggregate_id: str
    sequence: int
    state: str
    occurred_at: datetime
    context: Context
    traceparent: str
    payload: bytes
    published: bool


@dataclass(frozen=True, slots=True)
class Reads:
    keys: Sequence[str] = ()
    """Ids of aggregates to lock and load."""
    peeks: Sequence[str] = ()
    """Ids of aggregates to look at as they are, without a lock."""
    requests: Sequence[RequestKey] = ()
    messages: Sequence[MessageKey] = ()
    guards: Sequence[Guard] = ()
    cursors: Sequence[CursorKey] = ()
    records: Mapping[RowType[Any], Sequence[Guard]] = field(default_factory=dict)
    """Names that are taken by records, which are there or are not: see RowType."""


@dataclass(frozen=True, slots=True)
class Loaded:
    at: datetime
    states: Mapping[str, Any]
    """A state for every key asked for; one without a root where there is none."""
    answers: Mapping[RequestKey, StoredAnswer]
    seen: frozenset[MessageKey]
    taken: Mapping[Guard, str]
    cursors: Mapping[CursorKey, int]
    """The last sequence that counted; absent: none yet."""
    shared: Any = None
    """What the family's SQL gave."""
    peeked: Mapping[str, Any] = field(default_factory=dict)
    """A state for every key that was to be looked at."""


@dataclass(slots=True)
class Writes:
    inserts: dict[RowType[Any], list[Any]] = field(default_factory=dict)
    updates: dict[RowType[Any], list[tuple[Any, int]]] = field(default_factory=dict)
    """Each row with the version that it must still have."""
    events: list[StoredEvent] = field(default_factory=list)
    answers: dict[RequestKey, StoredAnswer] = field(default_factory=dict)
    messages: list[MessageKey] = field(default_factory=list)
    guards: dict[Guard, str] = field(default_factory=dict)
    cursors: dict[CursorKey, tuple[int, int]] = field(default_factory=dict)
    """New sequence, and the one that it must still have (0: none)."""

    def __bool__(self) -> bool:
        return bool(
            self.inserts
            or self.updates
            or self.events
            or self.answers
            or self.messages
            or self.guards
            or self.cursors
        )


class Transaction(Protocol):
    async def read(self, aggregate: Aggregate[Any] | AggregateSet[Any], reads: Reads) -> Loaded: ...

    async def commit(self, writes: Writes) -> None:
        """Write and commit. Raises Conflict, Rejected, Unreachable or CommitUnknown."""


@dataclass(frozen=True, slots=True)
class Due:
    """A row whose next_action_at had come, claimed until `lease_s` from now."""

    key: str
    attempts: int


class Store(Protocol):
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Leaving it without commit() rolls back."""

    async def load(
        self, aggregate: Aggregate[Any] | AggregateSet[Any], keys: Sequence[str]
    ) -> Mapping[str, Any]:
        """States without locks, for reading; a state without a root where there is none."""

    async def claim_due(
        self, aggregate: Aggregate[Any], *, limit: int, ladder_s: Sequence[float]
    ) -> Sequence[Due]:
        """Take rows whose next_action_at is over, and put it off by the ladder's next rung."""

    async def unpublished(self, *, older_than_s: float, limit: int) -> Sequence[StoredEvent]:
        """Take events that nobody has confirmed, and put them off by 30 s."""

    async def keep_outbox(self, *, days_ahead: int, days_kept: int) -> None:
        """Make room for the coming days' events, and forget those that are too old."""

    async def publish_again(self, event_ids: Sequence[str]) -> int:
        """Make published events due once more, whether or not they were confirmed; how many there
        are of them."""

    async def confirm(self, event_ids: Sequence[str]) -> None:
        """Forget that these events are due: the bus has them."""
