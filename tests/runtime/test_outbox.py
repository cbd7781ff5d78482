"""From the outbox to the bus: at once by the publisher, later by the relay, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from payments.type.v1.event_pb2 import EventBatch

from paymesh import failpoint, outbox
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.port import HANDLED, Delivery, Verdict
from paymesh.clock import SystemClock
from paymesh.outbox import Publisher, publish, relay_forever, to_messages
from paymesh.shell import Shell
from paymesh.store.postgres import PostgresStore
from paymesh.wire import context_of, time_of
from tests.runtime.store_contract import write
from tests.runtime.world import (
    CONTEXT,
    Database,
    Published,
    close,
    create,
    done,
    one,
    shell_on,
    stored_event,
    trade,
)

QUEUE = "trade.notifications"


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoint.arm("")


class Inbox:
    """What arrived in the queue of trade's own events."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Verdict]:
        for delivery in deliveries:
            self.events += EventBatch.FromString(delivery.message.body).events
        return [HANDLED for _ in deliveries]

    def ids(self) -> list[str]:
        return sorted(event.event_id for event in self.events)


@pytest.fixture
async def inbox(bus: InProcessBus) -> Inbox:
    inbox = Inbox()
    await bus.consume(QUEUE, inbox.handle)
    return inbox


@pytest.fixture
async def publisher(postgres_store: PostgresStore, bus: InProcessBus) -> AsyncIterator[Publisher]:
    publisher = Publisher(postgres_store, bus)
    publisher.start()
    yield publisher
    await publisher.close(grace_s=0.1)


async def until_none_is_due(database: Database) -> None:
    async with asyncio.timeout(60):
        while await asyncio.to_thread(database.count, "outbox_due"):
            await asyncio.sleep(0.005)


async def close_trades(shell: Shell[Any], count: int) -> None:
    items = [create(f"order-{n}") for n in range(count)]
    for outcome in await shell.process(items):
        done(outcome)
    for outcome in await shell.process([close(item.command.trade_id) for item in items]):
        done(outcome)


async def test_committed_events_are_published_and_no_longer_due(
    postgres_store: PostgresStore, publisher: Publisher, inbox: Inbox, database: Database
) -> None:
    """Only what is published; history stays in the log."""
    await close_trades(shell_on(postgres_store, publisher=publisher), 3)
    await until_none_is_due(database)
    rows = database.query("SELECT event_id FROM outbox WHERE published")
    assert inbox.ids() == sorted(row[0] for row in rows)
    assert len(inbox.events) == 3
    assert database.count("outbox") == 6


async def test_who_dies_before_forgetting_what_was_sent_has_it_sent_again(
    postgres_store: PostgresStore,
    bus: InProcessBus,
    inbox: Inbox,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bus has it, the row is still due: it comes twice, and consumers count it once."""
    monkeypatch.setattr(outbox, "FORGET_EVERY_S", 3600)
    dying = Publisher(postgres_store, bus)
    dying.start()
    await close_trades(shell_on(postgres_store, publisher=dying), 1)
    async with asyncio.timeout(60):
        while not inbox.events:
            await asyncio.sleep(0.005)
    assert database.count("outbox_due") == 1
    relay = asyncio.create_task(
        relay_forever(postgres_store, bus, clock=SystemClock(), older_than_s=0.02)
    )
    await until_none_is_due(database)
    relay.cancel()
    assert len(inbox.ids()) == 2
    assert len(set(inbox.ids())) == 1
    await dying.close(grace_s=0.1)


async def test_an_orderly_end_forgets_what_was_sent(
    postgres_store: PostgresStore,
    bus: InProcessBus,
    inbox: Inbox,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "FORGET_EVERY_S", 3600)
    publisher = Publisher(postgres_store, bus)
    publisher.start()
    await close_trades(shell_on(postgres_store, publisher=publisher), 2)
    await publisher.close()
    assert len(inbox.events) == 2
    assert database.count("outbox_due") == 0


async def test_an_event_travels_whole(postgres_store: PostgresStore) -> None:
    row = trade()
    stored = stored_event(row)
    [(message, ids)] = to_messages([stored])
    [event] = EventBatch.FromString(message.body).events
    assert (message.routing_key, ids) == ("trade.trade.closed", [stored.id])
    assert (event.event_id, event.type, event.schema_version) == (stored.id, stored.type, 1)
    assert (event.aggregate_id, event.sequence, event.payload) == (row.id, 1, b"payload")
    assert context_of(event.call_context.context) == CONTEXT
    assert event.call_context.traceparent == stored.traceparent
    assert time_of(event.occurred_time) == stored.occurred_at


def test_a_message_has_one_routing_key_and_at_most_200_events() -> None:
    """Every event is in exactly one message."""
    row = trade()
    events = [stored_event(row) for _ in range(450)]
    messages = to_messages(events)
    assert [len(ids) for _, ids in messages] == [200, 200, 50]
    assert sorted(i for _, ids in messages for i in ids) == sorted(e.id for e in events)
    assert len({message.id for message, _ in messages}) == 3


async def test_what_a_dead_process_left_behind_is_relayed(
    postgres_store: PostgresStore, bus: InProcessBus, inbox: Inbox, database: Database
) -> None:
    """It committed and died before it published: the rows are still due."""
    nobody = Published()
    await close_trades(shell_on(postgres_store, publisher=nobody), 2)
    assert database.count("outbox_due") == 2
    relay = asyncio.create_task(
        relay_forever(postgres_store, bus, clock=SystemClock(), older_than_s=0.02)
    )
    await until_none_is_due(database)
    relay.cancel()
    assert inbox.ids() == sorted(event.id for event in nobody.events)


async def test_the_relay_leaves_young_events_to_their_publisher(
    postgres_store: PostgresStore, bus: InProcessBus, inbox: Inbox, database: Database
) -> None:
    row = trade()
    old, young = stored_event(row, age_s=600), stored_event(row)
    await write(postgres_store, events=[old, young])
    relay = asyncio.create_task(
        relay_forever(postgres_store, bus, clock=SystemClock(), older_than_s=300)
    )
    async with asyncio.timeout(60):
        while not inbox.events:
            await asyncio.sleep(0.005)
    relay.cancel()
    assert inbox.ids() == [old.id]


async def test_what_the_bus_does_not_take_stays_due(
    postgres_store: PostgresStore, bus: InProcessBus, inbox: Inbox, database: Database
) -> None:
    event = stored_event(trade())
    await write(postgres_store, events=[event])
    failpoint.arm("bus.before_publish:1:error")
    assert await publish(bus, [event]) == []
    assert (database.count("outbox_due"), inbox.events) == (1, [])
    assert await publish(bus, [event]) == inbox.ids() == [event.id]


async def test_what_the_bus_took_without_our_knowing_is_sent_again(
    postgres_store: PostgresStore, bus: InProcessBus, inbox: Inbox, database: Database
) -> None:
    """At least once: the consumer's inbox makes it once."""
    event = stored_event(trade())
    await write(postgres_store, events=[event])
    failpoint.arm("bus.after_publish:1:error")
    assert await publish(bus, [event]) == []
    assert await publish(bus, [event]) == [event.id]
    assert inbox.ids() == [event.id, event.id]


async def test_an_event_that_no_consumer_takes_stays_due(
    postgres_store: PostgresStore, bus: InProcessBus, database: Database
) -> None:
    """The bus in memory confirms what was handled, not what was queued."""
    event = stored_event(trade())
    await write(postgres_store, events=[event])
    assert await publish(bus, [event]) == []
    assert database.count("outbox_due") == 1


async def test_a_full_buffer_drops_and_the_rows_stay_due(
    postgres_store: PostgresStore,
    publisher: Publisher,
    inbox: Inbox,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody who writes ever waits for the bus."""
    monkeypatch.setattr(outbox, "BUFFER_EVENTS_MAX", 1)
    shell = shell_on(postgres_store, publisher=publisher)
    await close_trades(shell, 2)
    assert database.count("outbox_due") == 2
    item = create("order")
    done(await one(shell, item))
    done(await one(shell, close(item.command.trade_id)))
    await publisher.close()
    assert len(inbox.events) == 1
    assert database.count("outbox_due") == 2


async def test_closing_flushes_the_buffer(
    postgres_store: PostgresStore, publisher: Publisher, inbox: Inbox, database: Database
) -> None:
    await close_trades(shell_on(postgres_store, publisher=publisher), 5)
    await publisher.close()
    assert len(inbox.events) == 5
    assert database.count("outbox_due") == 0
