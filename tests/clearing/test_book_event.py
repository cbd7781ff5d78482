"""What is booked by a call before it is told on the bus: once, whichever comes first."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from payments.clearing.v1 import ledger_service_pb2
from payments.type.v1.event_pb2 import Event

from clearing_svc import consumers
from paymesh.app import Core
from paymesh.bus.port import HANDLED
from paymesh.clock import SystemClock
from paymesh.failpoint import InjectedFault, arm
from tests.clearing.accounts_world import Client, field_of, refusal, uid
from tests.clearing.conftest import SERVE_ONLY, Database, Stub
from tests.clearing.ledger_messages import call_context, delivery, instruction, paid, reason_of
from tests.clearing.ledger_world import BOOKINGS, CONFIG

CODE = grpc.StatusCode


@pytest.fixture
def client(stub: Stub) -> Client:
    return Client(stub)


def moved(key: str = "trd_1") -> Event:
    """A transfer to bob is paid."""
    return paid(500, key=key, product="TRANSFER", payee_id="bob")


async def heard(core: Core[Any], event: Event) -> Any:
    """The consumer's verdict on the event, come by the bus."""
    consumer = consumers.ledger(core, BOOKINGS, CONFIG.chart, SystemClock())
    [verdict] = await consumer.handle([delivery(event)])
    return verdict


def booked(database: Database) -> list[tuple[Any, ...]]:
    return database.query(
        "SELECT j.event_type, e.side, e.amount_minor, a.subject, a.owner FROM entry e "
        "JOIN journal j ON j.id = e.journal_id JOIN account a ON a.id = e.account_id ORDER BY 1, 2"
    )


ONCE = [
    ("trade.trade.paid/attribution", "CREDIT", 500, "USER_BALANCE", "bob"),
    ("trade.trade.paid/attribution", "DEBIT", 500, "PAYER_TRANSIT", "platform"),
]


async def test_who_asked_finds_it_booked_and_the_bus_brings_nothing_new(
    client: Client, core: Core[Any], database: Database
) -> None:
    [journal_id] = await client.book(moved())
    assert booked(database) == ONCE
    assert (await client.account("USER_BALANCE:bob")).balance.minor_units == 500
    assert await heard(core, moved()) == HANDLED
    assert await client.book(moved()) == [journal_id]
    assert booked(database) == ONCE
    assert database.books_are_true()


async def test_what_the_bus_brought_is_answered_as_booked(
    client: Client, core: Core[Any], database: Database
) -> None:
    assert await heard(core, moved()) == HANDLED
    assert len(await client.book(moved())) == 1
    assert booked(database) == ONCE


async def test_the_call_and_the_bus_at_once_book_once(
    client: Client, core: Core[Any], database: Database
) -> None:
    keys = [f"trd_{n}" for n in range(10)]
    calls = [client.book(moved(key)) for key in keys]
    events = [heard(core, moved(key)) for key in keys]
    done = await asyncio.gather(*calls, *events)
    assert all(len(ids) == 1 for ids in done[:10])
    assert done[10:] == [HANDLED] * 10
    assert len(booked(database)) == 20
    assert database.books_are_true()


async def test_all_journals_of_an_event_are_booked_and_an_event_without_any_is_right(
    client: Client, database: Database
) -> None:
    journals = await client.book(paid(100_00))
    types = "SELECT event_type FROM journal ORDER BY 1"
    assert database.query(types) == [("trade.trade.paid/attribution",), ("trade.trade.paid/fee",)]
    assert len(journals) == 2
    assert await client.book(paid(300, key="trd_w", product="WITHDRAWAL")) == []


async def test_a_refusal_by_an_account_is_kept_and_nothing_is_booked(
    client: Client, core: Core[Any], database: Database
) -> None:
    """So the caller may give the money back: the same request will never book."""
    await client.create("USER_BALANCE:bob")
    await client.status("USER_BALANCE:bob", "CLOSED")
    request_id = uid()
    for _ in range(2):
        code, reason, _ = await refusal(client.book(moved(), request_id=request_id))
        assert (code, reason) == (CODE.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN")
    await client.status("USER_BALANCE:bob", "OPEN")
    _, reason, _ = await refusal(client.book(moved(), request_id=request_id))
    assert reason == "ACCOUNT_NOT_OPEN"
    assert booked(database) == []
    assert len(await client.book(moved())) == 1


async def test_another_event_under_a_booked_name_is_refused(client: Client) -> None:
    await client.book(moved())
    _, reason, _ = await refusal(client.book(paid(501, product="TRANSFER", payee_id="bob")))
    assert reason == "JOURNAL_KEY_REUSED"


async def test_bad_input_is_refused_with_the_field_and_nothing_is_written(
    client: Client, database: Database
) -> None:
    book = client.book
    assert await field_of(book(moved(), request_id="no")) == "request_id"
    assert await field_of(book(moved(), event_type="Trade Paid")) == "event_type"
    assert await field_of(book(moved(), event_type="trade.trade.dreamt")) == "event_type"
    assert await field_of(book(moved(), occurred_time=None)) == "occurred_time"
    assert await field_of(book(moved(), payload=b"\xff")) == "payload"
    assert await field_of(book(moved(), payload=b"x" * 4097)) == "payload"
    for event in (paid(500, product="DREAM"), paid(500, product="TRANSFER")):
        code, reason, _ = await refusal(book(event))  # no template; no payee
        assert (code, reason) == (CODE.FAILED_PRECONDITION, "NOT_BOOKABLE")
    assert database.query("SELECT count(*) FROM journal") == [(0,)]
    assert database.query("SELECT count(*) FROM request_answer") == [(0,)]


async def test_each_item_of_a_batch_has_its_own_verdict(stub: Stub, database: Database) -> None:
    events = [moved("trd_1"), paid(500, product="DREAM"), instruction("succeeded", 70)]
    m = ledger_service_pb2
    items = [
        m.BatchBookEventsItem(
            call_context=call_context(),
            request=m.BookEventRequest(
                request_id=uid(),
                event_type=event.type,
                occurred_time={"seconds": 1},
                payload=event.payload,
            ),
        )
        for event in events
    ]
    response = await stub.BatchBookEvents(m.BatchBookEventsRequest(items=items), timeout=60)
    first, second, third = response.results
    assert reason_of(second.error) == "NOT_BOOKABLE"
    assert [len(r.response.journal_ids) for r in (first, third)] == [1, 1]
    assert database.query("SELECT count(*) FROM journal") == [(2,)]


@pytest.mark.parametrize(*SERVE_ONLY)
@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
async def test_who_dies_around_the_commit_has_booked_it_once(
    client: Client, database: Database, point: str
) -> None:
    request_id = uid()
    arm(f"{point}:1:error")
    try:
        with pytest.raises((grpc.aio.AioRpcError, InjectedFault)):
            await client.book(moved(), request_id=request_id)
    finally:
        arm("")
    assert booked(database) == (ONCE if point == "shell.after_commit" else [])
    assert len(await client.book(moved(), request_id=request_id)) == 1
    assert booked(database) == ONCE
    assert database.books_are_true()
