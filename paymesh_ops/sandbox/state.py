"""What has happened, in memory: the sum of the book's records.

`apply` is the only way in, for a record that was just decided and for one read from the book at
start, so both come to the same state. A record holds a whole row; the last row of a number holds.

    {"order": {…}, "notice": {"id": "evt_…", "event_type": "TRANSACTION.SUCCESS", …}}
    {"refund": {…}}                                a row without a callback
    {"callback": {"id": "evt_…", "outcome": "DELIVERED"}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from paymesh_ops.sandbox.domain import Order, Payout, Refund
from paymesh_ops.sandbox.rows import (
    CLASSES,
    KINDS,
    Entity,
    Json,
    from_row,
    time_of,
    time_text,
    to_row,
)


class Outcome(StrEnum):
    """What became of a callback."""

    DELIVERED = "DELIVERED"
    """Somebody answered 2xx."""
    LOST = "LOST"
    """A fault: it was never sent."""
    GAVE_UP = "GAVE_UP"
    """Nobody answered 2xx on any try of the ladder."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A callback that is owed: what it says is fixed here, how often it is sent is not."""

    id: str
    event_type: str
    create_time: datetime
    notify_url: str
    subject: Entity
    """The row as it was at the event, whatever became of it since."""


class State:
    """Every order, refund, payout and callback, by number. One event loop owns it."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.refunds: dict[str, Refund] = {}
        self.payouts: dict[str, Payout] = {}
        self.owed: dict[str, Notice] = {}
        self.outcomes: Counter[Outcome] = Counter()
        self._order_of_prepay: dict[str, str] = {}
        self._refunds_of_order: dict[str, list[str]] = {}
        self._last_notice: dict[str, Notice] = {}

    def apply(self, record: Json) -> None:
        """Take a record in. Raises KeyError, TypeError or ValueError if it is not one."""
        if "callback" in record:
            self._finish(record["callback"]["id"], Outcome(record["callback"]["outcome"]))
            return
        kind = next(kind for kind in CLASSES if kind in record)
        self.put(from_row(kind, record[kind]), self._notice(record, kind))

    def put(self, entity: Entity, notice: Notice | None) -> None:
        """Take a row in, and the callback that it owes."""
        match entity:
            case Order():
                self.orders[entity.params.out_trade_no] = entity
                self._order_of_prepay[entity.prepay_id] = entity.params.out_trade_no
            case Refund():
                number = entity.params.out_refund_no
                if number not in self.refunds:
                    self._refunds_of_order.setdefault(entity.params.out_trade_no, []).append(number)
                self.refunds[number] = entity
            case Payout():
                self.payouts[entity.params.out_payout_no] = entity
        if notice is not None:
            self.owed[notice.id] = notice
            for number in _numbers(entity):
                self._last_notice[number] = notice

    def finish(self, notice: Notice, outcome: Outcome) -> None:
        """A callback is owed no longer."""
        self._finish(notice.id, outcome)

    def order_by_prepay(self, prepay_id: str) -> Order | None:
        return self.orders.get(self._order_of_prepay.get(prepay_id, ""))

    def refunds_of(self, out_trade_no: str) -> Iterator[Refund]:
        return (self.refunds[number] for number in self._refunds_of_order.get(out_trade_no, ()))

    def last_notice(self, number: str) -> Notice | None:
        """The last callback about an order (its refunds included), a refund or a payout."""
        return self._last_notice.get(number)

    def _finish(self, notice_id: str, outcome: Outcome) -> None:
        self.owed.pop(notice_id, None)
        self.outcomes[outcome] += 1

    def _notice(self, record: Json, kind: str) -> Notice | None:
        if "notice" not in record:
            return None
        notice = record["notice"]
        return Notice(
            id=notice["id"],
            event_type=notice["event_type"],
            create_time=time_of(notice["create_time"]),
            notify_url=notice["notify_url"],
            subject=from_row(kind, record[kind]),
        )


def row_record(entity: Entity, notice: Notice | None) -> Json:
    """The record of a new row."""
    record: Json = {KINDS[type(entity)]: to_row(entity)}
    if notice is not None:
        record["notice"] = {
            "id": notice.id,
            "event_type": notice.event_type,
            "create_time": time_text(notice.create_time),
            "notify_url": notice.notify_url,
        }
    return record


def callback_record(notice: Notice, outcome: Outcome) -> Json:
    """The record of a callback that is owed no longer."""
    return {"callback": {"id": notice.id, "outcome": outcome.value}}


def _numbers(entity: Entity) -> tuple[str, ...]:
    """The numbers under which the last callback is found; a refund's order has it, too."""
    match entity:
        case Payout():
            return (entity.params.out_payout_no,)
        case Refund():
            return (entity.params.out_trade_no, entity.params.out_refund_no)
    return (entity.params.out_trade_no,)
