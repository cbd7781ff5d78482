"""Holds on a real PostgreSQL: many writers at once, what the database itself refuses, old rows."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import psycopg
import pytest
from payments.type.v1 import event_pb2

from clearing_svc import consumers
from paymesh.app import Core
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.port import HANDLED
from paymesh.clock import SystemClock
from paymesh.consumer import Consumer
from paymesh.failpoint import InjectedFault, arm
from tests.clearing.accounts_world import process
from tests.clearing.conftest import SERVE_ONLY, Database
from tests.clearing.ledger_messages import delivery, held, instruction, message, paid
from tests.clearing.ledger_world import (
    BOOKINGS,
    CONFIG,
    PAYEE,
    earned,
    item,
    place,
    post,
    reasons,
    release,
    spend,
    top_up,
    transfer,
)

KNOWN = {"OK", "INSUFFICIENT_FUNDS", "HOLD_ENDED", "NOT_FOUND"}
"""No INTERNAL: the rules refuse before the database has to. No UNAVAILABLE: nobody starves."""


async def test_ten_writers_never_overdraw_an_account_and_lose_nothing(
    core: Core[Any], database: Database
) -> None:
    """Each places, takes and releases holds and tries to spend more than there is, on the same
    accounts, in batches of its own: limits hold, sums are conserved."""
    shell, accounts = core.shell, ["ann", "bob", "cyd"]
    await shell.process([item(post(top_up(name, 1_000, key=name))) for name in accounts])

    async def writer(number: int) -> list[str]:
        chance = random.Random(number)
        found: list[str] = []
        for turn in range(15):
            name, payee = f"{number}-{turn}", chance.choice(accounts)
            of = [f"USER_BALANCE:{owner}" for owner in chance.sample(accounts, 2)]
            minor = chance.randint(1, 500)
            commands = [
                place(name, minor, *of),
                post(transfer(accounts[0], payee, chance.randint(1, 900), key=name)),
                post(spend(name, chance.randint(1, minor), *of, to=payee, key=name)),
                chance.choice([release(name, *of), post(spend(name, 1, *of, key=f"{name}b"))]),
            ]
            cut = chance.randint(1, 4)
            for part in (commands[:cut], commands[cut:]):
                found += reasons(await shell.process([item(c) for c in part])) if part else []
        return found

    found = await asyncio.gather(*(writer(number) for number in range(10)))
    verdicts = {verdict for each in found for verdict in each}
    assert {"OK", "INSUFFICIENT_FUNDS"} <= verdicts <= KNOWN
    assert database.books_are_true()
    total = "SELECT sum(balance_minor) FROM account WHERE subject = 'USER_BALANCE'"
    assert database.query(total) == [(3_000,)]


async def test_a_hold_that_two_place_at_once_is_answered_held_to_both(database: Database) -> None:
    """The account covers it once. Who comes second has read that there is no such hold, and waits
    for the account: he is not told that its money is gone, for it is his."""
    async with process(database) as one, process(database) as other:
        await one.do(post(top_up("ann", 100, key="1")))
        with psycopg.connect(database.admin_url) as busy:
            busy.execute("SELECT FROM account WHERE owner = 'ann' FOR NO KEY UPDATE")
            both = [asyncio.create_task(p.do(place("h", 80))) for p in (one, other)]
            async with asyncio.timeout(60):
                while database.waiting() < 2:
                    await asyncio.sleep(0.02)
        assert await asyncio.gather(*both) == [["OK"], ["OK"]]
        assert await one.do(place("other", 80)) == ["INSUFFICIENT_FUNDS"]
    assert database.query("SELECT held_minor FROM account WHERE owner = 'ann'") == [(80,)]
    assert database.books_are_true()


async def test_ten_writers_of_one_hold_place_it_once_and_take_it_once(
    core: Core[Any], database: Database
) -> None:
    """Everybody asks for the same; the accounts it lies on are opened by whoever is first."""
    shell = core.shell
    await shell.process([item(post(earned(50)))])
    everything = [place("h", 80, *PAYEE), post(spend("h", 80, *PAYEE)), release("h", *PAYEE)]

    async def writer(number: int) -> list[str]:
        return [r for c in everything for r in reasons(await shell.process([item(c)]))]

    found = await asyncio.gather(*(writer(number) for number in range(10)))
    assert [each[0] for each in found] == ["OK"] * 10
    assert sorted(each[1] for each in found) == ["AGAIN"] * 9 + ["OK"]
    assert database.query("SELECT state, version FROM hold") == [("POSTED", 2)]
    owed = "SELECT balance_minor, held_minor FROM account WHERE subject = 'MERCHANT_RECEIVABLE'"
    assert database.query(owed) == [(30, 0)]
    assert database.books_are_true()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to the database, as it is sent."""
    sent: list[str] = []
    original = psycopg.AsyncConnection.execute

    async def execute(connection: Any, query: Any, *rest: Any, **kwargs: Any) -> Any:
        sent.append(str(query))
        return await original(connection, query, *rest, **kwargs)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", execute)
    return sent


async def test_journals_without_holds_cost_no_query_for_holds(
    core: Core[Any], statements: list[str]
) -> None:
    """And where there is one, holds are locked before accounts."""
    await core.shell.process([item(post(top_up("ann", 100, key="1")))])
    statements[:] = [text for text in statements if "SKIP LOCKED" not in text]  # sweeps
    assert statements
    assert not [text for text in statements if "hold t" in text or "INTO hold" in text]
    statements.clear()
    await core.shell.process([item(place("h", 1))])
    locked = [text for text in statements if "FOR NO KEY UPDATE" in text]
    assert ["FROM hold t" in locked[0], "FROM account t" in locked[1]] == [True, True]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE account SET held_minor = 101 WHERE subject = 'USER_BALANCE'",
        "UPDATE account SET balance_minor = 39 WHERE subject = 'USER_BALANCE'",
        "UPDATE account SET held_minor = -1 WHERE subject = 'MERCHANT_RECEIVABLE'",
        "UPDATE account SET held_minor = 100001 WHERE subject = 'MERCHANT_RECEIVABLE'",
        "UPDATE account SET balance_minor = 99981 WHERE subject = 'MERCHANT_RECEIVABLE'",
        "UPDATE account SET balance_minor = -1 WHERE subject = 'MERCHANT_RECEIVABLE'",
        "UPDATE hold SET amount_minor = 0",
        "UPDATE hold SET version = 0",
        "UPDATE hold SET state = 'OPEN'",
        "UPDATE hold SET amount_currency = 'cny'",
        "UPDATE hold SET parts = '[]'",
    ],
)
async def test_the_database_itself_refuses_a_hold_or_a_limit_that_cannot_be(
    core: Core[Any], database: Database, statement: str
) -> None:
    """ann has 100, of which 40 are held; 20 are held on what the merchant may come to owe us."""
    commands = [post(top_up("ann", 100, key="1")), place("h", 40), place("r", 20, *PAYEE)]
    assert reasons(await core.shell.process([item(c) for c in commands])) == ["OK"] * 3
    with (
        psycopg.connect(database.admin_url) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute(statement.encode())


async def test_a_receivable_may_be_lowered_whatever_is_held_on_it(
    core: Core[Any], database: Database
) -> None:
    """A hold on it reserves room above: at balance 0 with 20 held the row is right."""
    await core.shell.process([item(place("r", 20, *PAYEE))])
    query = "SELECT balance_minor, held_minor, minimum_minor, maximum_minor FROM account"
    assert database.query(query) == [(0, 20, 0, 100_000)]


@pytest.mark.parametrize("statement", ["DELETE FROM hold", "TRUNCATE hold"])
def test_the_application_cannot_delete_holds(database: Database, statement: str) -> None:
    with (
        psycopg.connect(database.app_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


# Events


def paid_out(event: str, event_id: str) -> event_pb2.Event:
    return instruction(
        event, 300, kind="CHANNEL_PAYOUT", purpose="WITHDRAWAL", payer_id="ann",
        event_id=event_id, **held("h", "USER_BALANCE:ann"),
    )  # fmt: skip


async def test_the_bus_books_a_withdrawal_once_however_often_it_tells_of_it(
    core: Core[Any], bus: InProcessBus, database: Database
) -> None:
    """The event that books nothing has its row in the inbox, too."""
    await bus.consume("trade.notifications", _taken)  # paid trades are bound there, too
    await core.shell.process([item(post(top_up("ann", 500, key="1"))), item(place("h", 300))])
    messages = [
        message(paid_out("bounced", "evt_b")),
        message(paid(300, product="WITHDRAWAL", event_id="evt_w")),
        message(paid_out("succeeded", "evt_s"), paid_out("succeeded", "evt_again")),
    ]
    for each in [*messages, *messages]:
        assert list(await bus.publish([each])) == [None]
    assert bus.dead_letters(consumers.LEDGER) == []
    inbox = database.query("SELECT message_id FROM inbox ORDER BY 1")
    assert inbox == [("evt_again",), ("evt_b",), ("evt_s",), ("evt_w",)]
    balances = "SELECT subject, balance_minor, held_minor FROM account ORDER BY 1"
    assert database.query(balances) == [
        ("BANK", 500, 0),
        ("PAYOUT_TRANSIT", 0, 0),
        ("USER_BALANCE", 500, 0),
    ]
    assert database.books_are_true()


async def _taken(deliveries: Any) -> Any:
    return [HANDLED for _ in deliveries]


@pytest.mark.parametrize(*SERVE_ONLY)
@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
async def test_an_event_whose_consumer_dies_around_its_commit_is_booked_once(
    core: Core[Any], database: Database, point: str
) -> None:
    await core.shell.process([item(post(top_up("ann", 500, key="1"))), item(place("h", 300))])
    consumer: Consumer = consumers.ledger(core, BOOKINGS, CONFIG.chart, SystemClock())
    events = [paid_out("succeeded", "evt_s"), paid(300, product="WITHDRAWAL", event_id="evt_w")]
    arm(f"{point}:1:error")
    try:
        with pytest.raises(InjectedFault):
            await consumer.handle([delivery(*events)])
    finally:
        arm("")
    assert await consumer.handle([delivery(*events)]) == [HANDLED]
    assert database.query("SELECT count(*) FROM inbox") == [(2,)]
    assert database.query("SELECT state, version FROM hold") == [("POSTED", 2)]
    assert database.books_are_true()
