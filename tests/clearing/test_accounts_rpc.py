"""Accounts as operators meet them: opening, freezing, closing, over gRPC on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from payments.clearing.v1 import ledger_pb2
from payments.type.v1.account_pb2 import AccountRef as Ref

from clearing_svc.ledger.drafts import drafted
from paymesh.app import App
from paymesh.ids import derived_id
from tests.clearing.accounts_world import Client, acc, field_of, refusal, uid
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_world import OWED_MAX, PAYEE, earned, line, top_up, transfer

pytestmark = pytest.mark.slow

ANN, BANK, OWED = "USER_BALANCE:ann", "BANK:platform", "MERCHANT_RECEIVABLE:mer_1"
CODE = grpc.StatusCode
BOTH = pytest.mark.parametrize("with_id", [True, False], ids=["core", "bulk"])


@pytest.fixture
def client(stub: Stub) -> Client:
    return Client(stub)


@pytest.fixture
async def ann(client: Client) -> Client:
    """ann has 500."""
    assert await client.post(top_up("ann", 500, key="0"), with_id=False) == ["OK"]
    return client


def rows(database: Database) -> list[list[tuple[object, ...]]]:
    """All that administering may write, and what it must not."""
    tables = "account", "ledger_act", "journal", "entry", "hold"
    return [sorted(database.query(f"SELECT t::text FROM {table} t")) for table in tables]


# Opening


async def test_an_account_is_opened_before_its_first_entry(
    client: Client, database: Database
) -> None:
    account = await client.create(ANN)
    assert account == await client.account(ANN)
    assert (account.account_id, account.version) == (acc(ANN), 1)
    assert (account.balance.minor_units, account.status) == (0, ledger_pb2.ACCOUNT_STATUS_OPEN)
    assert account.mode == ledger_pb2.ACCOUNT_MODE_DIRECT
    assert (account.minimum_minor_units, account.HasField("maximum_minor_units")) == (0, False)
    limits = "SELECT minimum_minor, maximum_minor, business_id FROM account"
    assert database.query(limits) == [(0, None, "biz_1")]
    assert await client.post(top_up("ann", 5, key="1"), with_id=False) == ["OK"]
    assert (await client.account(ANN)).balance.minor_units == 5


async def test_an_account_has_limits_and_a_mode_of_its_own(client: Client) -> None:
    bank = await client.create(BANK, minimum_minor_units=-100, maximum_minor_units=300)
    assert (bank.minimum_minor_units, bank.maximum_minor_units) == (-100, 300)
    buffered = await client.create(ANN, mode="ACCOUNT_MODE_BUFFERED", maximum_minor_units=400)
    assert buffered.mode == ledger_pb2.ACCOUNT_MODE_BUFFERED
    short = "INSUFFICIENT_FUNDS"
    assert await client.post(top_up("ann", 301, key="1"), with_id=False) == [short]
    assert await client.post(top_up("ann", 300, key="2"), with_id=False) == ["OK"]
    assert await client.post(top_up("ann", 1, key="3"), with_id=True) == [short]
    back = [line("DEBIT", "USER_BALANCE", "ann", 300), line("CREDIT", "BANK", "platform", 300)]
    assert await client.post(drafted("t", "4", back), with_id=True) == ["OK"]
    overdrawn = [line("DEBIT", "FEE_INCOME", "platform", 101),
                 line("CREDIT", "BANK", "platform", 101)]  # fmt: skip
    assert await client.post(drafted("t", "5", overdrawn), with_id=False) == [short]
    assert await client.post(drafted("t", "6", overdrawn), with_id=True) == [short]


async def test_the_same_account_with_the_same_terms_is_answered_as_it_is(ann: Client) -> None:
    """Opened by its first entry, or by another request."""
    assert (await ann.create(ANN)).balance.minor_units == 500
    assert (await ann.create(ANN, minimum_minor_units=0)).version == 1
    request_id = uid()
    first = await ann.create("USER_BALANCE:bob", request_id=request_id)
    await ann.post(transfer("ann", "bob", 1, key="1"), with_id=False)
    again = await ann.create("USER_BALANCE:bob", request_id=request_id)
    assert (first.version, again.version, again.balance.minor_units) == (1, 2, 1)


@pytest.mark.parametrize("terms", [{"maximum_minor_units": 9}, {"mode": "ACCOUNT_MODE_BUFFERED"}])
async def test_the_same_account_with_other_terms_is_refused(
    ann: Client, database: Database, terms: dict[str, Any]
) -> None:
    before = rows(database)
    code, reason, status = await refusal(ann.create(ANN, **terms))
    assert (code, reason) == (CODE.ALREADY_EXISTS, "ACCOUNT_EXISTS")
    assert "maximum None, DIRECT" in status.message
    assert rows(database) == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"request_id": "x"}, "request_id"),
        ({"account": None}, "account"),
        ({"account": Ref(subject="HEAVEN", owner="ann")}, "account.subject"),
        ({"account": Ref(subject="heaven", owner="ann")}, "account.subject"),
        ({"account": Ref(subject="BANK", owner="ann")}, "account.owner"),
        ({"account": Ref(subject="USER_BALANCE")}, "account.owner"),
        ({"account": Ref(subject="USER_BALANCE", owner="a\0")}, "account.owner"),
        ({"currency_code": "cny"}, "currency_code"),
        ({"currency_code": "ZZZ"}, "currency_code"),
        ({"minimum_minor_units": -1}, "minimum_minor_units"),
        ({"minimum_minor_units": 1}, "minimum_minor_units"),
        ({"maximum_minor_units": -1}, "maximum_minor_units"),
        ({"mode": 9}, "mode"),
        ({"mode": "ACCOUNT_MODE_DRAINING"}, "mode"),
    ],
)
async def test_an_account_that_cannot_be_is_refused_and_nothing_is_written(
    client: Client, database: Database, changes: dict[str, Any], field: str
) -> None:
    assert await field_of(client.create(ANN, **changes)) == field
    assert not any(rows(database))


async def test_limits_are_the_charts_or_stricter(client: Client) -> None:
    assert await field_of(client.create(OWED, maximum_minor_units=OWED_MAX + 1)) == (
        "maximum_minor_units"
    )
    assert await field_of(client.create(BANK, minimum_minor_units=-(2**63))) == (
        "minimum_minor_units"
    )
    await client.create(OWED, maximum_minor_units=OWED_MAX - 1)


async def test_opening_races_with_the_first_entry_and_with_itself(
    client: Client, database: Database
) -> None:
    opening = [client.create(ANN) for _ in range(5)]
    posting = [client.post(top_up("ann", 1, key=str(n)), with_id=n % 2 == 0) for n in range(6)]
    found = await asyncio.gather(*opening, *posting)
    assert found[5:] == [["OK"]] * 6
    assert (await client.account(ANN)).balance.minor_units == 6
    assert database.books_are_true()


# Status


@BOTH
async def test_nothing_comes_into_an_account_that_is_frozen_for_it(
    ann: Client, database: Database, with_id: bool
) -> None:
    """Per item: neighbours post, and money leaves it."""
    frozen = await ann.status(ANN, "FROZEN_IN")
    assert frozen.status == ledger_pb2.ACCOUNT_STATUS_FROZEN_IN
    assert await ann.post(
        top_up("bob", 1, key="a"), top_up("ann", 1, key="b"), transfer("ann", "bob", 2, key="c"),
        with_id=with_id,
    ) == ["OK", "ACCOUNT_NOT_OPEN", "OK"]  # fmt: skip
    await ann.place("h", 10)
    assert (await ann.account(ANN)).available.minor_units == 488
    await ann.status(ANN, "OPEN")
    assert await ann.post(top_up("ann", 1, key="b"), with_id=with_id) == ["OK"]
    assert database.books_are_true()


@BOTH
async def test_nothing_leaves_an_account_that_is_frozen_but_what_was_held_before(
    ann: Client, database: Database, with_id: bool
) -> None:
    await ann.place("h", 100)
    await ann.status(ANN, "FROZEN_OUT")
    assert await ann.post(
        top_up("ann", 1, key="a"), transfer("ann", "bob", 1, key="b"), top_up("bob", 1, key="c"),
        with_id=with_id,
    ) == ["OK", "ACCOUNT_NOT_OPEN", "OK"]  # fmt: skip
    code, reason, _ = await refusal(ann.place("i", 1))
    # What is frozen gives nothing: another source may have it.
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN")
    taken = await ann.post_hold("h", 60)
    assert taken.hold.parts[0].posted.minor_units == 60
    released = await ann.release("h")
    assert released.state == ledger_pb2.HOLD_STATE_RELEASED
    account = await ann.account(ANN)
    assert (account.balance.minor_units, account.held.minor_units) == (441, 0)
    assert account.available.minor_units == 0
    assert database.books_are_true()


@BOTH
async def test_nothing_is_booked_or_held_on_a_closed_account_until_it_is_opened_again(
    ann: Client, database: Database, with_id: bool
) -> None:
    await ann.post(transfer("ann", "bob", 500, key="all"), with_id=with_id)
    await ann.status(ANN, "CLOSED")
    assert await ann.post(
        top_up("ann", 1, key="a"), transfer("ann", "bob", 1, key="b"), top_up("bob", 1, key="c"),
        with_id=with_id,
    ) == ["ACCOUNT_NOT_OPEN", "ACCOUNT_NOT_OPEN", "OK"]  # fmt: skip
    assert (await refusal(ann.place("h", 1)))[1] == "ACCOUNT_NOT_OPEN"
    code, reason, _ = await refusal(ann.status(ANN, "FROZEN_IN"))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "ILLEGAL_MOVE")
    await ann.status(ANN, "OPEN")
    assert await ann.post(top_up("ann", 1, key="a"), with_id=with_id) == ["OK"]
    assert database.books_are_true()


async def test_room_on_a_debit_normal_account_is_frozen_by_its_direction_too(
    client: Client, database: Database
) -> None:
    """A hold on what a merchant may come to owe us reserves growth: that is what FROZEN_IN stops,
    but for what was reserved before; FROZEN_OUT stops its being paid back."""
    await client.post(earned(50), with_id=False)
    await client.place("h", 80, *PAYEE)
    await client.status(OWED, "FROZEN_IN")
    assert (await client.account(OWED)).available.minor_units == 0
    assert (await refusal(client.place("i", 30, *PAYEE)))[1] == "ACCOUNT_NOT_OPEN"
    lent = [line("DEBIT", "MERCHANT_RECEIVABLE", "mer_1", 1), line("CREDIT", "BANK", "platform", 1)]
    assert await client.post(drafted("t", "1", lent), with_id=False) == ["ACCOUNT_NOT_OPEN"]
    taken = await client.post_hold("h", 80, *PAYEE)
    assert taken.hold.state == ledger_pb2.HOLD_STATE_POSTED
    await client.status(OWED, "FROZEN_OUT")
    paid = [line("DEBIT", "BANK", "platform", 1), line("CREDIT", "MERCHANT_RECEIVABLE", "mer_1", 1)]
    assert await client.post(drafted("t", "2", paid), with_id=True) == ["ACCOUNT_NOT_OPEN"]
    assert await client.post(drafted("t", "3", lent), with_id=True) == ["OK"]
    assert database.books_are_true()


async def test_only_an_empty_account_is_closed(ann: Client, database: Database) -> None:
    before = rows(database)
    code, reason, status = await refusal(ann.status(ANN, "CLOSED"))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "ILLEGAL_MOVE")
    assert "CNY 5.00" in status.message
    assert rows(database) == before
    await ann.place("r", 30, *PAYEE)  # on the receivable, whose balance is 0
    assert (await refusal(ann.status(OWED, "CLOSED")))[1] == "ILLEGAL_MOVE"
    await ann.release("r", *PAYEE)
    closed = await ann.status(OWED, "CLOSED")
    assert closed.status == ledger_pb2.ACCOUNT_STATUS_CLOSED


async def test_closing_races_with_what_comes_in(client: Client, database: Database) -> None:
    """Either it is closed and nothing came in, or something did and it is not."""
    for n in range(8):
        name = f"u{n}"
        await client.create(f"USER_BALANCE:{name}")
        closing = asyncio.gather(
            client.status(f"USER_BALANCE:{name}", "CLOSED"), return_exceptions=True
        )
        posting = client.post(top_up(name, 1, key=name), with_id=n % 2 == 0)
        [closed], [posted] = await asyncio.gather(closing, posting)
        refused = isinstance(closed, grpc.aio.AioRpcError)
        assert refused == (posted == "OK"), (closed, posted)
    wrong = "SELECT FROM account WHERE status = 'CLOSED' AND balance_minor <> 0"
    assert database.query(wrong) == []
    assert database.books_are_true()


async def test_why_an_account_was_frozen_is_kept_with_the_chain_in_which_it_was_asked(
    ann: Client, database: Database
) -> None:
    request_id = uid()
    first = await ann.status(ANN, "FROZEN_OUT", why="court order 7", request_id=request_id)
    again = await ann.status(ANN, "FROZEN_OUT", why="court order 7", request_id=request_id)
    same = await ann.status(ANN, "FROZEN_OUT", why="said twice")
    assert first == again == same
    await ann.status(ANN, "OPEN", why="lifted")
    kept = "SELECT about, what, why, business_id FROM ledger_act ORDER BY acted_at"
    assert database.query(kept) == [
        (acc(ANN), "FROZEN_OUT", "court order 7", "biz_1"),
        (acc(ANN), "OPEN", "lifted", "biz_1"),
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"request_id": ""}, "request_id"),
        ({"account_id": "acc_1"}, "account_id"),
        ({"status": 0}, "status"),
        ({"status": 9}, "status"),
        ({"why": ""}, "why"),
        ({"why": "x" * 257}, "why"),
        ({"why": "\0"}, "why"),
    ],
)
async def test_a_status_that_cannot_be_is_refused_and_nothing_is_written(
    ann: Client, database: Database, changes: dict[str, Any], field: str
) -> None:
    before = rows(database)
    assert await field_of(ann.status(ANN, "FROZEN_IN", **changes)) == field
    assert rows(database) == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"mode": 0}, "mode"), ({"mode": 3}, "mode"), ({"account_id": "ann"}, "account_id")],
)
async def test_a_mode_that_cannot_be_is_refused_and_nothing_is_written(
    ann: Client, database: Database, changes: dict[str, Any], field: str
) -> None:
    before = rows(database)
    assert await field_of(ann.mode(ANN, "BUFFERED", **changes)) == field
    assert rows(database) == before


async def test_an_account_that_is_not_there_is_not_found(client: Client) -> None:
    nowhere = derived_id("acc", bucket=1, key="nowhere")
    for call in (
        client.status(ANN, "FROZEN_IN", account_id=nowhere),
        client.mode(ANN, "BUFFERED", account_id=nowhere),
    ):
        code, reason, _ = await refusal(call)
        assert (code, reason) == (CODE.NOT_FOUND, "NOT_FOUND")


async def test_a_request_id_with_another_body_is_refused(ann: Client) -> None:
    request_id = uid()
    await ann.status(ANN, "FROZEN_IN", request_id=request_id)
    _, reason, _ = await refusal(ann.status(ANN, "FROZEN_OUT", request_id=request_id))
    assert reason == "REQUEST_ID_REUSED"


# Mode


async def test_a_buffered_account_is_frozen_once_it_is_direct(
    ann: Client, database: Database
) -> None:
    """Its credits do not look at its status, so it is not frozen before they have to."""
    assert (await ann.mode(ANN, "BUFFERED")).mode == ledger_pb2.ACCOUNT_MODE_BUFFERED
    for status in ("FROZEN_IN", "FROZEN_OUT", "CLOSED"):
        code, reason, refused = await refusal(ann.status(ANN, status))
        assert (code, reason) == (CODE.FAILED_PRECONDITION, "ILLEGAL_MOVE")
        assert "set its mode to DIRECT" in refused.message
    assert (await ann.mode(ANN, "DIRECT")).mode == ledger_pb2.ACCOUNT_MODE_DRAINING
    assert (await refusal(ann.status(ANN, "FROZEN_IN")))[1] == "ILLEGAL_MOVE"
    await direct(ann)
    await ann.status(ANN, "FROZEN_IN")
    code, reason, _ = await refusal(ann.mode(ANN, "BUFFERED"))
    assert (code, reason) == (CODE.FAILED_PRECONDITION, "ILLEGAL_MOVE")
    assert await ann.post(top_up("ann", 1, key="1"), with_id=False) == ["ACCOUNT_NOT_OPEN"]


async def direct(client: Client, account: str = ANN) -> None:
    """Until the role `work` has ended the draining."""
    for _ in range(1200):
        if (await client.account(account)).mode == ledger_pb2.ACCOUNT_MODE_DIRECT:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it does not end")


async def test_freezing_a_busy_buffered_account_is_exact(
    ann: Client, app: App, database: Database
) -> None:
    """Credits pour in while it is drained and frozen: whoever asks after the freeze was answered is
    refused, and what was booked is in the balance that the freeze saw."""
    await ann.mode(ANN, "BUFFERED")
    frozen, booked = asyncio.Event(), [500]

    async def pour(number: int) -> None:
        for n in range(1_000):
            late = frozen.is_set()
            [verdict] = await ann.post(top_up("ann", 1, key=f"{number}-{n}"), with_id=False)
            assert verdict == "OK" or frozen_is_asked.is_set()
            assert not (late and verdict == "OK"), "booked on a frozen account"
            if verdict != "OK":
                return
            booked.append(1)

    frozen_is_asked = asyncio.Event()
    pouring = [asyncio.create_task(pour(number)) for number in range(4)]
    async with asyncio.timeout(60):
        while len(booked) <= 20:
            await asyncio.sleep(0.01)
    await ann.mode(ANN, "DIRECT")
    await direct(ann)
    frozen_is_asked.set()
    account = await ann.status(ANN, "FROZEN_IN")
    frozen.set()
    await asyncio.gather(*pouring)
    assert account.balance.minor_units == sum(booked)
    assert (await ann.account(ANN)).balance.minor_units == sum(booked)
