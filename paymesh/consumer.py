"""From the bus to the core: deliveries become items, outcomes become verdicts.

A batch of deliveries is one transaction; each event counts once per consumer (the inbox). What the
core refuses for good is parked with the reason; what could not be done now climbs the ladder.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from google.protobuf.message import DecodeError
from payments.type.v1.event_pb2 import Event, EventBatch

from paymesh import metrics
from paymesh.bus.port import HANDLED, Delivery, Leftover, Verdict
from paymesh.clock import Clock
from paymesh.errors import TRANSIENT, PaymentError
from paymesh.items import EventPosition, Item, Mode, Outcome
from paymesh.outbox import SCHEMA_VERSION
from paymesh.store.port import CursorKey, MessageKey
from paymesh.telemetry import batch_span, mark_chains
from paymesh.wire import call_of

log = structlog.get_logger()

HANDLER_LIMIT_S = 10.0

Translate = Callable[[Event], Any]
"""An event's payload as a command of the core; None: nothing to do. Raises DecodeError."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """What one queue's events mean: `commands` by event type, `process` as the shell does it."""

    queue: str
    commands: Mapping[str, Translate]
    process: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]]
    clock: Clock
    mode: Mode = Mode.FACT

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Verdict]:
        """One verdict a delivery. An event of a type or schema that we do not know is parked."""
        left: dict[int, tuple[list[tuple[Event, str]], list[tuple[Event, str]]]] = {}
        items: list[Item] = []
        origins: list[tuple[int, Event]] = []
        verdicts: list[Verdict] = []
        broken: dict[int, Verdict] = {}
        for index, delivery in enumerate(deliveries):
            left[index] = ([], [])
            try:
                events = EventBatch.FromString(delivery.message.body).events
            except DecodeError as error:
                broken[index] = self._unreadable(delivery, error)
                continue
            for event in events:
                try:
                    item = self._item(event)
                except (DecodeError, LookupError, ValueError) as error:
                    left[index][1].append((event, f"not understood: {error!r}"))
                    continue
                except PaymentError as refused:
                    self._judge(left[index], event, refused)
                    continue
                if item is not None:
                    items.append(item)
                    origins.append((index, event))
        with batch_span(f"{self.queue} process", [item.call.traceparent for item in items]):
            mark_chains(item.call.context.business_id for item in items)
            outcomes = await self.process(items) if items else []
        for (index, event), outcome in zip(origins, outcomes, strict=True):
            self._judge(left[index], event, outcome)
        for index, delivery in enumerate(deliveries):
            retry, dead = left[index]
            verdicts.append(broken.get(index) or _verdict(delivery, retry, dead))
        return verdicts

    def _item(self, event: Event) -> Item | None:
        if event.schema_version != SCHEMA_VERSION:
            raise ValueError(f"schema version {event.schema_version} of {event.type}")
        command = self.commands[event.type](event)
        if command is None:
            return None
        position = None
        if self.mode is not Mode.FACT:
            cursor = CursorKey(self.queue, event.aggregate_id)
            position = EventPosition(cursor, event.sequence, self.mode)
        return Item(
            position=position,
            command=command,
            call=call_of(event.call_context, now=self.clock.monotonic(), limit_s=HANDLER_LIMIT_S),
            claim=MessageKey(self.queue, event.event_id),
        )

    def _judge(
        self,
        left: tuple[list[tuple[Event, str]], list[tuple[Event, str]]],
        event: Event,
        outcome: Outcome,
    ) -> None:
        if not isinstance(outcome, PaymentError):
            metrics.EVENTS_HANDLED.labels(
                self.queue, "replayed" if outcome.replayed else "done"
            ).inc()
            return
        reason = f"{outcome.reason}: {outcome.message}"
        later = outcome.code in TRANSIENT or outcome.reason == "NOT_FOUND"
        left[0 if later else 1].append((event, reason))
        metrics.EVENTS_HANDLED.labels(self.queue, "later" if later else "parked").inc()
        log.warning(
            "event.later" if later else "event.parked",
            queue=self.queue,
            event_id=event.event_id,
            type=event.type,
            business_id=event.call_context.context.business_id,
            reason=reason,
        )

    def _unreadable(self, delivery: Delivery, error: DecodeError) -> Verdict:
        metrics.EVENTS_HANDLED.labels(self.queue, "parked").inc()
        log.error("message.unreadable", queue=self.queue, message_id=delivery.message.id)
        message = delivery.message
        return Verdict(dead=(Leftover(message.id, message.body, f"not readable: {error}"),))


def _verdict(
    delivery: Delivery, retry: list[tuple[Event, str]], dead: list[tuple[Event, str]]
) -> Verdict:
    if not retry and not dead:
        return HANDLED
    return Verdict(retry=_leftover(delivery, retry), dead=_leftover(delivery, dead))


def _leftover(delivery: Delivery, parts: list[tuple[Event, str]]) -> tuple[Leftover, ...]:
    if not parts:
        return ()
    body = EventBatch(events=[event for event, _ in parts]).SerializeToString()
    return (Leftover(delivery.message.id, body, parts[0][1][:500]),)
