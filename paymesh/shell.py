"""The batch shell: the one way in which every service writes.

A batch of items, from callers, messages or due rows, goes through five steps in one transaction:
look up what was answered before; load and lock the aggregates; decide item by item in memory;
save all with one statement per table; commit. Each item then has its outcome, events go to the
publisher and the effects that are owed to the executor. More: docs/ARCHITECTURE.md.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import structlog
from google.rpc.status_pb2 import Status

from paymesh import metrics
from paymesh.clock import Clock
from paymesh.core import Decision, Event, Guard, View
from paymesh.errors import (
    DeadlinePassed,
    Internal,
    PaymentError,
    RequestIdReused,
    Unavailable,
)
from paymesh.ids import new_id, shard_of
from paymesh.items import Done, EventPosition, Item, Mode, Outcome, RequestClaim, keys_of
from paymesh.status import from_status, to_status
from paymesh.store.port import (
    CommitUnknown,
    Conflict,
    CursorKey,
    Loaded,
    MessageKey,
    Reads,
    Rejected,
    RequestKey,
    Store,
    StoredAnswer,
    StoredEvent,
    Unreachable,
    Writes,
)
from paymesh.store.rowtypes import Aggregate, AggregateSet, RowType
from paymesh.telemetry import batch_span

S = TypeVar("S")
I = TypeVar("I")  # noqa: E741  (item)
O = TypeVar("O")  # noqa: E741  (outcome)
log = structlog.get_logger()

TRIES_MAX = 5
TRIES_TOLD_FROM = 2
"""Writers meet now and then; who fails this often waits for somebody: its log says for what."""
BACKOFF_S = 0.01
UNREACHABLE_TRIES_MAX = 3

Rule = Callable[[Any, Any, datetime, View], Decision[Any]]
"""decide(state, command, at, view): plain, without I/O; raises PaymentError to refuse."""
Refusals = Mapping[str, Callable[[str], PaymentError]]
"""By name, the constraints of the store that decide what no rule can: the refusal that each is, of
what the constraint says."""
NO_REFUSALS: Refusals = {}


class Publisher(Protocol):
    def offer(self, events: Sequence[StoredEvent]) -> None:
        """Take committed events for publication if there is room; never blocks, never raises."""


class Executor(Protocol):
    def offer(self, effects: Sequence[Any]) -> None:
        """Take effects that are owed if there is room; never blocks, never raises."""


class Shell(Generic[S]):
    """Decides and saves batches of commands on one kind of aggregate.

    `rules` by command type. `owed(state, at)` says, purely, what remains to be done elsewhere for
    a state. `encode` turns an event's payload into bytes.
    """

    def __init__(
        self,
        *,
        store: Store,
        aggregate: Aggregate[S] | AggregateSet[S],
        rules: Mapping[type, Rule],
        encode: Callable[[Event], bytes],
        clock: Clock,
        publisher: Publisher,
        executor: Executor | None = None,
        owed: Callable[[S, datetime], Sequence[Any]] | None = None,
        records: Sequence[RowType[Any]] = (),
        refusals: Refusals = NO_REFUSALS,
    ) -> None:
        self.aggregate = aggregate
        self.records = {kind.entity: kind for kind in records}
        self.guarding = {kind.guard[0]: kind for kind in records if kind.guard is not None}
        """Facts that are themselves the guards of a kind."""
        self.store = store
        self._rules = dict(rules)
        self._encode = encode
        self._clock = clock
        self._publisher = publisher
        self._executor = executor
        self._refusals = refusals
        self.owed = owed or (lambda state, at: ())

    async def process(self, items: Sequence[Item]) -> list[Outcome]:
        """All items, each with its own outcome, in order. Never raises for an item's sake."""
        name = self.aggregate.name

        async def attempt(batch: Sequence[Item]) -> Sequence[Outcome]:
            return await _Batch(self, batch).run()

        with batch_span(f"{name} batch", [i.call.traceparent for i in items]):
            return await commit_isolated(
                name, items, attempt, about=_about, clock=self._clock, refusals=self._refusals
            )

    def after_commit(
        self, events: Sequence[StoredEvent], states: Sequence[S], at: datetime
    ) -> None:
        self._publisher.offer([event for event in events if event.published])
        if self._executor is not None:
            self._executor.offer([effect for state in states for effect in self.owed(state, at)])

    def rule(self, command: Any) -> Rule:
        return self._rules[type(command)]

    def encode(self, event: Event) -> bytes:
        return self._encode(event)

    def monotonic(self) -> float:
        return self._clock.monotonic()


def _about(item: Item) -> Mapping[str, str]:
    return {
        "command": type(item.command).__name__,
        "business_id": item.call.context.business_id,
    }


async def commit_isolated(
    name: str,
    items: Sequence[I],
    attempt: Callable[[Sequence[I]], Awaitable[Sequence[O]]],
    *,
    about: Callable[[I], Mapping[str, str]],
    clock: Clock,
    refusals: Refusals = NO_REFUSALS,
) -> list[O | PaymentError]:
    """One transaction for all items, by `attempt`; if it can't be, halves, until the culprit is
    alone. Never raises for an item's sake; `about`: what a log line says of one that is not saved.
    """
    error: Exception = Internal("not tried")
    unreachable = 0
    for number in range(TRIES_MAX):
        try:
            return list(await attempt(items))
        except (Conflict, CommitUnknown) as caught:
            error = caught
            metrics.BATCH_RETRIES.labels(name).inc()
            if number >= TRIES_TOLD_FROM:
                log.warning("batch.again", aggregate=name, items=len(items), error=str(error))
            await clock.sleep(BACKOFF_S * 2**number * random.random())
        except Unreachable as caught:
            error, unreachable = caught, unreachable + 1
            if unreachable >= UNREACHABLE_TRIES_MAX:
                break
            await clock.sleep(0.1 * 2**number)
        except Rejected as caught:
            error = caught
            break
    if isinstance(error, Unreachable | CommitUnknown):
        log.warning("store.unreachable", aggregate=name, error=str(error))
        refusal = Unavailable("the database does not answer; repeat the same request")
        return [refusal] * len(items)
    if len(items) > 1:
        middle = len(items) // 2
        half = partial(
            commit_isolated, name, attempt=attempt, about=about, clock=clock, refusals=refusals
        )
        return [*await half(items[:middle]), *await half(items[middle:])]
    if isinstance(error, Rejected) and error.constraint in refusals:
        return [refusals[error.constraint](error.why)]
    log.error("item.unsaved", aggregate=name, error=str(error), **about(items[0]))
    metrics.ITEMS_UNSAVED.labels(name).inc()
    if isinstance(error, Conflict):
        return [Unavailable("too much contention; repeat the same request")]
    return [Internal("the decision could not be saved; operators were alerted")]


@dataclass(slots=True)
class _Batch:
    """One try at one transaction: steps 1 to 5."""

    shell: Shell[Any]
    items: Sequence[Item]
    writes: Writes = field(default_factory=Writes)
    states: dict[str, Any] = field(default_factory=dict)
    answers: dict[RequestKey, StoredAnswer] = field(default_factory=dict)
    seen: set[MessageKey] = field(default_factory=set)
    taken: dict[Guard, str] = field(default_factory=dict)
    cursors: dict[CursorKey, int] = field(default_factory=dict)
    events: list[tuple[Event, Item]] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)

    async def run(self) -> list[Outcome]:
        shell = self.shell
        async with shell.store.transaction() as transaction:
            loaded = await transaction.read(shell.aggregate, self._reads())
            self.states = dict(loaded.states)
            self.answers, self.seen = dict(loaded.answers), set(loaded.seen)
            self.taken = dict(loaded.taken)
            self.cursors = dict(loaded.cursors)
            outcomes = [self._decide(item, loaded) for item in self.items]
            self._collect(loaded)
            if self.writes:
                await transaction.commit(self.writes)
        metrics.BATCH_ITEMS.labels(shell.aggregate.name).observe(len(self.items))
        shell.after_commit(
            self.writes.events, [self.states[key] for key in sorted(self.changed)], loaded.at
        )
        return outcomes

    def _reads(self) -> Reads:
        claims = [item.claim for item in self.items]
        guarding = self.shell.guarding
        guards = {g for item in self.items for g in getattr(item.command, "guards", ())}
        records: dict[RowType[Any], list[Guard]] = {}
        for guard in guards:
            if guard.kind in guarding:
                records.setdefault(guarding[guard.kind], []).append(guard)
        return Reads(
            keys=sorted({key for item in self.items for key in keys_of(item.command)}),
            peeks=sorted({k for item in self.items for k in getattr(item.command, "peeks", ())}),
            requests=sorted({c.key for c in claims if isinstance(c, RequestClaim)}),
            messages=sorted({c for c in claims if isinstance(c, MessageKey)}),
            guards=[guard for guard in guards if guard.kind not in guarding],
            records=records,
            cursors=sorted(
                {item.position.cursor for item in self.items if item.position is not None}
            ),
        )

    def _decide(self, item: Item, loaded: Loaded) -> Outcome:
        """Step 3 for one item: replay, refuse, or let the rule decide."""
        shell, claim = self.shell, item.claim
        keys = keys_of(item.command)
        if isinstance(claim, RequestClaim) and claim.key in self.answers:
            return self._replay(item, claim, keys)
        if isinstance(claim, MessageKey) and claim in self.seen:
            return Done(None, self._state(keys), replayed=True)
        if item.call.deadline < shell.monotonic():
            return DeadlinePassed("the deadline passed before the work began; nothing was written")
        if item.position is not None and (
            early_or_late := self._out_of_order(item, item.position, keys)
        ):
            return early_or_late
        many = hasattr(item.command, "keys")
        state = {key: self.states[key] for key in keys} if many else self.states[keys[0]]
        try:
            rule = shell.rule(item.command)
            view = View(self.taken, loaded.shared, loaded.peeked)
            decision = rule(state, item.command, loaded.at, view)
            reply = item.reply(decision.answer) if item.reply else decision.answer
        except PaymentError as refusal:
            if refusal.decided and isinstance(claim, RequestClaim):
                self._keep(claim, ok=False, body=to_status(refusal))
            return refusal
        except Exception as defect:  # one item's defect must not take its neighbours down
            log.exception(
                "item.defect",
                command=type(item.command).__name__,
                business_id=item.call.context.business_id,
            )
            metrics.ITEMS_UNSAVED.labels(shell.aggregate.name).inc()
            return Internal(f"a defect of ours ({type(defect).__name__}); operators were alerted")
        self._accept(item, keys, decision, many)
        if isinstance(claim, RequestClaim):
            self._keep(claim, ok=True, body=reply)
        elif isinstance(claim, MessageKey):
            self._see(claim)
        if item.position is not None:
            self.cursors[item.position.cursor] = item.position.sequence
        return Done(reply, self._state(keys), answer=decision.answer)

    def _state(self, keys: tuple[str, ...]) -> Any:
        """What an outcome shows: the state of the first key; None for a command that has none."""
        return self.states[keys[0]] if keys else None

    def _out_of_order(
        self, item: Item, position: EventPosition, keys: tuple[str, ...]
    ) -> Outcome | None:
        """What becomes of an event that is not the one to count now; None: it is."""
        last = self.cursors.get(position.cursor, 0)
        if position.sequence <= last:
            if isinstance(item.claim, MessageKey):
                self._see(item.claim)
            return Done(None, self._state(keys), replayed=True)
        if position.mode is Mode.ORDERED and position.sequence > last + 1:
            return Unavailable(f"version {position.sequence} came before version {last + 1}")
        return None

    def _see(self, claim: MessageKey) -> None:
        self.seen.add(claim)
        self.writes.messages.append(claim)

    def _replay(self, item: Item, claim: RequestClaim, keys: tuple[str, ...]) -> Outcome:
        stored = self.answers[claim.key]
        if stored.request_hash != claim.request_hash:
            return RequestIdReused(claim.key.request_id)
        if not stored.ok:
            return from_status(Status.FromString(stored.body))
        assert item.response is not None, "a claimed request has a response type"
        if item.shows_state and not self.shell.aggregate.is_there(self.states[keys[0]]):
            # A new row cannot be waited for by its lock: it was committed after we had looked for
            # it and before we looked for the answer, and perhaps for its children.
            raise Conflict("the answer came between two reads")
        return Done(item.response.FromString(stored.body), self._state(keys), replayed=True)

    def _keep(self, claim: RequestClaim, *, ok: bool, body: Any) -> None:
        answer = StoredAnswer(claim.request_hash, ok, body.SerializeToString(deterministic=True))
        self.answers[claim.key] = self.writes.answers[claim.key] = answer

    def _accept(
        self, item: Item, keys: tuple[str, ...], decision: Decision[Any], many: bool
    ) -> None:
        if many:
            self.states.update(decision.state)
            self.changed.update(decision.state)
        else:
            self.states[keys[0]] = decision.state
            self.changed.add(keys[0])
        self.events.extend((event, item) for event in decision.events)
        for guard in decision.guards:
            self.taken[guard] = guard.owner or keys[0]
            if guard.kind not in self.shell.guarding:
                self.writes.guards[guard] = self.taken[guard]
        for record in decision.records:
            self.writes.inserts.setdefault(self.shell.records[type(record)], []).append(record)

    def _collect(self, loaded: Loaded) -> None:
        """Step 4's input: what differs from what was loaded, each row once; and the events."""
        aggregate = self.shell.aggregate
        for key in sorted(self.changed):
            before = {row.id: row for _, row in aggregate.rows(loaded.states[key])}
            for kind, row in aggregate.rows(self.states[key]):
                old = before.get(row.id)
                if old is None:
                    self.writes.inserts.setdefault(kind, []).append(row)
                elif old is not row and old != row:
                    if not kind.may_follow(old, row):
                        raise Rejected(f"a field of {row.id} changed that must not")
                    self.writes.updates.setdefault(kind, []).append((row, old.version))
        self.writes.cursors = {
            key: (now, loaded.cursors.get(key, 0))
            for key, now in self.cursors.items()
            if now != loaded.cursors.get(key, 0)
        }
        self.writes.events = [self._stored(event, item, loaded.at) for event, item in self.events]

    def _stored(self, event: Event, item: Item, at: datetime) -> StoredEvent:
        return StoredEvent(
            id=new_id("evt", bucket=shard_of(event.aggregate_id)),
            type=event.type,
            aggregate_id=event.aggregate_id,
            sequence=event.sequence,
            state=event.state,
            occurred_at=at,
            context=event.context,
            traceparent=item.call.traceparent,
            payload=self.shell.encode(event) if event.published else b"",
            published=event.published,
        )
