"""Snapshots of closed days: each once, whoever dies; the real service on PostgreSQL."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from clearing_svc.books.balances import BooksDisagree
from tests.clearing.books_world import ANN, Books, _dies, _five_days, by_hand, ties_out, told
from tests.clearing.conftest import Database


async def test_snapshots_are_the_sums_of_entries(books: Books, database: Database) -> None:
    await _five_days(books)
    assert await books.snapshots() == 3
    assert ties_out(database)
    assert await books.snapshots() == 0
    await books.close(books.ago(1))
    assert await books.snapshots(journals_max=1, accounts_max=1) == 1
    assert ties_out(database)
    assert database.query("SELECT * FROM day_movement WHERE day < %s", books.today) == []
    assert database.books_are_true()


async def test_a_day_without_journals_has_totals_and_no_snapshots(
    books: Books, database: Database
) -> None:
    await books.gives("ann", 100, books.ago(2))
    for n in (2, 1):
        await books.close(books.ago(n))
    await books.snapshots()
    assert database.query("SELECT DISTINCT day FROM balance_snapshot") == [(books.ago(2),)]
    assert ties_out(database)
    assert told(await books.trial_balance(books.ago(1))) == by_hand(database, books.today)


async def test_two_who_make_snapshots_at_once_make_each_once(
    books: Books, database: Database
) -> None:
    await _five_days(books)
    await asyncio.gather(*(books.snapshots(journals_max=1, accounts_max=1) for _ in range(3)))
    assert ties_out(database)


async def test_a_day_whose_debits_are_not_its_credits_gets_no_snapshots(
    books: Books, database: Database
) -> None:
    """Books that are wrong are for a person: no total, so no day is done."""
    await books.gives("ann", 100, books.ago(1))
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("ALTER TABLE entry DISABLE TRIGGER ALL")
        admin.execute("UPDATE entry SET amount_minor = 101 WHERE side = 'DEBIT'")
    await books.close(books.ago(1))
    with pytest.raises(BooksDisagree, match=r"CNY 1\.01, credits CNY 1\.00"):
        await books.snapshots()
    assert database.query("SELECT * FROM day_total") == []


@pytest.mark.slow
@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
async def test_whoever_makes_snapshots_may_die_at_any_commit(
    point: str, books: Books, database: Database
) -> None:
    """Killed at the first commit, then at the second, …, until one lives: no balance ever lies."""
    await _five_days(books)
    limits = "SnapshotLimits(journals_max=2, accounts_max=2)"
    deaths = 0
    act = f"await Snapshots(store, limits={limits}).run()"
    # Before the first commit nothing is ever done, so its passage grows.
    while _dies(database, f"{point}:{deaths + 1}:kill", act):
        deaths += 1
        assert {n: await books.balance("ann", day=books.ago(n)) for n in ANN} == ANN
        assert told(await books.trial_balance(books.ago(2))) == by_hand(database, books.ago(2))
    assert deaths > 3
    assert ties_out(database)
    assert await books.snapshots() == 0
