"""What the database itself refuses, and what that does to a batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
import pytest

from clearing_svc.ledger.domain import Entry, PostJournals, post_journals
from paymesh.app import App, Core
from paymesh.core import Decision, View
from paymesh.items import Done
from paymesh.money import Money
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import asked
from tests.clearing.ledger_world import (
    CONFIG,
    item,
    post,
    reasons,
    send,
    top_up,
)

CHANGES = [
    "UPDATE {} SET shard_key = 1",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "UPDATE {} SET shard_key = 1 WHERE false",
]


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("table", ["journal", "entry"])
async def test_the_application_cannot_change_what_was_booked(
    stub: Stub, database: Database, table: str, statement: str
) -> None:
    await send(stub, asked(top_up("ann", 1, key="1")))
    with (
        psycopg.connect(database.app_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.format(table).encode())


@pytest.mark.parametrize(
    "statement", [*CHANGES, "SET session_replication_role = replica; DELETE FROM {}"]
)
@pytest.mark.parametrize("table", ["journal", "entry"])
async def test_not_even_a_superuser_changes_what_was_booked(
    stub: Stub, database: Database, table: str, statement: str
) -> None:
    await send(stub, asked(top_up("ann", 1, key="1")))
    with (
        psycopg.connect(database.admin_url) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
    ):
        connection.execute(statement.format(table).encode())


async def test_the_application_cannot_delete_accounts(stub: Stub, database: Database) -> None:
    await send(stub, asked(top_up("ann", 1, key="1")))
    with (
        psycopg.connect(database.app_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM account")


@pytest.mark.parametrize(
    "change",
    [
        "balance_minor = -1",
        "version = 0",
        "status = 'FROZEN'",
        "normal_side = 'LEFT'",
        "balance_currency = 'cny'",
        "held_minor = 2",
        "held_minor = -1",
        "maximum_minor = 0",
    ],
)
async def test_the_database_itself_refuses_an_account_that_cannot_be(
    stub: Stub, database: Database, change: str
) -> None:
    await send(stub, asked(top_up("ann", 1, key="1")))
    with (
        psycopg.connect(database.admin_url) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute(f"UPDATE account SET {change} WHERE subject = 'USER_BALANCE'".encode())


async def test_the_database_itself_keeps_one_journal_an_event(
    stub: Stub, database: Database
) -> None:
    """A batch that is written at once asks nobody before: the key alone keeps it from the books."""
    await send(stub, asked(top_up("ann", 1, key="1")))
    with (
        psycopg.connect(database.admin_url) as connection,
        pytest.raises(psycopg.errors.UniqueViolation),
    ):
        connection.execute("INSERT INTO journal SELECT * FROM journal")


async def test_a_row_that_a_check_refuses_fails_alone(
    app: App, core: Core[Any], database: Database
) -> None:
    """A defective rule writes an entry of zero: its item alone fails, its neighbours commit."""

    def defective(state: Any, command: PostJournals, at: datetime, view: View) -> Decision[Any]:
        decision = post_journals(state, command, at, view, chart=CONFIG.chart)
        if command.journals[0].business_key != "poison":
            return decision
        records = tuple(
            replace(fact, amount=Money("CNY", 0)) if isinstance(fact, Entry) else fact
            for fact in decision.records
        )
        return replace(decision, records=records)

    core.shell._rules[PostJournals] = partial(defective)
    drafts = [top_up("ann", 1, key=str(n)) for n in range(8)]
    drafts[5] = top_up("ann", 1_000, key="poison")
    outcomes = await core.shell.process([item(post(draft)) for draft in drafts])
    assert reasons(outcomes) == ["OK"] * 5 + ["INTERNAL"] + ["OK"] * 2
    assert all(isinstance(outcome, Done) for outcome in outcomes[:5])
    assert database.query("SELECT balance_minor FROM account") == [(7,), (7,)]
    assert database.books_are_true()
