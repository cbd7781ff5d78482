"""PostHold: taking of a hold by a journal of one's own, over gRPC on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from payments.clearing.v1 import ledger_pb2

from tests.clearing.accounts_world import Client, credit, field_of, holding, refusal, uid
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import money
from tests.clearing.ledger_world import PAYEE, earned, hold_id

CODE = grpc.StatusCode
ANN, BOB = "USER_BALANCE:ann", "USER_BALANCE:bob"


@pytest.fixture
async def client(stub: Stub) -> Client:
    """ann has 500, of which 100 are held."""
    return await holding(stub)


async def available(client: Client) -> tuple[int, int]:
    """ann's balance, and what is held of it."""
    account = await client.account(ANN)
    return account.balance.minor_units, account.held.minor_units


async def test_a_part_of_a_hold_is_taken_and_then_the_rest(
    client: Client, database: Database
) -> None:
    first = await client.post_hold("h", 60, business_key="1")
    assert (first.journal.event_type, first.journal.business_key) == ("test/taken", "1")
    debit, credited = ledger_pb2.ENTRY_SIDE_DEBIT, ledger_pb2.ENTRY_SIDE_CREDIT
    assert [
        (e.owner, e.side, e.amount.minor_units, e.reference) for e in first.journal.entries
    ] == [
        ("ann", debit, 60, hold_id("h")),
        ("bob", credited, 60, ""),
    ]
    assert (first.hold.state, first.hold.version) == (ledger_pb2.HOLD_STATE_HELD, 2)
    assert await available(client) == (440, 40)
    rest = await client.post_hold("h", 40, business_key="2")
    assert rest.hold.state == ledger_pb2.HOLD_STATE_POSTED
    assert await available(client) == (400, 0)
    assert (await client.account(BOB)).balance.minor_units == 100
    assert database.books_are_true()


async def test_it_is_taken_from_all_accounts_of_the_hold_for_several_payees(
    client: Client, database: Database
) -> None:
    await client.post(earned(50, 20), with_id=False)
    await client.place("m", 90, *PAYEE)
    entries = [credit(BOB, 70), credit("USER_BALANCE:cyd", 20)]
    taken = await client.post_hold("m", 90, *PAYEE, entries=entries)
    subjects = [e.subject for e in taken.journal.entries]
    assert subjects == [*(source.split(":")[0] for source in PAYEE), *["USER_BALANCE"] * 2]
    assert [p.posted.minor_units for p in taken.hold.parts] == [50, 20, 20]
    assert database.books_are_true()


async def test_the_same_request_again_takes_nothing_more(
    client: Client, database: Database
) -> None:
    """Under whatever request_id: with the journal as posted, and the hold as it stands."""
    request_id = uid()
    first = await client.post_hold("h", 60, request_id=request_id)
    assert await client.post_hold("h", 60, request_id=request_id) == first
    assert await client.post_hold("h", 60) == first
    await client.release("h")
    again = await client.post_hold("h", 60, request_id=request_id)
    assert again.journal == first.journal
    assert again.hold.state == ledger_pb2.HOLD_STATE_RELEASED
    assert await available(client) == (440, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": money(50), "entries": [credit(BOB, 50)]},
        {"entries": [credit("USER_BALANCE:cyd", 60)]},
        {"hold_id": hold_id("other")},
    ],
)
async def test_another_journal_under_its_name_is_refused(
    client: Client, changes: dict[str, Any]
) -> None:
    await client.place("other", 100)
    await client.post_hold("h", 60)
    code, reason, _ = await refusal(client.post_hold("h", 60, **changes))
    assert (code, reason) == (CODE.ALREADY_EXISTS, "JOURNAL_KEY_REUSED")
    assert await available(client) == (440, 140)


async def test_no_more_is_taken_than_is_left(client: Client) -> None:
    code, reason, status = await refusal(client.post_hold("h", 101))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "HOLD_ENDED")
    assert "only CNY 1.00 is left" in status.message
    await client.release("h")
    assert (await refusal(client.post_hold("h", 1)))[1] == "HOLD_ENDED"
    assert await available(client) == (500, 0)


async def test_a_hold_that_is_not_there_is_not_found(client: Client) -> None:
    code, reason, _ = await refusal(client.post_hold("nowhere", 1))
    assert (code, reason) == (CODE.NOT_FOUND, "NOT_FOUND")


async def test_credits_that_are_not_the_amount_are_refused(
    client: Client, database: Database
) -> None:
    request_id, entries = uid(), [credit(BOB, 59)]
    call = client.post_hold("h", 60, entries=entries, request_id=request_id)
    code, reason, _ = await refusal(call)
    assert (code, reason) == (CODE.INVALID_ARGUMENT, "UNBALANCED")
    mixed = client.post_hold("h", 60, entries=[credit(BOB, 60, "EUR")])
    assert (await refusal(mixed))[1] == "CURRENCY_MISMATCH"
    euros = client.post_hold("h", 60, amount=money(60, "EUR"), entries=[credit(BOB, 60, "EUR")])
    assert (await refusal(euros))[1] == "CURRENCY_MISMATCH"
    assert database.query("SELECT count(*) FROM journal") == [(1,)]
    assert await available(client) == (500, 100)
    await client.post_hold("h", 60, request_id=request_id)


DEBIT = credit(BOB, 60)
DEBIT.side = ledger_pb2.ENTRY_SIDE_DEBIT
NO_SIDE = credit(BOB, 60)
NO_SIDE.side = ledger_pb2.ENTRY_SIDE_UNSPECIFIED


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"request_id": ""}, "request_id"),
        ({"hold_id": "hld_1"}, "hold_id"),
        ({"sources": []}, "sources"),
        ({"sources": [{"subject": "BANK", "owner": "platform"}]}, "sources"),
        ({"amount": None}, "amount"),
        ({"amount": money(0)}, "amount.minor_units"),
        ({"amount": money(-60)}, "amount.minor_units"),
        ({"event_type": ""}, "event_type"),
        ({"event_type": "no blanks"}, "event_type"),
        ({"business_key": "\0"}, "business_key"),
        ({"entries": []}, "entries"),
        ({"entries": [credit(BOB, 1)] * 97}, "entries"),
        ({"entries": [DEBIT]}, "entries[0].side"),
        ({"entries": [NO_SIDE]}, "entries[0].side"),
        ({"entries": [credit("HEAVEN:bob", 60)]}, "entries[0].subject"),
    ],
)
async def test_bad_input_is_refused_and_nothing_is_written(
    client: Client, database: Database, changes: dict[str, Any], field: str
) -> None:
    assert await field_of(client.post_hold("h", 60, **changes)) == field
    assert database.query("SELECT count(*) FROM journal") == [(1,)]
    assert await available(client) == (500, 100)


async def test_ten_who_take_and_let_go_of_one_hold_at_once_share_it_exactly(
    client: Client, database: Database
) -> None:
    async def take(number: int) -> grpc.StatusCode:
        try:
            await client.post_hold("h", 30, business_key=str(number))
        except grpc.aio.AioRpcError as refused:
            return refused.code()
        return CODE.OK

    async def let_go() -> None:
        await asyncio.sleep(0.01)
        await client.release("h")

    *codes, _ = await asyncio.gather(*map(take, range(9)), let_go())
    assert set(codes) <= {CODE.OK, CODE.FAILED_PRECONDITION}
    taken = 30 * codes.count(CODE.OK)
    assert taken <= 90
    assert await available(client) == (500 - taken, 0)
    assert database.books_are_true()
