"""Balances of any day and as known at any time, entries, the trial balance: on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
import psycopg
import pytest
from payments.clearing.v1 import ledger_service_pb2

from tests.clearing.books_world import (
    ANN,
    INVALID,
    NO_FIELD,
    Books,
    _five_days,
    by_hand,
    refusal,
    to_date,
    told,
)
from tests.clearing.conftest import Database
from tests.databases import others_have_ended


@pytest.mark.parametrize("snapshots", ["none", "one", "all"])
async def test_a_balance_of_any_day_is_that_of_its_entries(
    snapshots: str, books: Books, database: Database
) -> None:
    """With or without snapshots, whatever of them there is."""
    await _five_days(books, snapshots_after=4 if snapshots == "one" else -1)
    if snapshots == "all":
        assert await books.snapshots() == 3
    done = {"none": 0, "one": 1, "all": 3}[snapshots]
    assert database.query("SELECT count(DISTINCT day) FROM day_total") == [(done,)]
    assert {n: await books.balance("ann", day=books.ago(n)) for n in ANN} == ANN
    assert await books.balance("ann") == 3699
    assert await books.balance("bob", day=books.ago(2)) == 13
    assert await books.balance("platform", "BANK", day=books.ago(3)) == 3011


async def test_a_balance_counts_what_is_buffered(books: Books, database: Database) -> None:
    await books.gives("ann", 100)
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("UPDATE account SET mode = 'BUFFERED' WHERE subject = 'BANK'")
    await books.gives("ann", 50)
    assert database.query("SELECT sum(delta_minor) FROM account_delta") == [(50,)]
    assert await books.balance("platform", "BANK") == 150
    assert await books.balance("platform", "BANK", day=books.ago(-1)) == 150


async def test_a_balance_is_told_as_it_was_known_at_a_time(books: Books) -> None:
    """Two axes: of which day in the books, and what had been sealed by when."""
    before = await books.now()
    await books.gives("ann", 100, books.ago(2))
    await books.close(books.ago(2))
    first = await books.now()
    await books.gives("ann", 10, books.ago(1))
    await books.close(books.ago(1))
    second = await books.now()
    await books.gives("ann", 1)
    known = {"before": before, "first": first, "second": second}

    async def look() -> dict[tuple[str, int], int]:
        return {
            (name, n): await books.balance("ann", day=books.ago(n), known=at)
            for name, at in known.items()
            for n in (3, 2, 1, 0)
        }

    wanted = {
        ("before", 3): 0, ("before", 2): 0, ("before", 1): 0, ("before", 0): 0,
        ("first", 3): 0, ("first", 2): 100, ("first", 1): 100, ("first", 0): 100,
        ("second", 3): 0, ("second", 2): 100, ("second", 1): 110, ("second", 0): 110,
    }  # fmt: skip
    assert await look() == wanted
    await books.snapshots()
    assert await look() == wanted
    assert await books.balance("ann", known=second) == 110
    told = await books.told("ann", known=first)
    assert (told.balance.minor_units, told.block) == (100, 1)
    assert (await books.told("ann", known=before)).block == 0
    assert (await books.told("ann")).block == 0


async def test_what_is_wrong_with_a_question_is_said(books: Books) -> None:
    await books.gives("ann", 100)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await refusal(books.told("ann", known=later)) == (INVALID, NO_FIELD, ["known_time"])
    unknown = books.told("ann", "HEAVEN")
    assert await refusal(unknown) == (INVALID, NO_FIELD, ["account.subject"])
    code, reason, _ = await refusal(books.told("nobody"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    listed = books.entries("ann", page_token="?")
    assert await refusal(listed) == (INVALID, NO_FIELD, ["page_token"])
    no_day = ledger_service_pb2.GetBalanceRequest(currency_code="CNY")
    no_day.account.subject, no_day.account.owner = "USER_BALANCE", "ann"
    no_day.accounting_date.year, no_day.accounting_date.month = 2026, 13
    call = books.ledger.GetBalance(no_day, timeout=60)
    assert await refusal(call) == (INVALID, NO_FIELD, ["accounting_date"])


async def test_entries_are_listed_in_the_order_of_posting_page_by_page(books: Books) -> None:
    ids = [await books.gives("ann", minor, books.ago(minor % 3)) for minor in range(1, 8)]
    for size in (1, 3, 100):
        found = await books.entries("ann", page_size=size)
        assert [entry.journal_id for entry in found] == ids
    assert [e.entry.amount.minor_units for e in found] == list(range(1, 8))
    some = await books.entries(
        "ann", from_date=to_date(books.ago(2)), to_date=to_date(books.ago(1))
    )
    assert [e.entry.amount.minor_units for e in some] == [1, 2, 4, 5, 7]
    assert (some[0].line, some[0].event_type, some[0].business_id) == (2, "test/top-up", "biz_1")


async def test_who_pages_on_misses_no_entry_that_was_under_way(
    books: Books, database: Database
) -> None:
    """A page with a successor does not go past what an older transaction may still post."""
    first = await books.gives("ann", 1)
    others_have_ended(database.app_url)
    with psycopg.connect(database.admin_url) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        for minor in (2, 3, 4):
            await books.gives("ann", minor)
        request = ledger_service_pb2.ListEntriesRequest(currency_code="CNY", page_size=3)
        request.account.subject, request.account.owner = "USER_BALANCE", "ann"
        page = await books.ledger.ListEntries(request, timeout=60)
        assert [entry.journal_id for entry in page.entries] == [first]
    others_have_ended(database.app_url)
    request.page_token = page.next_page_token
    page = await books.ledger.ListEntries(request, timeout=60)
    assert [entry.entry.amount.minor_units for entry in page.entries] == [2, 3, 4]


# ---- The trial balance ----


async def test_the_trial_balance_is_the_sum_of_entries_with_snapshots_and_without(
    books: Books, database: Database
) -> None:
    await _five_days(books)
    await books.gives("ann", 55, books.ago(1), cur="EUR")
    wanted = {n: by_hand(database, books.ago(n)) for n in ANN}
    assert {n: told(await books.trial_balance(books.ago(n))) for n in ANN} == wanted
    assert await books.snapshots() == 3
    assert {n: told(await books.trial_balance(books.ago(n))) for n in ANN} == wanted
    today = await books.trial_balance()
    assert today.accounting_date in (to_date(books.today), to_date(books.ago(-1)))
    assert not today.closed
    assert (await books.trial_balance(books.ago(2))).closed
    by_currency = {"CNY": 0, "EUR": 0}
    for row in today.rows:
        by_currency[row.debits.currency_code] += row.debits.minor_units - row.credits.minor_units
    assert by_currency == {"CNY": 0, "EUR": 0}
    assert [(r.debits.currency_code, r.subject, r.general_ledger_account) for r in today.rows] == [
        ("CNY", "BANK", "1100"), ("CNY", "USER_BALANCE", "2200"),
        ("EUR", "BANK", "1100"), ("EUR", "USER_BALANCE", "2200"),
    ]  # fmt: skip
    row = today.rows[1]
    assert row.balance.minor_units == row.credits.minor_units - row.debits.minor_units == 4013


async def test_the_trial_balance_of_a_closed_day_comes_from_snapshots(
    books: Books, database: Database
) -> None:
    """It does not look at entries: here they are gone."""
    await _five_days(books)
    await books.snapshots()
    before = await books.trial_balance(books.ago(2))
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("ALTER TABLE entry DISABLE TRIGGER ALL")
        admin.execute("DELETE FROM entry")
    assert await books.trial_balance(books.ago(2)) == before
