"""How consumers mind the order: every fact once, the newest state only, or one after the other."""

from __future__ import annotations

import pytest
from payments.type.v1.event_pb2 import Event, EventBatch

from paymesh.bus.port import HANDLED, Delivery, Message, Verdict
from paymesh.clock import SystemClock
from paymesh.consumer import Consumer
from paymesh.ids import new_id
from paymesh.items import Mode
from paymesh.shell import Shell
from paymesh.store.memory import MemoryStore
from paymesh.store.port import Conflict, CursorKey, Store, Writes
from paymesh.store.postgres import PostgresStore
from paymesh.wire import call_context_of, context_of
from tests.runtime.world import BUCKET, CONTEXT, new_trade_id
from trade_svc.notifications.domain import (
    AddNotification,
    StreamView,
    add_notification,
    stream_id_of,
)
from trade_svc.store import STREAMS

QUEUE = "trade.notifications"


class Silent:
    """Publishes nothing: nobody listens here."""

    def offer(self, events: object) -> None: ...


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore(SystemClock())
    found: PostgresStore = request.getfixturevalue("postgres_store")
    return found


def _command(event: Event) -> AddNotification:
    context = context_of(event.call_context.context)
    return AddNotification(event.aggregate_id, event.sequence, context, "{}")


class Reader:
    """A consumer in a mode; what counted shows in the trade's notifications."""

    def __init__(self, store: Store, mode: Mode) -> None:
        self.store, self.trade_id = store, new_trade_id()
        shell: Shell[StreamView] = Shell(
            store=store,
            aggregate=STREAMS,
            rules={AddNotification: add_notification},
            encode=lambda event: b"",
            clock=SystemClock(),
            publisher=Silent(),
        )
        commands = {"trade.trade.paid": _command}
        self.consumer = Consumer(QUEUE, commands, shell.process, SystemClock(), mode)
        self.ids = {n: new_id("evt", bucket=BUCKET) for n in range(1, 10)}

    async def gets(self, *sequences: int) -> list[Verdict]:
        """One delivery an event, in one batch."""
        return await self.consumer.handle([self._delivery(n) for n in sequences])

    def _delivery(self, sequence: int) -> Delivery:
        event = Event(
            event_id=self.ids[sequence],
            type="trade.trade.paid",
            schema_version=1,
            aggregate_id=self.trade_id,
            sequence=sequence,
            call_context=call_context_of(CONTEXT),
        )
        body = EventBatch(events=[event]).SerializeToString()
        return Delivery(Message(event.event_id, event.type, body), QUEUE, 0, 0)

    async def counted(self) -> list[int]:
        key = stream_id_of(self.trade_id)
        view = (await self.store.load(STREAMS, [key]))[key]
        return sorted(n.sequence for n in view.notifications)


async def test_a_fact_counts_once_in_any_order(store: Store) -> None:
    reader = Reader(store, Mode.FACT)
    assert await reader.gets(3, 1, 2, 3) == [HANDLED] * 4
    assert await reader.gets(1) == [HANDLED]
    assert await reader.counted() == [1, 2, 3]


async def test_of_states_only_newer_ones_count(store: Store) -> None:
    """What was overtaken is handled and dropped, in the same batch and later."""
    reader = Reader(store, Mode.STATE)
    assert await reader.gets(3, 1) == [HANDLED] * 2
    assert await reader.gets(2) == [HANDLED]
    assert await reader.gets(4) == [HANDLED]
    assert await reader.counted() == [3, 4]


async def test_ordered_events_count_one_after_the_other(store: Store) -> None:
    """What comes too early climbs the ladder and counts when its turn has come."""
    reader = Reader(store, Mode.ORDERED)
    early, first = await reader.gets(2, 1)
    assert [len(early.retry), first] == [1, HANDLED]
    assert await reader.counted() == [1]
    assert await reader.gets(2, 3) == [HANDLED] * 2
    assert await reader.gets(1) == [HANDLED]
    assert await reader.counted() == [1, 2, 3]


async def test_a_cursor_that_somebody_else_moved_conflicts(store: Store) -> None:
    """Two consumers of one queue never both count the same place."""
    key = CursorKey(QUEUE, new_trade_id())
    async with store.transaction() as transaction:
        await transaction.commit(Writes(cursors={key: (1, 0)}))
    for lost in ((2, 5), (1, 0)):
        with pytest.raises(Conflict):
            async with store.transaction() as transaction:
                await transaction.commit(Writes(cursors={key: lost}))
    async with store.transaction() as transaction:
        await transaction.commit(Writes(cursors={key: (2, 1)}))
