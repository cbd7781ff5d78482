"""From the outbox to the bus: the publisher sends from memory, the relay what was left behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from itertools import groupby

import structlog
from payments.type.v1.event_pb2 import Event as EventMessage
from payments.type.v1.event_pb2 import EventBatch

from paymesh import metrics
from paymesh.bus.port import Bus, Message
from paymesh.clock import Clock
from paymesh.linger import Linger
from paymesh.store.port import Conflict, Store, StoredEvent, Unreachable
from paymesh.wire import call_context_of

log = structlog.get_logger()

BUFFER_EVENTS_MAX = 10_000
MESSAGE_EVENTS_MAX = 200
PUBLISH_EVENTS_MAX = 2_000
LINGER_MAX_S = 0.020
FORGET_EVERY_S = 0.1
"""Far less than what the relay gives a publisher."""
RELAY_OLDER_THAN_S = 5.0
RELAY_EVENTS_MAX = 1_000
SCHEMA_VERSION = 1
DAYS_AHEAD = 3
DAYS_KEPT = 7
KEEP_EVERY_S = 3600.0


def to_event(event: StoredEvent) -> EventMessage:
    """The event as it travels."""
    message = EventMessage(
        event_id=event.id,
        type=event.type,
        schema_version=SCHEMA_VERSION,
        aggregate_id=event.aggregate_id,
        sequence=event.sequence,
        call_context=call_context_of(event.context, traceparent=event.traceparent),
        payload=event.payload,
    )
    message.occurred_time.FromDatetime(event.occurred_at)
    return message


def to_messages(events: Sequence[StoredEvent]) -> list[tuple[Message, list[str]]]:
    """Bus messages of one routing key each, with the ids of the events inside."""
    result = []
    for type_, same in groupby(sorted(events, key=lambda e: e.type), key=lambda e: e.type):
        members = list(same)
        for start in range(0, len(members), MESSAGE_EVENTS_MAX):
            part = members[start : start + MESSAGE_EVENTS_MAX]
            body = EventBatch(events=[to_event(e) for e in part]).SerializeToString()
            message = Message(id=part[0].id, routing_key=type_, body=body)
            result.append((message, [e.id for e in part]))
    return result


async def publish(bus: Bus, events: Sequence[StoredEvent]) -> list[str]:
    """Sends events. The ids of those that the bus confirmed."""
    messages = to_messages(events)
    failures = await bus.publish([message for message, _ in messages])
    confirmed: list[str] = []
    for (message, ids), failure in zip(messages, failures, strict=True):
        if failure is None:
            confirmed += ids
            metrics.EVENTS_PUBLISHED.labels(message.routing_key).inc(len(ids))
        else:
            metrics.EVENTS_UNPUBLISHED.labels("refused").inc(len(ids))
            log.warning("event.unpublished", type=message.routing_key, error=str(failure))
    return confirmed


class Publisher:
    """Publishes what its own process has just committed, from a bounded buffer.

    When the buffer is full or the bus is away it drops: the rows are due, the relay sends them.
    What was confirmed is no longer due a moment later, all of that moment in one statement.
    """

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store, self._bus = store, bus
        self._buffer: deque[StoredEvent] = deque()
        self._arrived = asyncio.Event()
        self._linger = Linger(LINGER_MAX_S)
        self._confirmed: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._busy = False

    def offer(self, events: Sequence[StoredEvent]) -> None:
        if len(self._buffer) + len(events) > BUFFER_EVENTS_MAX:
            metrics.EVENTS_UNPUBLISHED.labels("buffer full").inc(len(events))
            return
        self._buffer.extend(events)
        if events:
            self._arrived.set()

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._forget())]

    async def _send(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._linger.seconds(len(self._buffer)))
            count = min(len(self._buffer), PUBLISH_EVENTS_MAX)
            batch = [self._buffer.popleft() for _ in range(count)]
            if not self._buffer:
                self._arrived.clear()
            self._busy, started = True, time.monotonic()
            self._linger.began(count)
            try:
                self._confirmed += await publish(self._bus, batch)
            except Exception:  # told whole, and the rows are still due: the relay sends them
                log.exception("outbox.defect", events=len(batch))
            finally:
                self._linger.ended(time.monotonic() - started)
                self._busy = False

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            await self._forgotten()

    async def _forgotten(self) -> None:
        ids, self._confirmed = self._confirmed, []
        if not ids:
            return
        try:
            await self._store.confirm(ids)
        except (Unreachable, Conflict) as error:  # still due: the relay sends them again
            log.warning("outbox.unconfirmed", events=len(ids), error=str(error))
        except Exception:  # told whole; the next ones must be forgotten all the same
            log.exception("outbox.defect", events=len(ids))

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Flushes what is buffered, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._buffer or self._busy:
                    await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._forgotten()


async def keep_outbox_forever(store: Store, *, clock: Clock) -> None:
    """Every hour: partitions for the days to come, none older than a week. Until cancelled."""
    while True:
        try:
            await store.keep_outbox(days_ahead=DAYS_AHEAD, days_kept=DAYS_KEPT)
        except (Unreachable, Conflict) as error:
            log.warning("outbox.keep_later", error=str(error))
        except Exception:  # tomorrow's partition can wait for the next hour; the default takes rows
            log.exception("outbox.keep_defect")
        await clock.sleep(KEEP_EVERY_S)


async def relay_forever(
    store: Store, bus: Bus, *, clock: Clock, older_than_s: float = RELAY_OLDER_THAN_S
) -> None:
    """Sends due events that nobody sent, until cancelled."""
    while True:
        sent = 0
        try:
            events = await store.unpublished(older_than_s=older_than_s, limit=RELAY_EVENTS_MAX)
            if events:
                confirmed = await publish(bus, events)
                if confirmed:
                    await store.confirm(confirmed)
                sent = len(confirmed)
                log.info("relay.sent", events=sent)
        except (Unreachable, Conflict) as error:
            log.warning("relay.later", error=str(error))
        except Exception:  # a defect in one round must not end the relay
            log.exception("relay.defect")
            metrics.EVENTS_UNPUBLISHED.labels("relay defect").inc()
        if sent < RELAY_EVENTS_MAX:
            await clock.sleep(min(1.0, older_than_s))
