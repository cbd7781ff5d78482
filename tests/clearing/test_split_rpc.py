"""Split journals as their callers meet them: the real gRPC server on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import grpc
import psycopg
import pytest
from grpc_status import rpc_status
from payments.clearing.v1 import ledger_service_pb2

from clearing_svc.ledger.drafts import account_id_of, drafted, journal_id_of
from clearing_svc.ledger.splitting import split_id_of
from paymesh.app import App, Core
from paymesh.ids import bucket_of, shard_of
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import fields_of, reason_of
from tests.clearing.ledger_world import item, line, post, top_up
from tests.clearing.split_world import (
    CONTEXT,
    NAME,
    OVER,
    PAYROLL,
    all_is_well,
    balances,
    credit,
    debit,
    get_split,
    journals,
    post_split,
    split_request,
    state_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
async def money(core: Core[Any]) -> None:
    """ann and bob have 100 each."""
    drafts = [top_up(owner, 100, key=owner) for owner in ("ann", "bob")]
    await core.shell.process([item(post(draft)) for draft in drafts])


def set_status(database: Database, owner: str, status: str, subject: str = "USER_BALANCE") -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE account SET status = %s WHERE owner = %s AND subject = %s",
            (status, owner, subject),
        )


async def ended(stub: Stub, split: Any, *, within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while split.state not in OVER:
        assert time.monotonic() < deadline, split
        await asyncio.sleep(0.05)
        split = await get_split(stub, split.split_journal_id)
    return split


async def test_legs_are_booked_each_by_itself_debits_first(stub: Stub, database: Database) -> None:
    """Each leg's journal has its own transaction, and its accounts lie in one shard."""
    split = await post_split(stub)
    assert state_of(split) == "POSTED"
    assert balances(database) == {"ann": 70, "bob": 80, "cyd": 35, "dan": 15}
    assert journals(database) == ["/leg-1", "/leg-2", "/leg-3", "/leg-4"]
    assert list(split.journal_ids) == [journal_id_of(f"{NAME}/leg-{n}", "1") for n in range(1, 5)]
    assert split == await get_split(stub, split.split_journal_id)
    assert [(e.subject, e.owner, e.amount.minor_units) for e in split.entries] == [
        (x.subject, x.owner, x.amount.minor) for x in PAYROLL
    ]
    order = "SELECT posting FROM journal WHERE starts_with(event_type, %s) ORDER BY event_type"
    first, second, *credits = [int(str(p)) for (p,) in database.query(order, f"{NAME}/")]
    assert len({first, second, *credits}) == 4
    assert max(first, second) < min(credits)
    shards = (
        "SELECT count(DISTINCT shard_key) FROM entry WHERE journal_id = ANY(%s) GROUP BY journal_id"
    )
    assert database.query(shards, list(split.journal_ids)) == [(1,)] * 4
    assert all_is_well(database)


def test_a_transit_account_lies_where_the_account_beside_it_lies() -> None:
    for owner in ("ann", "sandbox:2088", "platform"):
        transit = account_id_of("SPLIT_TRANSIT", owner, "CNY")
        assert shard_of(transit) == bucket_of(owner)


async def test_the_same_again_is_answered_as_it_stands(stub: Stub, database: Database) -> None:
    first = await post_split(stub)
    assert await post_split(stub) == first
    assert len(journals(database)) == 4


async def test_many_callers_at_once_post_it_once(stub: Stub, database: Database) -> None:
    found = await asyncio.gather(*(post_split(stub) for _ in range(10)))
    ends = [await ended(stub, split) for split in found]
    assert {state_of(split) for split in ends} == {"POSTED"}
    assert len({split.split_journal_id for split in ends}) == 1
    assert balances(database) == {"ann": 70, "bob": 80, "cyd": 35, "dan": 15}
    assert all_is_well(database)


async def refusal(stub: Stub, *lines: Any, **changes: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await post_split(stub, *lines, **changes)
    status = rpc_status.from_call(refused.value)
    assert status is not None
    return status


async def test_another_body_under_the_name_is_refused(stub: Stub, database: Database) -> None:
    await post_split(stub)
    status = await refusal(stub, debit("ann", 1), credit("dan", 1))
    assert reason_of(status) == "JOURNAL_KEY_REUSED"
    assert len(journals(database)) == 4


@pytest.mark.parametrize(
    ("lines", "reason", "field"),
    [
        ([debit("ann", 2), credit("dan", 1)], "UNBALANCED", ""),
        ([debit("ann", 1), credit("dan", 1, "HEAVEN")], "INVALID_FIELD", "entries[1].subject"),
        ([debit("ann", 1), credit("dan", 1, "BANK")], "INVALID_FIELD", "entries[1].owner"),
        ([debit("ann", 1), credit("dan", 1, cur="EUR")], "CURRENCY_MISMATCH", ""),
        ([debit("ann", 1), credit("m", 1, "ESCROW")], "INVALID_FIELD", "entries[1].reference"),
        ([debit("ann", 0), credit("dan", 0)], "INVALID_FIELD", "entries[0].amount.minor_units"),
        (
            [debit("ann", 1), credit("dan", 1, "SPLIT_TRANSIT", ref="x")],
            "INVALID_FIELD",
            "entries[1].subject",
        ),
        ([debit("ann", 1)], "INVALID_FIELD", "entries"),
    ],
)
async def test_what_no_journal_can_be_is_refused_and_nothing_is_written(
    stub: Stub, database: Database, lines: Any, reason: str, field: str
) -> None:
    status = await refusal(stub, *lines)
    assert reason_of(status) == reason
    assert not field or field in fields_of(status)
    assert database.query("SELECT id FROM split_journal") == []
    assert journals(database) == []


async def test_one_that_nobody_posted_is_not_found(stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await get_split(stub, split_id_of(NAME, "never"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_without_a_context_it_is_refused(stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PostSplitJournal(split_request(), timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


# Refusals


async def test_a_refused_debit_takes_the_others_back(stub: Stub, database: Database) -> None:
    split = await post_split(
        stub, debit("ann", 30), debit("bob", 101), debit("ann", 5), credit("cyd", 136)
    )
    assert (state_of(split), split.refusal) == ("REFUSED", "INSUFFICIENT_FUNDS")
    assert balances(database) == {"ann": 100, "bob": 100}
    taken_back = [f"/leg-{n}{end}" for n in (1, 3) for end in ("", "/back")]
    # Those that had not been booked yet when the other one was refused were barred.
    assert set(journals(database)) <= set(taken_back)
    assert len(split.journal_ids) == len(journals(database))
    assert all_is_well(database)


async def test_what_was_refused_stays_so_when_the_money_comes(
    stub: Stub, core: Core[Any], database: Database
) -> None:
    lines = [debit("ann", 101), credit("cyd", 101)]
    assert state_of(await post_split(stub, *lines)) == "REFUSED"
    await core.shell.process([item(post(top_up("ann", 500, key="late")))])
    assert state_of(await post_split(stub, *lines)) == "REFUSED"
    assert balances(database) == {"ann": 600, "bob": 100}
    assert state_of(await post_split(stub, *lines, key="2")) == "POSTED"


@pytest.mark.parametrize("status", ["CLOSED", "FROZEN_OUT"])
async def test_a_payer_that_is_closed_or_frozen_is_refused(
    stub: Stub, database: Database, status: str
) -> None:
    set_status(database, "bob", status)
    split = await post_split(stub)
    assert (state_of(split), split.refusal) == ("REFUSED", "ACCOUNT_NOT_OPEN")
    assert balances(database) == {"ann": 100, "bob": 100}
    assert all_is_well(database)


@pytest.mark.parametrize("status", ["CLOSED", "FROZEN_IN"])
async def test_what_a_payee_cannot_take_is_kept_for_him_and_told(
    stub: Stub, core: Core[Any], database: Database, status: str
) -> None:
    await core.shell.process([item(post(top_up("cyd", 1, key="cyd")))])
    set_status(database, "cyd", status)
    split = await post_split(stub)
    assert (state_of(split), split.refusal) == ("POSTED", "")
    [suspended] = split.suspended
    assert (suspended.line, suspended.reason) == (3, "ACCOUNT_NOT_OPEN")
    assert suspended.journal_id in split.journal_ids
    assert balances(database) == {"ann": 70, "bob": 80, "cyd": 1, "dan": 15}
    query = "SELECT owner, side, amount_minor, reference FROM booking WHERE subject = %s"
    assert database.query(query, "USER_RETURNS_PAYABLE") == [
        ("cyd", "CREDIT", 35, split.split_journal_id)
    ]
    assert all_is_well(database)


async def test_a_debit_that_cannot_go_back_is_kept_for_who_had_it(
    stub: Stub, database: Database, app: App
) -> None:
    """ann's account is closed in the moment in which bob's debit is refused."""
    set_status(database, "bob", "FROZEN_OUT")
    blocker = psycopg.connect(database.admin_url)
    blocker.execute("SELECT FROM account WHERE owner = 'bob' FOR UPDATE")
    split = await post_split(stub)  # bob's leg waits
    assert state_of(split) == "DEBITING"
    set_status(database, "ann", "FROZEN_IN")
    blocker.close()
    split = await ended(stub, split)
    assert (state_of(split), split.refusal) == ("REFUSED", "ACCOUNT_NOT_OPEN")
    assert [s.line for s in split.suspended] == [1]
    assert balances(database) == {"ann": 70, "bob": 100}
    assert balances(database, "USER_RETURNS_PAYABLE") == {"ann": 30}
    assert journals(database) == ["/leg-1", "/leg-1/suspend"]
    assert all_is_well(database)


async def test_a_name_that_somebody_has_taken_is_a_refusal(
    stub: Stub, core: Core[Any], database: Database
) -> None:
    """Nothing is taken back that was never booked for it."""
    lines = [line("DEBIT", "BANK", "platform", 9), line("CREDIT", "USER_BALANCE", "eve", 9)]
    await core.shell.process([item(post(drafted(f"{NAME}/leg-2", "1", lines)))])
    split = await post_split(stub)
    assert (state_of(split), split.refusal) == ("REFUSED", "JOURNAL_KEY_REUSED")
    assert balances(database) == {"ann": 100, "bob": 100, "eve": 9}
    assert all_is_well(database)


# Locks


async def test_a_locked_leg_holds_nobody_and_the_answer_does_not_wait_for_it(
    stub: Stub, database: Database
) -> None:
    """Somebody sits on bob's account until he releases it himself."""
    blocker = psycopg.connect(database.admin_url)
    blocker.execute("SELECT FROM account WHERE owner = 'bob' FOR UPDATE")
    split = await post_split(stub)
    assert state_of(split) == "DEBITING"
    async with asyncio.timeout(60):
        while not journals(database):
            await asyncio.sleep(0.01)
    assert journals(database) == ["/leg-1"]  # ann's is booked; no credit is
    other = await post_split(stub, debit("ann", 1), credit("eve", 1), key="2")
    assert state_of(other) == "POSTED"
    blocker.close()
    assert state_of(await ended(stub, split)) == "POSTED"
    assert balances(database) == {"ann": 69, "bob": 80, "cyd": 35, "dan": 15, "eve": 1}
    assert all_is_well(database)


async def test_a_locked_credit_holds_no_other_credit(
    stub: Stub, core: Core[Any], database: Database
) -> None:
    await core.shell.process([item(post(top_up("cyd", 1, key="cyd")))])
    blocker = psycopg.connect(database.admin_url)
    blocker.execute("SELECT FROM account WHERE owner = 'cyd' FOR UPDATE")
    split = await post_split(stub)
    async with asyncio.timeout(60):
        while balances(database) != {"ann": 70, "bob": 80, "cyd": 1, "dan": 15}:
            await asyncio.sleep(0.01)
    split = await get_split(stub, split.split_journal_id)
    assert state_of(split) == "CREDITING"
    blocker.close()
    assert state_of(await ended(stub, split)) == "POSTED"
    assert all_is_well(database)


async def test_a_hundred_legs_of_ten_callers_come_out_even(
    stub: Stub, core: Core[Any], database: Database
) -> None:
    """Everybody pays everybody; some cannot."""
    names = [f"u{n}" for n in range(10)]
    await core.shell.process([item(post(top_up(name, 50, key=name))) for name in names])

    async def caller(number: int) -> Any:
        lines = [debit(name, 1 + (number + i) % 13) for i, name in enumerate(names)]
        total = sum(x.amount.minor for x in lines)
        lines += [credit(f"p{number % 3}", total - 10), credit(names[number], 10)]
        return await post_split(stub, *lines, key=f"many-{number}")

    found = await asyncio.gather(*(caller(number) for number in range(10)))
    ends = [await ended(stub, split, within_s=60) for split in found]
    assert {state_of(split) for split in ends} == {"POSTED", "REFUSED"}
    assert sum(balances(database).values()) == 700
    assert all_is_well(database)


async def test_a_leg_is_not_taken_back_alone(stub: Stub, database: Database) -> None:
    """Its transit would not come out even."""
    split = await post_split(stub)
    request = ledger_service_pb2.ReverseJournalRequest(
        request_id=str(uuid.uuid4()), journal_id=split.journal_ids[0], why="mistake"
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ReverseJournal(request, metadata=CONTEXT, timeout=60)
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert reason_of(status) == "ILLEGAL_MOVE"
    assert all_is_well(database)


async def test_its_chain_is_the_callers(stub: Stub, database: Database) -> None:
    await post_split(stub)
    chains = "SELECT DISTINCT business_id FROM journal WHERE starts_with(event_type, %s)"
    assert database.query(chains, NAME) == [("biz_1",)]
