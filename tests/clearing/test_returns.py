"""Money that has come is booked, whatever its account takes; and moves on once that is open."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from payments.type.v1.event_pb2 import Event
from typer.testing import CliRunner

from clearing_svc import consumers
from clearing_svc.ledger.accounts import AccountStatus
from clearing_svc.ledger.administering import CreateAccount, SetAccountStatus
from clearing_svc.ledger.diverting import Returns, ReturnsView, way_of
from clearing_svc.ledger.drafts import AccountRef, account_id_of, drafted
from clearing_svc.ledger.fees import Fees
from clearing_svc.ledger.loading import HERE, load_templates
from clearing_svc.ledger.returns import owed
from clearing_svc.store import ENTRY, RETURNS
from paymesh.app import App
from paymesh.bus.port import HANDLED
from paymesh.clock import SystemClock
from paymesh_ops.cli.main import app as cli
from tests.clearing.accounts_world import Client, field_of, refusal
from tests.clearing.conftest import Database, Stub, World
from tests.clearing.ledger_messages import delivery, held, instruction, paid
from tests.clearing.ledger_world import (
    AT,
    CONFIG,
    CONTEXT,
    PAYEE,
    earned,
    line,
    place,
    post,
    release,
    signed_sum,
    top_up,
)

ANN, SHOP = "USER_BALANCE:ann", "MERCHANT_PENDING:mer_1"
OPEN, IN, OUT, CLOSED = AccountStatus
SHUT = pytest.mark.parametrize("status", [IN, CLOSED])
KEPT = "USER_RETURNS_PAYABLE:ann"
CHARGED = ("MERCHANT_RETURNS_PAYABLE:mer_1", *PAYEE)
"""Where a refund's money comes from."""


async def become(world: World, account: str, status: AccountStatus) -> None:
    subject, owner = account.split(":")
    await world.do(CreateAccount(CONTEXT, AccountRef(subject, owner), "CNY"))
    way = way_of(CONFIG.chart, subject, owner, "CNY")
    assert way is not None
    command = SetAccountStatus(CONTEXT, way.account_id, status, "asked by a court", way.keys[1])
    assert await world.do(command) == ["OK"]


def lying(world: World) -> list[tuple[str, str, int]]:
    """What lies on all RETURNS_PAYABLE accounts: for which account, for what, how much."""
    rows: list[Returns] = list(world.rows(RETURNS).values())
    for row in rows:
        assert sum(part.minor for part in row.parts) == world.balance(row.subject, row.owner)
        assert (row.next_action_at is None) == (not row.parts)
    return [(part.subject, part.reference, part.minor) for row in rows for part in row.parts]


async def sweep(world: World) -> None:
    """What the sweeper does for rows that are due."""
    for row in list(world.rows(RETURNS).values()):
        await world.do(*owed(ReturnsView(row), AT))


def bounce(minor: int) -> Event:
    return instruction("bounced", minor, kind="CHANNEL_PAYOUT", key="ins_p", payer_id="ann")


def to_balance(minor: int, **changes: Any) -> Event:
    """A refund, or a return, to ann's balance."""
    return instruction("succeeded", minor, kind="TRANSFER", payer_id="ann", **changes)


COMES: dict[str, tuple[str, Event, int]] = {
    "top-up": (ANN, paid(500, product="TOP_UP", payee_id="ann"), 500),
    "transfer": (ANN, paid(500, product="TRANSFER", payee_id="ann"), 500),
    "bounced withdrawal": (ANN, bounce(500), 500),
    "return": (ANN, to_balance(500, compensates="ins_9"), 500),
    "purchase": (SHOP, paid(10_000), 9_940),
}
"""By what comes: the account, the event, and how much of it is for the account."""


@SHUT
@pytest.mark.parametrize("what", COMES)
async def test_what_comes_to_an_account_that_takes_nothing_is_kept_and_moves_on(
    world: World, what: str, status: AccountStatus
) -> None:
    account, event, minor = COMES[what]
    subject, _ = account.split(":")
    await become(world, account, status)
    assert await world.hears(event, event) == HANDLED
    assert lying(world) == [(subject, "", minor)]
    assert world.balance(subject) == 0
    await sweep(world)
    assert lying(world) == [(subject, "", minor)]
    assert await world.hears(event) == HANDLED
    journals = world.journals

    await become(world, account, OPEN)
    [row] = world.rows(RETURNS).values()
    assert row.next_action_at <= SystemClock().now()
    await sweep(world)
    assert lying(world) == []
    assert world.balance(subject) == minor
    await sweep(world)
    assert await world.hears(event) == HANDLED
    assert world.journals == sorted([*journals, "ledger.returns/moved"])
    assert signed_sum(world.balances) == 0


async def test_a_purchase_is_one_whole_for_an_account_that_gives_nothing_out(
    world: World,
) -> None:
    """Its fee is a debit, but what comes in is more."""
    await become(world, SHOP, OUT)
    assert await world.hears(paid(10_000)) == HANDLED
    assert world.balance("MERCHANT_PENDING") == 9_940
    assert lying(world) == []


async def test_a_fee_that_takes_all_leaves_nothing_behind(world: World) -> None:
    """Nothing is for the account in the end, but it is closed to what comes and goes, too."""
    await become(world, SHOP, CLOSED)
    all_of_it = Fees({"INSTANT": Decimal(1)})
    templates = load_templates(HERE / "templates.yaml", CONFIG.chart, all_of_it)
    bookings = consumers.bookings(templates)
    world.consumer = consumers.ledger(world.core, bookings, CONFIG.chart, SystemClock())
    assert await world.hears(paid(100)) == HANDLED
    assert (lying(world), world.balance("FEE_INCOME")) == ([], 100)
    assert len(world.journals) == 2


async def test_what_would_be_too_much_for_an_account_is_kept_until_there_is_room(
    world: World,
) -> None:
    """An account with a maximum of its own."""
    limited = CreateAccount(CONTEXT, AccountRef("USER_BALANCE", "ann"), "CNY", maximum_minor=600)
    assert await world.do(limited) == ["OK"]
    for key in ("trd_1", "trd_2"):
        event = paid(500, key=key, event_id=f"evt_{key}", product="TOP_UP", payee_id="ann")
        assert await world.hears(event) == HANDLED
    assert (world.balance("USER_BALANCE"), lying(world)) == (500, [("USER_BALANCE", "", 500)])
    await sweep(world)
    assert world.balance("USER_BALANCE") == 500
    assert await world.do(place("h", 400)) == ["OK"]
    taking = paid_out(400)
    assert await world.hears(taking) == HANDLED
    await sweep(world)
    assert (world.balance("USER_BALANCE"), lying(world)) == (600, [])


def paid_out(minor: int) -> Event:
    return instruction(
        "succeeded", minor, kind="CHANNEL_PAYOUT", key="ins_o", event_id="evt_o",
        purpose="WITHDRAWAL", payer_id="ann", **held("h", ANN),
    )  # fmt: skip


def refunded(minor: int, kind: str = "CHANNEL_REFUND") -> Event:
    return instruction(
        "succeeded", minor, kind=kind, key="ins_r", event_id="evt_r", purpose="REFUND",
        payer_id="ann", original="pay_1", **held("r", *CHARGED),
    )  # fmt: skip


async def test_a_refund_takes_from_there_first_and_what_is_held_stays(world: World) -> None:
    await world.do(post(earned(700)))
    await become(world, SHOP, IN)
    await world.hears(paid(10_000))
    assert await world.do(place("r", 4_000, *CHARGED)) == ["OK"]
    assert world.held == {"MERCHANT_RETURNS_PAYABLE": 4_000}
    await become(world, SHOP, OPEN)
    await sweep(world)
    assert lying(world) == [("MERCHANT_PENDING", "", 4_000)]
    assert world.balance("MERCHANT_PENDING") == 700 + 5_940
    assert await world.hears(refunded(3_000)) == HANDLED
    assert lying(world) == [("MERCHANT_PENDING", "", 1_000)]
    assert await world.do(release("r", *CHARGED)) == ["OK"]
    await sweep(world)
    assert (lying(world), world.balance("MERCHANT_PENDING")) == ([], 700 + 6_940)
    assert signed_sum(world.balances) == 0


async def test_a_refund_to_a_closed_balance_is_kept_for_its_owner(world: World) -> None:
    """Both ends in one event: taken from the merchant's, kept for the payer."""
    await become(world, SHOP, CLOSED)
    await become(world, ANN, CLOSED)
    await world.hears(paid(10_000))
    assert await world.do(place("r", 300, *CHARGED)) == ["OK"]
    assert await world.hears(refunded(300, "TRANSFER")) == HANDLED
    assert sorted(lying(world)) == [("MERCHANT_PENDING", "", 9_640), ("USER_BALANCE", "", 300)]


async def test_owners_of_one_name_but_of_two_kinds_share_nothing(world: World) -> None:
    await become(world, "USER_BALANCE:mer_1", CLOSED)
    await become(world, SHOP, CLOSED)
    await world.hears(paid(10_000))
    await world.hears(paid(5, key="t2", event_id="e", product="TOP_UP", payee_id="mer_1"))
    assert world.balance("MERCHANT_RETURNS_PAYABLE", "mer_1") == 9_940
    assert world.balance("USER_RETURNS_PAYABLE", "mer_1") == 5


async def test_only_what_its_account_takes_moves_on(world: World) -> None:
    """Two accounts of one owner have something there; one of them is opened."""
    for account in (SHOP, "MERCHANT_AVAILABLE:mer_1"):
        await become(world, account, CLOSED)
    await world.hears(paid(10_000))
    [row] = world.rows(RETURNS).values()
    [effect] = owed(ReturnsView(row), AT)
    assert effect.keys == (
        row.id,
        account_id_of("MERCHANT_RETURNS_PAYABLE", "mer_1", "CNY"),
        account_id_of("MERCHANT_PENDING", "mer_1", "CNY"),
    )
    await become(world, "MERCHANT_AVAILABLE:mer_1", OPEN)
    await sweep(world)
    assert lying(world) == [("MERCHANT_PENDING", "", 9_940)]


async def test_every_entry_says_what_it_is_for(world: World) -> None:
    await become(world, ANN, CLOSED)
    await world.hears(paid(500, product="TOP_UP", payee_id="ann"))
    await become(world, ANN, OPEN)
    await sweep(world)
    entries = [entry for entry in world.rows(ENTRY).values() if entry.owner == "ann"]
    [row] = world.rows(RETURNS).values()
    assert {entry.reference for entry in entries} == {"trd_1", row.id}
    assert len(entries) == 3


# As it really runs


@pytest.fixture
def client(stub: Stub) -> Client:
    return Client(stub)


async def heard(app: App, event: Event) -> None:
    """It comes by the bus."""
    _, handler, _ = app.queues[0]
    assert await handler([delivery(event)]) == [HANDLED]


async def test_opening_an_account_brings_it_what_came_meanwhile(
    client: Client, app: App, database: Database
) -> None:
    """Within seconds: nobody has to ask. Its journals are told under a chain of their own."""
    await client.post(top_up("ann", 1, key="t"), with_id=False)
    await client.status(ANN, "FROZEN_IN")
    await heard(app, COMES["top-up"][1])
    assert (await client.account(KEPT)).balance.minor_units == 500
    assert database.books_are_true()
    await client.status(ANN, "OPEN")
    async with asyncio.timeout(30):
        while (await client.account(ANN)).balance.minor_units != 501:
            await asyncio.sleep(0.05)
    assert database.books_are_true()
    [(row_id, business_id)] = database.query("SELECT id, business_id FROM returns_payable")
    assert row_id == business_id
    moved = "SELECT event_type, business_id FROM journal WHERE event_type LIKE 'ledger.returns%'"
    assert database.query(moved) == [("ledger.returns/moved", row_id)]


async def test_what_is_kept_is_neither_shut_nor_opened_nor_taken_nor_taken_back_by_hand(
    client: Client, app: App, database: Database
) -> None:
    await client.post(top_up("ann", 1, key="t"), with_id=False)
    await client.status(ANN, "FROZEN_IN")
    await heard(app, COMES["top-up"][1])
    for status in ("CLOSED", "FROZEN_IN", "FROZEN_OUT"):
        assert (await refusal(client.status(KEPT, status)))[1] == "ILLEGAL_MOVE"
    assert await field_of(client.create("USER_RETURNS_PAYABLE:bob")) == "account"
    await client.place("h", 500, KEPT)
    assert await field_of(client.post_hold("h", 500, KEPT)) == "sources[0].subject"
    await client.release("h", KEPT)
    into = drafted(
        "t",
        "1",
        (line("DEBIT", "BANK", "platform", 5), line("CREDIT", "USER_RETURNS_PAYABLE", "ann", 5)),
    )
    for with_id in (True, False):
        assert await client.post(into, with_id=with_id) == ["INVALID_FIELD"]
    await client.status(ANN, "OPEN")
    async with asyncio.timeout(30):
        moved = "SELECT id FROM journal WHERE event_type = 'ledger.returns/moved'"
        while not (found := database.query(moved)):
            await asyncio.sleep(0.05)
    assert (await refusal(client.reverse(found[0][0])))[1] == "JOURNAL_NOT_REVERSIBLE"
    mine = drafted("ledger.returns/moved", "1", top_up("ann", 1, key="x").lines)
    for with_id in (True, False):
        assert await client.post(mine, with_id=with_id) == ["INVALID_FIELD"]


async def test_two_at_once_keep_all_of_it(client: Client, app: App, database: Database) -> None:
    """The first that come for an owner open the account of what is kept, each in its own batch."""
    await client.post(top_up("ann", 1, key="t"), with_id=False)
    await client.status(ANN, "FROZEN_IN")
    events = [
        paid(10, key=f"trd_{n}", event_id=f"evt_{n}", product="TOP_UP", payee_id="ann")
        for n in range(20)
    ]
    await asyncio.gather(*(heard(app, event) for event in events))
    assert (await client.account(KEPT)).balance.minor_units == 200
    assert database.books_are_true()


async def test_what_waits_is_listed(
    client: Client, app: App, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For which account, how much, why it waits, and when it is looked at again."""
    plan = SimpleNamespace(reader_urls={"clearing": database.admin_url})
    monkeypatch.setattr("paymesh_ops.cli.ledger.plan_of_running", lambda: plan)

    async def run(*arguments: str) -> str:
        words = ["ledger", "returns", *arguments]
        told = await asyncio.to_thread(CliRunner().invoke, cli, words, env={"COLUMNS": "120"})
        assert told.exit_code == 0, told.output
        return told.output

    assert "nothing waits" in await run()
    await client.post(top_up("ann", 1, key="t"), with_id=False)
    await client.status(ANN, "FROZEN_IN")
    await heard(app, COMES["top-up"][1])
    await client.place("h", 200, KEPT)
    [_, line_] = (await run("--owner", "ann")).splitlines()
    due = database.query("SELECT next_action_at AT TIME ZONE 'UTC' FROM returns_payable")[0][0]
    money = ["CNY", "5.00", "CNY", "2.00"]
    assert line_.split() == ["USER_BALANCE:ann:CNY", *money, "FROZEN_IN", *f"{due:%F %T}".split()]
    assert "nothing waits" in await run("--owner", "bob")
    await heard(app, paid(7, key="t", event_id="e", product="TOP_UP", payee_id="[/]"))
    assert "nothing waits" in await run("--owner", "[/]")
