"""The ledger as its callers meet it: the real gRPC server on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2

from clearing_svc.ledger.drafts import drafted
from clearing_svc.store import metadata
from paymesh.app import App
from paymesh.db.migrate import differences
from paymesh.money import Money
from tests.clearing.accounts_world import METADATA
from tests.clearing.books_world import to_date
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import asked, call_context, fields_of, reason_of
from tests.clearing.ledger_world import (
    exchange,
    item,
    line,
    post,
    reasons,
    send,
    top_up,
    transfer,
)

Item = ledger_service_pb2.PostJournalsItem


def verdicts(results: list[Any]) -> list[str]:
    return ["OK" if r.HasField("journal") else reason_of(r.error) for r in results]


async def balance(stub: Stub, subject: str, owner: str, currency: str = "CNY") -> int:
    request = ledger_service_pb2.GetAccountRequest(
        subject=subject, owner=owner, currency_code=currency
    )
    return int((await stub.GetAccount(request, timeout=60)).account.balance.minor_units)


def test_the_migrated_schema_is_what_the_code_declares(database: Database) -> None:
    assert differences("clearing", database.owner_url, metadata) == []


async def test_a_balanced_journal_is_posted_and_read_back(stub: Stub, database: Database) -> None:
    clock = "SELECT clock_timestamp() AT TIME ZONE 'UTC'"
    [(before,)] = database.query(clock)
    [result] = await send(stub, asked(top_up("ann", 500, key="1")))
    [(after,)] = database.query(clock)
    journal = result.journal
    assert journal.journal_id.startswith("jrn_")
    assert (journal.event_type, journal.business_key) == ("test/top-up", "1")
    assert journal.business_id == "biz_1"
    assert [(e.subject, e.side, e.amount.minor_units) for e in journal.entries] == [
        ("BANK", ledger_pb2.ENTRY_SIDE_DEBIT, 500),
        ("USER_BALANCE", ledger_pb2.ENTRY_SIDE_CREDIT, 500),
    ]
    posted_at = journal.post_time.ToDatetime()
    assert isinstance(before, datetime)
    assert isinstance(after, datetime)
    assert before <= posted_at <= after
    assert journal.accounting_date == to_date(posted_at.date())
    listed = await stub.ListJournals(
        ledger_service_pb2.ListJournalsRequest(business_id="biz_1"), timeout=5
    )
    assert list(listed.journals) == [journal]
    account = (
        await stub.GetAccount(
            ledger_service_pb2.GetAccountRequest(
                subject="USER_BALANCE", owner="ann", currency_code="CNY"
            ),
            timeout=60,
        )
    ).account
    assert (account.version, account.balance.minor_units) == (1, 500)
    assert account.status == ledger_pb2.ACCOUNT_STATUS_OPEN
    assert database.books_are_true()


async def test_each_item_has_its_own_verdict_and_good_neighbours_post(
    stub: Stub, database: Database
) -> None:
    """Whatever is wrong with one item, structure, entries or funds, the others are booked."""
    good = asked(top_up("ann", 500, key="1"))
    unbalanced = asked(
        drafted(
            "t",
            "2",
            [line("DEBIT", "BANK", "platform", 5), line("CREDIT", "USER_BALANCE", "ann", 6)],
        )
    )
    unknown = asked(
        drafted("t", "3", [line("DEBIT", "BANK", "platform", 5), line("CREDIT", "HEAVEN", "a", 5)])
    )
    no_uuid = asked(top_up("ann", 1, key="4"), request_id="not a uuid")
    one_entry = asked(top_up("ann", 1, key="5"))
    del one_entry.request.entries[1:]
    no_side = asked(top_up("ann", 1, key="6"))
    no_side.request.entries[0].side = ledger_pb2.ENTRY_SIDE_UNSPECIFIED
    nul = asked(top_up("ann", 1, key="7"))
    nul.request.entries[1].owner = "an\x00n"
    long_ = asked(top_up("ann", 1, key="8"))
    long_.request.entries[1].reference = "x" * 129
    no_money = asked(top_up("ann", 1, key="9"))
    no_money.request.entries[1].ClearField("amount")
    overdraft = asked(transfer("bob", "ann", 1, key="10"))
    no_context = asked(top_up("ann", 1, key="11"))
    no_context.call_context.context.business_id = ""
    last = asked(transfer("ann", "bob", 500, key="12"))
    results = await send(
        stub, good, unbalanced, unknown, no_uuid, one_entry, no_side, nul, long_, no_money,
        overdraft, no_context, last,
    )  # fmt: skip
    field = "INVALID_FIELD"
    assert verdicts(results) == [
        "OK", "UNBALANCED", field, field, field, field, field, field, field,
        "INSUFFICIENT_FUNDS", "CONTEXT_MISSING", "OK",
    ]  # fmt: skip
    assert [fields_of(r.error) for r in results[2:9]] == [
        ["entries[1].subject"],
        ["request_id"],
        ["entries"],
        ["entries[0].side"],
        ["entries[1].owner"],
        ["entries[1].reference"],
        ["entries[1].amount.currency_code"],
    ]
    assert await balance(stub, "USER_BALANCE", "bob") == 500
    assert database.books_are_true()


async def test_only_an_exchange_crosses_currencies_and_is_taken_back_as_a_whole(
    stub: Stub, database: Database
) -> None:
    crossing = asked(exchange("ann", Money("CNY", 5), Money("JPY", 100), key="2"))
    for entry in crossing.request.entries:
        entry.subject = entry.subject.replace("EXCHANGE_POSITION", "BANK")
    results = await send(
        stub,
        asked(top_up("ann", 500, key="1")),
        asked(exchange("ann", Money("CNY", 500), Money("JPY", 10_000), key="1")),
        crossing,
        asked(transfer("ann", "bob", 4_000, key="3", cur="JPY")),
    )
    assert verdicts(results) == ["OK", "OK", "CURRENCY_MISMATCH", "OK"]
    assert "book CNY and JPY against EXCHANGE_POSITION" in results[2].error.message
    [again] = await send(
        stub, asked(exchange("ann", Money("CNY", 500), Money("JPY", 10_000), key="1"))
    )
    assert (again.replayed, again.journal) == (True, results[1].journal)
    assert database.books_are_true()

    reverse = ledger_service_pb2.ReverseJournalRequest(
        request_id=str(uuid.uuid4()), journal_id=results[1].journal.journal_id, why="wrong-rate"
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:  # bob has some of the yen
        await stub.ReverseJournal(reverse, timeout=60, metadata=METADATA)
    assert "INSUFFICIENT_FUNDS" in str(rpc_status.from_call(refused.value))
    await send(stub, asked(transfer("bob", "ann", 4_000, key="4", cur="JPY")))
    reverse.request_id = str(uuid.uuid4())
    await stub.ReverseJournal(reverse, timeout=60, metadata=METADATA)
    assert await balance(stub, "USER_BALANCE", "ann") == 500
    for currency in ("CNY", "JPY"):
        assert await balance(stub, "EXCHANGE_POSITION", "platform", currency) == 0
    assert database.books_are_true()


@pytest.mark.parametrize("request_id", ["", "0b2f6c1e-6a1c-4a53-9f0e-0c4c9d3f5a11"])
async def test_the_same_request_again_gets_the_same_answer(stub: Stub, request_id: str) -> None:
    asked_once = asked(top_up("ann", 500, key="1"), request_id=request_id)
    [first] = await send(stub, asked_once)
    [again] = await send(stub, asked_once)
    assert first.journal == again.journal
    assert (first.replayed, again.replayed) == (False, True)
    assert await balance(stub, "USER_BALANCE", "ann") == 500


async def test_the_same_journal_under_a_new_request_id_is_answered_as_posted(stub: Stub) -> None:
    """The business key is what makes it one journal: the answer is whole, read from the books."""
    [first] = await send(stub, asked(top_up("ann", 500, key="1")))
    repeated = asked(top_up("ann", 500, key="1"), business_id="biz_other")
    [second] = await send(stub, repeated)
    [third] = await send(stub, repeated)
    assert first.journal == second.journal == third.journal
    assert await balance(stub, "USER_BALANCE", "ann") == 500


async def test_another_journal_under_a_used_key_is_refused(stub: Stub) -> None:
    results = await send(
        stub, asked(top_up("ann", 500, key="1")), asked(top_up("ann", 501, key="1"))
    )
    assert verdicts(results) == ["OK", "JOURNAL_KEY_REUSED"]
    assert results[1].error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]


async def test_a_request_id_with_another_body_is_refused(stub: Stub) -> None:
    request_id = str(uuid.uuid4())
    first = asked(top_up("ann", 500, key="1"), request_id=request_id)
    other = asked(top_up("ann", 500, key="2"), request_id=request_id)
    assert verdicts(await send(stub, first)) == ["OK"]
    assert verdicts(await send(stub, other)) == ["REQUEST_ID_REUSED"]


async def test_overdraft_is_exact_inside_one_batch(stub: Stub, database: Database) -> None:
    """100 in, then 30 each: the first three pass, the others do not, whoever is in between."""
    items = [asked(top_up("ann", 100, key="in"))]
    items += [asked(transfer("ann", f"user-{n}", 30, key=str(n))) for n in range(6)]
    assert verdicts(await send(stub, *items)) == ["OK"] * 4 + ["INSUFFICIENT_FUNDS"] * 3
    assert await balance(stub, "USER_BALANCE", "ann") == 10
    assert database.books_are_true()


async def test_concurrent_callers_book_everything_exactly_once(
    stub: Stub, database: Database
) -> None:
    """Twenty callers at once, each key asked for by two of them, all on one account."""

    async def caller(number: int) -> list[str]:
        items = [asked(top_up("ann", 1, key=f"{number // 2}-{n}")) for n in range(20)]
        return verdicts(await send(stub, *items))

    found = await asyncio.gather(*(caller(number) for number in range(20)))
    assert all(verdict == "OK" for each in found for verdict in each)
    assert await balance(stub, "USER_BALANCE", "ann") == 200
    assert database.query("SELECT count(*) FROM journal") == [(200,)]
    assert database.books_are_true()


async def test_two_writers_on_one_database_book_everything_exactly_once(
    stub: Stub, app: App, database: Database
) -> None:
    """Batches beside the server's own, on other connections: conflicts are tried again."""
    shell = app.cores[0].shell

    async def other(number: int) -> list[str]:
        drafts = [top_up("ann", 1, key=f"{number}-{n}") for n in range(20)]
        return reasons(await shell.process([item(post(draft)) for draft in drafts]))

    async def caller(number: int) -> list[str]:
        items = [asked(top_up("ann", 1, key=f"{number}-{n}")) for n in range(20)]
        return verdicts(await send(stub, *items))

    found = await asyncio.gather(*(f(n) for n in range(8) for f in (other, caller)))
    assert {verdict for each in found for verdict in each} <= {"OK", "AGAIN"}
    assert await balance(stub, "USER_BALANCE", "ann") == 160
    assert database.books_are_true()


async def test_live_and_shadow_items_do_not_share_a_batch(stub: Stub) -> None:
    live, shadow = asked(top_up("ann", 1, key="1")), asked(top_up("ann", 1, key="2"))
    shadow.call_context.CopyFrom(call_context(traffic=2))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await send(stub, live, shadow)
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert reason_of(status) == "TRAFFIC_MIXED"


async def test_shadow_items_post_nothing(stub: Stub, database: Database) -> None:
    """However plain they are."""
    items = [asked(top_up("ann", 1, key=key)) for key in ("1", "2")]
    for each in items:
        each.call_context.CopyFrom(call_context(traffic=2))
    assert verdicts(await send(stub, *items)) == ["SHADOW_NOT_DEPLOYED"] * 2
    assert database.query("SELECT count(*) FROM journal") == [(0,)]


@pytest.mark.parametrize(
    ("subject", "owner", "code"),
    [
        ("USER_BALANCE", "nobody", grpc.StatusCode.NOT_FOUND),
        ("HEAVEN", "ann", grpc.StatusCode.INVALID_ARGUMENT),
        ("heaven", "ann", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_an_account_that_is_not_there_is_not_found(
    stub: Stub, subject: str, owner: str, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await balance(stub, subject, owner)
    assert refused.value.code() is code


async def test_the_journals_of_a_chain_come_in_pages_oldest_first(stub: Stub) -> None:
    for batch in range(3):
        await send(stub, *(asked(top_up("ann", 1, key=f"{batch}-{n}")) for n in range(3)))
    await send(stub, asked(top_up("ann", 1, key="x"), business_id="biz_2"))
    found: list[Any] = []
    token = ""
    while True:
        page = await stub.ListJournals(
            ledger_service_pb2.ListJournalsRequest(
                business_id="biz_1", page_size=2, page_token=token
            ),
            timeout=60,
        )
        found += page.journals
        token = page.next_page_token
        if not token:
            break
        assert len(page.journals) == 2
    assert len(found) == len({journal.journal_id for journal in found}) == 9
    places = [(j.post_time.ToNanoseconds(), j.journal_id) for j in found]
    assert places == sorted(places)
    assert {journal.business_key[0] for journal in found[:3]} == {"0"}


@pytest.mark.parametrize("token", ["x", "eHg=", "MjAyNi0xMS0yMiBqcm5fMQ==", "ÿ"])
async def test_a_page_token_that_is_not_ours_is_refused(stub: Stub, token: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListJournals(
            ledger_service_pb2.ListJournalsRequest(business_id="biz_1", page_token=token), timeout=5
        )
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
