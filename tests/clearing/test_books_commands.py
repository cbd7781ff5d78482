"""`paymesh ledger`: what people see, and how it fails, on the real service and its database."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from clearing_svc.books.days import Days
from paymesh_ops.cli.main import app
from tests.clearing.books_world import Books
from tests.clearing.conftest import Database

Run = Callable[..., Awaitable[Result]]


@dataclass
class Plan:
    """Of a mesh that is up, as far as the commands look at it."""

    reader_urls: dict[str, str]
    clearing: str

    def target(self, service: str) -> str:
        return self.clearing


@pytest.fixture
def plan(books: Books, monkeypatch: pytest.MonkeyPatch) -> Plan:
    plan = Plan({"clearing": books.database.admin_url}, f"127.0.0.1:{books.port}")
    monkeypatch.setattr("paymesh_ops.cli.ledger.plan_of_running", lambda: plan)
    return plan


@pytest.fixture
def run(plan: Plan) -> Run:
    async def invoke(*arguments: str) -> Result:
        """In a thread: the command has an event loop of its own."""
        return await asyncio.to_thread(CliRunner().invoke, app, ["ledger", *arguments])

    return invoke


async def traded(books: Books) -> None:
    """Two days of traffic, closed, and some of today."""
    await books.gives("ann", 123_456, books.ago(2))
    await books.sends("ann", "bob", 5_000, books.ago(1))
    await books.gives("ann", 700, books.ago(1), cur="JPY")
    for n in (2, 1):
        await books.close(books.ago(n))
    await books.gives("ann", 1)


def words(result: Result) -> list[list[str]]:
    return [line.split() for line in result.output.splitlines()]


async def test_accounts_are_listed_with_their_balances(books: Books, run: Run) -> None:
    await traded(books)
    told = await run("accounts")
    assert told.exit_code == 0, told.output
    assert words(told)[1:] == [
        ["BANK:platform:CNY", "OPEN", "CNY", "1,234.57"],
        ["BANK:platform:JPY", "OPEN", "JPY", "700"],
        ["USER_BALANCE:ann:CNY", "OPEN", "CNY", "1,184.57"],
        ["USER_BALANCE:ann:JPY", "OPEN", "JPY", "700"],
        ["USER_BALANCE:bob:CNY", "OPEN", "CNY", "50.00"],
    ]
    some = await run("accounts", "--owner", "ann", "--limit", "1")
    assert "and 1 more" in some.output
    assert (await run("accounts", "--subject", "HEAVEN")).exit_code == 1
    nobody = await run("accounts", "--owner", "[/]")
    assert (nobody.exit_code, "no account of [/]" in nobody.output) == (1, True)


async def test_the_trial_balance_is_even_in_each_currency(books: Books, run: Run) -> None:
    await traded(books)
    told = await run("trial-balance", str(books.ago(1)))
    assert told.exit_code == 0, told.output
    assert "closed: it stays so" in told.output
    assert ["1100", "BANK", "1", "1,234.56", "0.00", "1,234.56", "Dr"] in words(told)
    assert ["2200", "USER_BALANCE", "2", "50.00", "1,284.56", "1,234.56", "Cr"] in words(told)
    assert ["CNY", "1,284.56", "1,284.56", "even"] in words(told)
    assert ["JPY", "700", "700", "even"] in words(told)
    assert "open: as far as it has come" in (await run("trial-balance")).output
    assert "nothing was booked" in (await run("trial-balance", "2020-01-01")).output


async def test_a_statement_goes_to_the_screen_or_to_a_file(
    books: Books, run: Run, tmp_path: Path
) -> None:
    """The same text: what is printed can be compared with what was kept."""
    await traded(books)
    wanted = await books.statement("ann", books.ago(2), books.ago(1))
    arguments = ("statement", "USER_BALANCE:ann:CNY", "--from", str(books.ago(2)))
    assert (await run(*arguments)).output == wanted
    file = tmp_path / "ann.txt"
    told = await run(*arguments, "--to", str(books.ago(1)), "--output", str(file))
    assert (told.exit_code, file.read_text()) == (0, wanted)
    assert (await run(*arguments[:2])).output == await books.statement(
        "ann", books.ago(1), books.ago(1)
    )
    nowhere = await run(*arguments, "--output", str(tmp_path / "no" / "ann.txt"))
    assert (nowhere.exit_code, "No such file" in nowhere.output) == (1, True)


async def test_a_day_is_exported(books: Books, run: Run, tmp_path: Path) -> None:
    await traded(books)
    file = tmp_path / "day.csv"
    told = await run("export", "--output", str(file))
    assert told.exit_code == 0, told.output
    assert f"PM-{books.ago(1)}-CNY  2 rows, debits and credits CNY 50.00" in told.output
    assert file.read_text().count("\n") == 5
    parquet = tmp_path / "day.parquet"
    told = await run("export", str(books.ago(2)), "--format", "parquet", "--output", str(parquet))
    assert told.exit_code == 0, told.output
    assert import_module("pyarrow.parquet").read_table(parquet).num_rows == 2


async def test_who_lacks_pyarrow_is_told_how_to_get_it(
    books: Books, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    await traded(books)
    monkeypatch.setattr("clearing_svc.books.export.import_module", missing)
    told = await run("export", "--format", "parquet", "--output", str(tmp_path / "day.parquet"))
    assert (told.exit_code, "paymesh[finance]" in told.output) == (1, True)


async def test_days_are_closed_one_after_the_other(books: Books, run: Run) -> None:
    """Without a day: the first open one that is over."""
    await books.gives("ann", 100, books.ago(2))
    for n in (2, 1):
        told = await run("close-day")
        assert (told.exit_code, f"{books.ago(n)} is closed" in told.output) == (0, True), (
            told.output
        )
    today = (await Days(books.store).calendar()).today
    for words in ([], [str(today)]):
        told = await run("close-day", *words)
        assert (told.exit_code, "is not over" in told.output) == (1, True)
    told = await run("close-day", str(books.ago(-9)))
    assert (told.exit_code, "lies in the future" in told.output) == (1, True)


async def test_a_close_that_reaches_nobody_says_what_to_do(
    books: Books, run: Run, plan: Plan
) -> None:
    await books.gives("ann", 100, books.ago(1))
    plan.clearing = "127.0.0.1:1"
    told = await run("close-day")
    assert (told.exit_code, "`paymesh up` starts the mesh" in told.output) == (1, True)


async def test_the_chain_is_verified(books: Books, run: Run, database: Database) -> None:
    await traded(books)
    told = await run("verify")
    assert told.exit_code == 0, told.output
    assert re.search(r"\d blocks? with 3 journals, 2 closed days", told.output), told.output
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("ALTER TABLE entry DISABLE TRIGGER ALL")
        admin.execute("UPDATE entry SET amount_minor = amount_minor + 1 WHERE amount_minor = 5000")
    told = await run("verify")
    assert (told.exit_code, "damaged: 1 finding" in told.output) == (1, True), told.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("statement", "USER_BALANCE:[/]:CNY"), "there is no account 'USER_BALANCE:[/]:CNY'"),
        (("statement", "USER_BALANCE:ann:CNY"), "no day is closed yet; `paymesh ledger close-day`"),
        (("statement", "USER_BALANCE:ann:CNY", "--to", "[/]"), "--to: '[/]' is no day"),
        (("export",), "no day is closed yet"),
        (("export", "{today}"), "is not closed; `paymesh ledger close-day"),
        (("trial-balance", "tomorrow"), "is no day; one is 2026-11-22"),
    ],
)
async def test_what_is_wrong_is_said_with_what_to_do(
    arguments: tuple[str, ...], said: str, books: Books, run: Run
) -> None:
    await books.gives("ann", 100)
    told = await run(*(argument.format(today=books.today) for argument in arguments))
    assert (told.exit_code, said in told.output) == (1, True), told.output


async def test_explain_is_a_command_of_the_ledger_too(run: Run) -> None:
    assert "What a balance is made of" in (await run("explain", "--help")).output
