"""Notifications to merchants: per trade one stream, sent in order of the trade's versions.

A message of the bus (the event itself, or its copy on the retry ladder) only wakes; what is sent is
always the stream's oldest undelivered notification, until 24 hours after it was written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from paymesh.context import Context
from paymesh.core import Decision, Event, Moves, View, history, moved
from paymesh.errors import NotFound
from paymesh.ids import body_of, derived_id, shard_of

GIVES_UP_AFTER = timedelta(hours=24)
WAKE_AFTER = timedelta(minutes=15)
"""When the sweeper looks at a stream that no message has woken."""


class NotificationState(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"
    """Given up: nobody took it for a day."""
    CANCELLED = "CANCELLED"
    """Nobody is to hear of it: the merchant took its endpoint away, or an operator dropped it."""


_N = NotificationState
NOTIFICATION_MOVES: Moves = {
    # PENDING → PENDING: a try that failed.
    _N.PENDING: frozenset({_N.PENDING, _N.DELIVERED, _N.DEAD, _N.CANCELLED}),
    _N.DELIVERED: frozenset(),
    # An operator has it sent once more, or drops it.
    _N.DEAD: frozenset({_N.PENDING, _N.CANCELLED}),
    _N.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Stream:
    """The notifications of one trade: a lock and a clock, without moves of its own."""

    id: str
    context: Context
    version: int
    trade_id: str
    next_action_at: datetime | None = None
    action_attempts: int = 0


@dataclass(frozen=True, slots=True)
class Notification:
    id: str
    context: Context
    version: int
    state: NotificationState
    stream_id: str
    sequence: int
    """The trade's version that it tells of."""
    body: str
    """The JSON that is signed and sent, the same at every try."""
    created_at: datetime
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class StreamView:
    stream: Stream | None
    notifications: tuple[Notification, ...] = ()

    @property
    def oldest_pending(self) -> Notification | None:
        pending = [n for n in self.notifications if n.state is NotificationState.PENDING]
        return min(pending, key=lambda n: n.sequence, default=None)


def stream_id_of(trade_id: str) -> str:
    return f"nts_{body_of(trade_id)}"


@dataclass(frozen=True, slots=True)
class AddNotification:
    """A trade moved to a version that its merchant is to hear of."""

    trade_id: str
    sequence: int
    context: Context
    body: str

    @property
    def key(self) -> str:
        return stream_id_of(self.trade_id)


@dataclass(frozen=True, slots=True)
class PassOver:
    """A trade moved, and its merchant wants no notifications: heard, and that is all."""

    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotificationSent:
    """What came of sending: no error means that the merchant answered 2xx."""

    stream_id: str
    notification_id: str
    context: Context
    error: str

    @property
    def key(self) -> str:
        return self.stream_id


@dataclass(frozen=True, slots=True)
class CancelNotifications:
    """Nobody is to hear any more of what waits in a stream."""

    stream_id: str
    context: Context
    reason: str

    @property
    def key(self) -> str:
        return self.stream_id


@dataclass(frozen=True, slots=True)
class DecideDead:
    """What an operator decided of a notification that was given up."""

    stream_id: str
    notification_id: str
    context: Context
    to: NotificationState
    """PENDING: it is sent once more. CANCELLED: it is dropped."""
    why: str

    @property
    def key(self) -> str:
        return self.stream_id


@dataclass(frozen=True, slots=True)
class SendNotification:
    """Effect: POST it to the merchant."""

    context: Context
    stream_id: str
    notification_id: str
    body: str


def notification_body(*, event_id: str, type_: str, sequence: int, trade: dict[str, Any]) -> str:
    """The JSON of a notification: id and version let the merchant drop what it has seen."""
    return json.dumps(
        {"id": event_id, "type": type_, "version": sequence, "trade": trade},
        separators=(",", ":"),
        sort_keys=True,
    )


def add_notification(
    state: StreamView, command: AddNotification, at: datetime, view: View
) -> Decision[StreamView]:
    stream = state.stream or Stream(command.key, command.context, 1, command.trade_id)
    if any(n.sequence == command.sequence for n in state.notifications):
        return Decision(state=state)
    added = Notification(
        id=derived_id(
            "ntf", bucket=shard_of(command.key), key=f"{command.trade_id}:{command.sequence}"
        ),
        context=command.context,
        version=1,
        state=NotificationState.PENDING,
        stream_id=stream.id,
        sequence=command.sequence,
        body=command.body,
        created_at=at,
    )
    if state.stream is not None:
        stream = replace(stream, version=stream.version + 1)
    stream = replace(stream, next_action_at=at + WAKE_AFTER, action_attempts=0)
    return Decision(
        state=StreamView(stream, (*state.notifications, added)),
        events=(history(added, "trade.notification.created"),),
    )


def pass_over(
    state: dict[str, Any], command: PassOver, at: datetime, view: View
) -> Decision[dict[str, Any]]:
    return Decision(state={})


def notification_sent(
    state: StreamView, command: NotificationSent, at: datetime, view: View
) -> Decision[StreamView]:
    if state.stream is None:
        raise NotFound(f"no notifications {command.stream_id}")
    events: list[Event] = []
    after = []
    for n in state.notifications:
        if n.id == command.notification_id and n.state is NotificationState.PENDING:
            if not command.error:
                to, name = NotificationState.DELIVERED, "trade.notification.delivered"
            elif at - n.created_at > GIVES_UP_AFTER:
                to, name = NotificationState.DEAD, "trade.notification.dead"
            else:
                to, name = NotificationState.PENDING, "trade.notification.failed"
            n = moved(n, to, NOTIFICATION_MOVES, last_error=command.error[:200])
            events.append(history(n, name))
        after.append(n)
    waiting = any(n.state is NotificationState.PENDING for n in after)
    stream = replace(
        state.stream,
        version=state.stream.version + 1,
        next_action_at=at + WAKE_AFTER if waiting else None,
        action_attempts=0,
    )
    return Decision(state=StreamView(stream, tuple(after)), events=tuple(events))


def cancel_notifications(
    state: StreamView, command: CancelNotifications, at: datetime, view: View
) -> Decision[StreamView]:
    if state.stream is None:
        raise NotFound(f"no notifications {command.stream_id}")
    if state.oldest_pending is None:
        return Decision(state=state)
    cancelled = {
        n.id: moved(n, NotificationState.CANCELLED, NOTIFICATION_MOVES, last_error=command.reason)
        for n in state.notifications
        if n.state is NotificationState.PENDING
    }
    stream = replace(
        state.stream, version=state.stream.version + 1, next_action_at=None, action_attempts=0
    )
    return Decision(
        state=StreamView(stream, tuple(cancelled.get(n.id, n) for n in state.notifications)),
        events=tuple(history(n, "trade.notification.cancelled") for n in cancelled.values()),
    )


def decide_dead(
    state: StreamView, command: DecideDead, at: datetime, view: View
) -> Decision[StreamView]:
    """Of one that is not DEAD any more, nothing."""
    if state.stream is None:
        raise NotFound(f"no notifications {command.stream_id}")
    decided = {
        n.id: moved(n, command.to, NOTIFICATION_MOVES, last_error=command.why[:200])
        for n in state.notifications
        if n.id == command.notification_id and n.state is NotificationState.DEAD
    }
    if not decided:
        return Decision(state=state)
    stream = replace(state.stream, version=state.stream.version + 1)
    if command.to is NotificationState.PENDING:
        stream = replace(stream, next_action_at=at, action_attempts=0)
    return Decision(
        state=StreamView(stream, tuple(decided.get(n.id, n) for n in state.notifications)),
        events=tuple(
            history(n, f"trade.notification.{_DECIDED[command.to]}") for n in decided.values()
        ),
    )


_DECIDED = {NotificationState.PENDING: "retried", NotificationState.CANCELLED: "cancelled"}


def owed(state: StreamView, at: datetime) -> list[object]:
    """The oldest pending notification is to be sent."""
    oldest = state.oldest_pending
    if oldest is None:
        return []
    return [SendNotification(oldest.context, oldest.stream_id, oldest.id, oldest.body)]
