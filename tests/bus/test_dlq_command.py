"""`paymesh dlq` on a real broker and real databases: what is parked, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import Result
from payments.type.v1 import context_pb2
from payments.type.v1.event_pb2 import Event, EventBatch
from typer.testing import CliRunner

from paymesh.bus.port import HANDLED, Delivery, Leftover, Message, Verdict
from paymesh.ids import derived_id
from paymesh_ops.cli.main import app
from tests.bus.contract import RabbitHarness, Seen, eventually
from tests.databases import Database, Databases

QUEUE = "clearing.ledger"
Run = Callable[..., Any]


@dataclass
class World:
    harness: RabbitHarness
    databases: dict[str, Database]
    seen: Seen

    async def run(self, *words: str) -> Result:
        """In a thread: the command has an event loop of its own."""
        environment = {"COLUMNS": "120"}
        return await asyncio.to_thread(CliRunner().invoke, app, ["dlq", *words], env=environment)

    async def said(self, *words: str) -> str:
        result = await self.run(*words)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    async def parks(self, count: int, reason: str = "NOT_BOOKABLE: no template") -> None:
        def refuse(delivery: Delivery) -> Verdict:
            return Verdict(dead=(Leftover(delivery.message.id, delivery.message.body, reason),))

        self.seen.answer = refuse
        before = sum(self.harness.dead().depths().values())
        messages = [told(before + n) for n in range(count)]
        assert not any(await self.harness.bus.publish(messages))
        await eventually(lambda: sum(self.harness.dead().depths().values()) == before + count)
        self.seen.answer = lambda _delivery: HANDLED

    def inbox(self) -> list[tuple[Any, ...]]:
        return self.databases["clearing"].query("SELECT consumer, message_id FROM inbox ORDER BY 2")


def event_id(number: int) -> str:
    return derived_id("evt", bucket=number, key=str(number))


def told(number: int) -> Message:
    context = context_pb2.Context(business_id=f"biz_{number}")
    event = Event(
        event_id=event_id(number),
        type="pay.instruction.succeeded",
        aggregate_id=f"ins_{number}",
        call_context=context_pb2.CallContext(context=context),
        payload=b"\x1b[31m",
    )
    body = EventBatch(events=[event]).SerializeToString()
    return Message(event.event_id, event.type, body)


@pytest.fixture
async def world(
    rabbit_harness: RabbitHarness, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> World:
    found = {name: databases.new(name) for name in ("trade", "pay", "gateway", "clearing")}
    for service, database in found.items():
        monkeypatch.setenv(f"PAYMESH_{service.upper()}_DATABASE_URL", database.app_url)
    monkeypatch.setenv("PAYMESH_AMQP_URL", rabbit_harness.amqp_url)
    seen = Seen()
    await rabbit_harness.bus.consume(QUEUE, seen)
    return World(rabbit_harness, found, seen)


async def test_what_is_parked_is_listed_and_shown(world: World) -> None:
    assert "nothing is parked" in await world.said("list")
    await world.parks(2)
    await world.parks(1, "ACCOUNT_NOT_OPEN: closed [/]")
    listed = await world.said("list")
    assert f"{QUEUE} pay.instruction.succeeded NOT_BOOKABLE 2 20" in listed
    assert f"{QUEUE} pay.instruction.succeeded ACCOUNT_NOT_OPEN 1 20" in listed
    shown = await world.said("show", "biz_2")
    assert f"{event_id(2)} {QUEUE} biz_2 ACCOUNT_NOT_OPEN: closed [/]" in shown
    assert "\x1b" not in shown
    assert 'aggregate_id: "ins_2"' in shown
    assert "and more" in await world.said("show", "--limit", "1")
    assert (await world.run("show", "biz_9")).exit_code == 1


async def test_replay_gives_back_one_some_or_all(world: World) -> None:
    await world.parks(3)
    await world.parks(2, "ACCOUNT_NOT_OPEN: closed")
    assert "given back: 1" in await world.said("replay", event_id(1))
    assert "given back: 2" in await world.said("replay", "--reason", "ACCOUNT")
    await world.seen.until(5 + 3)
    again = world.seen.ids[5:]
    assert again == [event_id(1), event_id(3), event_id(4)]
    assert "given back: 2" in await world.said("replay", "--all")
    assert "nothing is parked" in await world.said("list")
    for words in ([], ["--all", "--queue", QUEUE], [event_id(1)]):
        refused = await world.run("replay", *words)
        assert (refused.exit_code, "Traceback" in refused.output) == (1, False)


async def test_what_is_dropped_is_kept_with_its_reason_and_counts_as_taken(world: World) -> None:
    await world.parks(2)
    assert (await world.run("drop", event_id(0), "--why", " ")).exit_code == 1
    assert (await world.run("drop", "--why", "x")).exit_code == 1
    assert "dropped: 1" in await world.said("drop", event_id(0), "--why", "a test of ours")
    kept = "SELECT consumer, message_id, body, routing_key, business_ids, reason, why FROM "
    assert world.databases["clearing"].query(kept + "dropped_letter") == [
        (
            QUEUE,
            event_id(0),
            told(0).body,
            "pay.instruction.succeeded",
            ["biz_0"],
            "NOT_BOOKABLE: no template",
            "a test of ours",
        )
    ]
    assert world.inbox() == [(QUEUE, event_id(0))]
    assert world.harness.dead().depths() == {QUEUE: 1}


async def test_who_dies_after_it_is_kept_drops_it_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept once; the letter is found again and removed then."""
    await world.parks(1)
    with monkeypatch.context() as patch:
        patch.setattr("paymesh_ops.dlq.parked.keep", _keeps_and_dies)
        assert isinstance((await world.run("drop", "--all", "--why", "x")).exception, MemoryError)
    assert world.harness.dead().depths() == {QUEUE: 1}
    assert "dropped: 1" in await world.said("drop", "--all", "--why", "x")
    assert world.databases["clearing"].query("SELECT count(*) FROM dropped_letter") == [(1,)]
    assert world.harness.dead().depths() == {}


def _keeps_and_dies(*args: Any) -> None:
    from paymesh.bus.dropping import keep

    keep(*args)
    raise MemoryError("as if it had died")


async def test_a_notification_that_was_given_up_is_sent_once_more_or_dropped(
    world: World,
) -> None:
    trade = world.databases["trade"]
    streams = [derived_id("nts", bucket=n, key=str(n)) for n in range(2)]
    for n, stream in enumerate(streams):
        context = "'biz_n', 'mer_n', '', '', '', 'LIVE', ''"
        trade.execute(
            "INSERT INTO notification_stream (shard_key, id, business_id, merchant_id, order_type, "
            "sub_type, pay_org_no, traffic, parent_business_id, version, trade_id, "
            f"action_attempts) VALUES (%s, %s, {context}, 1, 'trd', 0)", n, stream,
        )  # fmt: skip
        trade.execute(
            "INSERT INTO notification (shard_key, id, business_id, merchant_id, order_type, "
            "sub_type, pay_org_no, traffic, parent_business_id, version, state, stream_id, "
            f"sequence, body, created_at, last_error) VALUES (%s, %s, {context}, 3, 'DEAD', %s, 1, "
            "%s, now(), 'HTTP 500')",
            n, derived_id("ntf", bucket=n, key=str(n)), stream, json.dumps({"id": n}),
        )  # fmt: skip
    assert "notifications notification HTTP 500 2 20" in await world.said("list")
    ids = [derived_id("ntf", bucket=n, key=str(n)) for n in range(2)]
    assert "given back: 1" in await world.said("replay", ids[0])
    assert "dropped: 1" in await world.said("drop", ids[1], "--why", "the shop is gone")
    rows = "SELECT n.state, n.last_error, n.version, s.next_action_at IS NOT NULL FROM "
    rows += "notification n JOIN notification_stream s ON s.id = n.stream_id ORDER BY n.id = %s"
    assert trade.query(rows, ids[1]) == [
        ("PENDING", "", 4, True),
        ("CANCELLED", "the shop is gone", 4, False),
    ]
    told_of = "SELECT type, published FROM outbox ORDER BY type"
    assert trade.query(told_of) == [
        ("trade.notification.cancelled", False),
        ("trade.notification.retried", False),
    ]
    assert "nothing is parked" in await world.said("list")


async def test_what_reached_nobody_and_is_parked_nowhere_is_sent_again(world: World) -> None:
    """Of three events one is taken, one is parked, and one's dead letter was lost."""
    await world.parks(2)
    pay = world.databases["pay"]
    for n in (1, 2, 3):
        pay.execute(
            "INSERT INTO outbox (shard_key, occurred_at, event_id, type, aggregate_id, sequence, "
            "state, business_id, merchant_id, order_type, sub_type, pay_org_no, traffic, "
            "parent_business_id, traceparent, payload, published) VALUES (%s, now() - interval "
            "'3 hours', %s, 'pay.instruction.succeeded', 'ins', 1, '', %s, '', '', '', '', 'LIVE', "
            "'', '', '', true)", n, event_id(n), f"biz_{n}",
        )  # fmt: skip
    world.databases["clearing"].execute(
        "INSERT INTO inbox VALUES (3, 'clearing.ledger', %s, now())", event_id(3)
    )
    assert "every event is taken" in await world.said("lost", "--older-than-s", "14400")
    found = await world.run("lost")
    assert found.exit_code == 1
    assert event_id(2) in found.output
    assert event_id(1) not in found.output
    assert "1 events" in await world.said("lost", "--resend")
    assert pay.query("SELECT event_id FROM outbox_due") == [(event_id(2),)]
    assert "every event is taken" in await world.said("lost", "--resend")
    assert pay.query("SELECT count(*) FROM outbox_due") == [(1,)]
