"""Taking journals back, over gRPC on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from google.type.date_pb2 import Date
from payments.clearing.v1 import ledger_pb2

from clearing_svc.ledger.drafts import drafted, journal_id_of
from clearing_svc.ledger.reversing import ReverseJournal
from paymesh.failpoint import InjectedFault, arm
from paymesh.ids import derived_id
from tests.clearing.accounts_world import Client, field_of, process, refusal, uid
from tests.clearing.books_world import to_date
from tests.clearing.conftest import SERVE_ONLY, Database, Stub
from tests.clearing.ledger_world import CONTEXT, line, top_up, transfer

CODE = grpc.StatusCode
ANN, BOB = "USER_BALANCE:ann", "USER_BALANCE:bob"
PAID = journal_id_of("test/transfer", "1")


@pytest.fixture
async def client(stub: Stub) -> Client:
    """ann had 500 and has paid bob 200."""
    client = Client(stub)
    drafts = top_up("ann", 500, key="0"), transfer("ann", "bob", 200, key="1")
    assert await client.post(*drafts, with_id=False) == ["OK", "OK"]
    return client


async def balances(client: Client) -> tuple[int, int]:
    accounts = [await client.account(account) for account in (ANN, BOB)]
    return accounts[0].balance.minor_units, accounts[1].balance.minor_units


def day(days_from_today: int) -> Date:
    return to_date((datetime.now(UTC) + timedelta(days=days_from_today)).date())


async def test_a_journal_is_taken_back_by_another_with_its_sides_exchanged(
    client: Client, database: Database
) -> None:
    [before] = await client.results(transfer("ann", "bob", 200, key="1"), with_id=False)
    journal = await client.reverse(PAID, why="paid-twice")
    assert (journal.event_type, journal.business_key) == ("ledger.reversal", PAID)
    assert journal.reverses_journal_id == PAID
    assert journal.template_version == 0
    debit, credit = ledger_pb2.ENTRY_SIDE_DEBIT, ledger_pb2.ENTRY_SIDE_CREDIT
    assert [(e.owner, e.side, e.amount.minor_units) for e in journal.entries] == [
        ("ann", credit, 200),
        ("bob", debit, 200),
    ]
    assert await balances(client) == (500, 0)
    [after] = await client.results(transfer("ann", "bob", 200, key="1"), with_id=False)
    assert before.journal == after.journal
    kept = "SELECT about, what, why, business_id FROM ledger_act"
    assert database.query(kept) == [(PAID, "REVERSED", "paid-twice", "biz_1")]
    assert database.books_are_true()


async def test_references_stay_with_their_lines_so_that_they_come_out_even(
    client: Client, database: Database
) -> None:
    lines = [
        line("DEBIT", "USER_BALANCE", "ann", 30),
        line("CREDIT", "SUSPENSE", "platform", 30, ref="pay_1"),
    ]
    await client.post(drafted("test/transit", "1", lines), with_id=True)
    journal = await client.reverse(journal_id_of("test/transit", "1"))
    assert [e.reference for e in journal.entries] == ["", "pay_1"]
    assert database.books_are_true()


async def test_the_same_reversal_again_is_answered_as_posted(
    client: Client, database: Database
) -> None:
    """Under the same request_id."""
    request_id = uid()
    first = await client.reverse(PAID, request_id=request_id)
    assert await client.reverse(PAID, request_id=request_id) == first
    assert await balances(client) == (500, 0)
    assert database.query("SELECT count(*) FROM ledger_act") == [(1,)]


@pytest.mark.parametrize(
    "changes", [{}, {"why": "other"}, {"accounting_date": to_date(date(2028, 2, 29))}]
)
async def test_a_journal_is_taken_back_once(
    client: Client, database: Database, changes: dict[str, Any]
) -> None:
    """Another request is another reversal, whatever it says: it is told of the first."""
    first = await client.reverse(PAID)
    code, reason, status = await refusal(client.reverse(PAID, **changes))
    assert (code, reason) == (CODE.ALREADY_EXISTS, "ALREADY_REVERSED")
    assert first.journal_id in status.message
    assert await balances(client) == (500, 0)


async def test_ten_who_take_it_back_at_once_take_it_back_once(
    client: Client, database: Database
) -> None:
    """Five for one reason and five for another: one of them won, and the others are told so."""

    async def take(number: int) -> str:
        try:
            return str((await client.reverse(PAID, why=f"why-{number % 2}")).journal_id)
        except grpc.aio.AioRpcError as refused:
            return str(refused.code())

    found = await asyncio.gather(*map(take, range(10)))
    assert found.count(str(CODE.ALREADY_EXISTS)) == 9
    assert len(set(found)) == 2
    assert await balances(client) == (500, 0)
    assert database.query("SELECT count(*) FROM journal WHERE reverses <> ''") == [(1,)]
    assert database.books_are_true()


async def test_what_books_a_business_event_is_undone_by_its_own_event_only(
    client: Client, database: Database
) -> None:
    """It would be refunded and taken back: once too often."""
    await client.post(top_up("ann", 7, key="event"), with_id=False)
    journal_id = journal_id_of("test/top-up", "event")
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("ALTER TABLE journal DISABLE TRIGGER USER")
        connection.execute("UPDATE journal SET template_version = 1 WHERE id = %s", (journal_id,))
        connection.execute("ALTER TABLE journal ENABLE TRIGGER USER")
    code, reason, status = await refusal(client.reverse(journal_id))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "JOURNAL_NOT_REVERSIBLE")
    assert journal_id in status.message
    assert await balances(client) == (307, 200)


async def test_a_reversal_is_not_taken_back(client: Client) -> None:
    reversal = await client.reverse(PAID)
    code, reason, status = await refusal(client.reverse(reversal.journal_id))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "ILLEGAL_MOVE")
    assert "anew" in status.message


async def test_what_was_spent_cannot_be_taken_back(client: Client, database: Database) -> None:
    """bob has 200 and spends 1 of it: limits apply to reversals, and the refusal says so."""
    await client.post(transfer("bob", "cyd", 1, key="2"), with_id=False)
    request_id = uid()
    code, reason, status = await refusal(client.reverse(PAID, request_id=request_id))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS")
    assert f"{PAID} cannot be taken back: USER_BALANCE of bob would fall" in status.message
    assert await balances(client) == (300, 199)
    assert database.query("SELECT count(*) FROM ledger_act") == [(0,)]
    await client.post(transfer("cyd", "bob", 1, key="3"), with_id=False)
    assert (await refusal(client.reverse(PAID, request_id=request_id)))[1] == reason
    await client.reverse(PAID)
    assert await balances(client) == (500, 0)


async def test_what_is_held_cannot_be_taken_back(client: Client) -> None:
    await client.place("h", 1, BOB)
    assert (await refusal(client.reverse(PAID)))[1] == "INSUFFICIENT_FUNDS"


async def test_a_frozen_account_takes_no_reversal(client: Client) -> None:
    await client.status(ANN, "FROZEN_IN")
    code, reason, status = await refusal(client.reverse(PAID))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN")
    assert "cannot be taken back: USER_BALANCE of ann is frozen" in status.message


async def test_what_was_taken_of_a_hold_goes_back_to_the_account(
    client: Client, database: Database
) -> None:
    await client.place("h", 100)
    taken = await client.post_hold("h", 60)
    await client.reverse(taken.journal.journal_id)
    account = await client.account(ANN)
    assert (account.balance.minor_units, account.held.minor_units) == (300, 40)
    hold = await client.place("h", 100)
    assert (hold.parts[0].posted.minor_units, hold.state) == (60, ledger_pb2.HOLD_STATE_HELD)
    await client.release("h")
    assert database.books_are_true()


async def test_a_reversal_belongs_to_the_day_that_is_asked_for(
    client: Client, database: Database
) -> None:
    """Not to a closed one, not to the future, and not to one before that of the journal itself."""
    database.begins(datetime.now(UTC).date() - timedelta(days=9))
    assert await field_of(client.reverse(PAID, accounting_date=day(2))) == "accounting_date"
    assert await field_of(client.reverse(PAID, accounting_date=day(-1))) == "accounting_date"
    assert await field_of(client.reverse(PAID, accounting_date=Date())) == "accounting_date"
    today = day(0)
    journal = await client.reverse(PAID, accounting_date=today)
    assert journal.accounting_date == today
    assert database.query("SELECT count(*) FROM journal") == [(3,)]


async def test_a_closed_day_takes_no_reversal(client: Client, database: Database) -> None:
    insert = "INSERT INTO accounting_day VALUES ((now() AT TIME ZONE 'UTC')::date, 0, now())"
    [(closed,)] = database.query(f"{insert} RETURNING day")
    assert isinstance(closed, date)
    code, reason, _ = await refusal(client.reverse(PAID, accounting_date=to_date(closed)))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "DAY_CLOSED")
    journal = await client.reverse(PAID)
    assert journal.accounting_date == to_date(closed + timedelta(days=1))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"request_id": "x"}, "request_id"),
        ({"journal_id": "jrn_1"}, "journal_id"),
        ({"why": ""}, "why"),
        ({"why": "x" * 65}, "why"),
    ],
)
async def test_bad_input_is_refused_and_nothing_is_written(
    client: Client, database: Database, changes: dict[str, Any], field: str
) -> None:
    assert await field_of(client.reverse(PAID, **changes)) == field
    assert database.query("SELECT count(*) FROM journal") == [(2,)]


async def test_a_journal_that_is_not_there_is_not_found(client: Client) -> None:
    code, reason, _ = await refusal(client.reverse(derived_id("jrn", bucket=1, key="x")))
    assert (code, reason) == (CODE.NOT_FOUND, "NOT_FOUND")


async def test_the_database_itself_lets_a_journal_be_taken_back_once(
    client: Client, database: Database
) -> None:
    """Two of one name are refused by the name; this is the wall behind it."""
    await client.reverse(PAID)
    copy = (
        'INSERT INTO journal SELECT (jsonb_populate_record(j, \'{"id": "jrn_x"}\')).* '
        "FROM journal j WHERE reverses <> ''"
    )
    with pytest.raises(psycopg.errors.UniqueViolation, match="journal_reversed_once"):
        database.query(copy)


@pytest.mark.parametrize(*SERVE_ONLY)
@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
async def test_a_reversal_whose_writer_dies_around_its_commit_is_posted_once(
    client: Client, database: Database, point: str
) -> None:
    async with process(database) as p:
        [found] = (await p.books.by_ids([PAID])).values()
        command = ReverseJournal(CONTEXT, *found, "wrong")
        arm(f"{point}:1:error")
        try:
            with pytest.raises(InjectedFault):
                await p.do(command)
        finally:
            arm("")
        again = "OK" if point == "shell.before_commit" else "ALREADY_REVERSED"
        assert await p.do(command) == [again]
    assert await balances(client) == (500, 0)
    assert database.query("SELECT count(*) FROM ledger_act") == [(1,)]
    assert database.books_are_true()


@pytest.mark.parametrize(*SERVE_ONLY)
@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
async def test_a_reversal_whose_answer_is_lost_is_answered_to_the_same_request(
    client: Client, database: Database, point: str
) -> None:
    """Not ALREADY_REVERSED: who asks again asks for the one that he asked for."""
    request_id = uid()
    arm(f"{point}:1:error")
    try:
        with pytest.raises(grpc.aio.AioRpcError):
            await client.reverse(PAID, request_id=request_id)
    finally:
        arm("")
    journal = await client.reverse(PAID, request_id=request_id)
    assert journal.reverses_journal_id == PAID
    assert (await refusal(client.reverse(PAID)))[1] == "ALREADY_REVERSED"
    assert await balances(client) == (500, 0)
    assert database.books_are_true()
