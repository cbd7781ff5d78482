"""Days, balances of any day and as known at any time, snapshots: the real service on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from grpc_status import rpc_status
from payments.clearing.v1 import books_service_pb2, ledger_service_pb2

from clearing_svc.books.balances import BooksDisagree
from clearing_svc.books.days import Calendar, Days, require_over
from clearing_svc.books.verify import verify
from clearing_svc.bootstrap import build
from clearing_svc.settings import ClearingSettings
from paymesh.bus.inprocess import InProcessBus
from paymesh.clock import SystemClock
from paymesh.db.migrate import ROOT
from paymesh.errors import InvalidField, PaymentError
from tests.clearing.books_world import Books, to_date
from tests.clearing.conftest import Database
from tests.clearing.ledger_messages import asked, fields_of, reason_of
from tests.clearing.ledger_world import top_up
from tests.databases import others_have_ended

AT = datetime(2028, 3, 1, tzinfo=UTC)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, list[str]]:
    """Status, reason and fields."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None
    details = [d.TypeName() for d in status.details]
    fields = fields_of(status) if "google.rpc.BadRequest" in details else []
    return caught.value.code(), reason_of(status), fields


INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
NO_FIELD = "INVALID_FIELD"


# ---- Which day is closed ----


def refused(day: Any, calendar: Calendar) -> type[PaymentError] | None:
    try:
        require_over(day, calendar)
    except PaymentError as error:
        return type(error) if error.fields[0].field == "accounting_date" else None
    return None


def ago(days: int) -> date:
    """Over a leap day."""
    return AT.date() - timedelta(days=days)


def test_only_days_of_the_books_that_are_over_are_closed() -> None:
    calendar = Calendar(ago(5), ago(3), AT)
    assert [refused(ago(n), calendar) for n in (900, 6, 5, 1, 0, -1)] == [
        InvalidField, InvalidField, None, None, InvalidField, InvalidField,
    ]  # fmt: skip


def test_the_first_open_day_is_the_books_first_until_one_is_closed() -> None:
    assert Calendar(ago(5), None, AT).first_open == ago(5)
    assert Calendar(ago(5), ago(3), AT).first_open == ago(2)


# ---- Closing ----


async def test_days_are_closed_in_order_and_once(books: Books, database: Database) -> None:
    await books.gives("ann", 100, books.ago(2))
    await books.gives("ann", 10, books.ago(1))
    assert await refusal(books.close(books.ago(1))) == (PRECONDITION, NO_FIELD, ["accounting_date"])
    assert await refusal(books.close(books.ago(-2))) == (INVALID, NO_FIELD, ["accounting_date"])
    assert database.query("SELECT * FROM accounting_day") == []
    closed = await books.close(books.ago(2))
    assert (closed.accounting_date, closed.HasField("close_time")) == (to_date(books.ago(2)), True)
    assert await books.close(books.ago(2)) == closed
    again = await asyncio.gather(*(books.close(books.ago(1)) for _ in range(3)))
    assert again == [again[0]] * 3
    assert len(database.query("SELECT * FROM accounting_day")) == 2
    assert database.books_are_true()


async def test_an_empty_run_of_days_is_closed_in_one_call(books: Books, database: Database) -> None:
    """Up to the first day with journals, which is closed by itself or as the run's last one."""
    database.begins(books.ago(400))
    await books.gives("ann", 100, books.ago(2))
    assert await refusal(books.close(books.ago(1))) == (PRECONDITION, NO_FIELD, ["accounting_date"])
    closed = await books.close(books.ago(3))
    days = database.query("SELECT day, block, closed_at FROM accounting_day ORDER BY day")
    assert [day for day, _, _ in days] == [books.ago(n) for n in range(400, 2, -1)]
    assert {(block, at) for _, block, at in days} == {
        (closed.block, closed.close_time.ToDatetime(tzinfo=UTC))
    }
    assert await books.close(books.ago(200)) == replaced(closed, books.ago(200))
    assert (await books.close(books.ago(2))).block == closed.block
    await books.snapshots()
    assert await books.balance("ann", day=books.ago(1)) == 100
    assert await books.balance("ann", day=books.ago(3)) == 0
    assert database.books_are_true()


def replaced(closed: Any, day: date) -> Any:
    other = type(closed)()
    other.CopyFrom(closed)
    other.accounting_date.CopyFrom(to_date(day))
    return other


async def test_nothing_is_booked_or_closed_before_the_books_first_day(
    books: Books, database: Database
) -> None:
    """A date far away is a mistake, and none of them stands for nothing."""
    await books.gives("ann", 100, books.ago(3))
    request = ledger_service_pb2.PostJournalsRequest(
        items=[asked(top_up("ann", 1, key=f"old{n}")) for n in range(3)]
    )
    dates = [books.ago(4), date.min, date.max]
    for item, day in zip(request.items, dates, strict=True):
        item.request.accounting_date.CopyFrom(to_date(day))
    results = (await books.ledger.PostJournals(request, timeout=60)).results
    assert [(reason_of(r.error), fields_of(r.error)) for r in results] == [
        ("DAY_CLOSED", ["accounting_date"]),
        ("DAY_CLOSED", ["accounting_date"]),
        ("INVALID_FIELD", ["accounting_date"]),
    ]
    for day in dates:
        assert await refusal(books.close(day)) == (INVALID, NO_FIELD, ["accounting_date"])
    assert [t.debits for t in (await books.trial_balance(date.min)).rows] == []
    assert await books.balance("ann", day=date.min) == 0
    assert await books.balance("ann", day=date.max) == 100
    assert database.query("SELECT count(*) FROM journal") == [(1,)]


async def test_a_closed_day_takes_no_journal_and_all_of_its_own_are_sealed(
    books: Books, database: Database
) -> None:
    await books.gives("ann", 100, books.ago(1))
    closed = await books.close(books.ago(1))
    [(numbers, missing)] = database.query(
        "SELECT max(b.number), count(*) FILTER (WHERE j.posting >= b.up_to) "
        "FROM block b, journal j WHERE b.number = %s", closed.block
    )  # fmt: skip
    assert (numbers, missing) == (closed.block, 0)
    item = asked(top_up("ann", 5, key="late"))
    item.request.accounting_date.CopyFrom(to_date(books.ago(1)))
    request = ledger_service_pb2.PostJournalsRequest(items=[item])
    [result] = (await books.ledger.PostJournals(request, timeout=60)).results
    assert reason_of(result.error) == "DAY_CLOSED"
    request.items[0].request.ClearField("accounting_date")
    [result] = (await books.ledger.PostJournals(request, timeout=60)).results
    assert result.journal.accounting_date == to_date(result.journal.post_time.ToDatetime().date())


async def test_a_day_that_is_not_over_is_not_closed(books: Books, database: Database) -> None:
    """Today is open to all of it; what comes behind the close of a day belongs to the next one."""
    await books.gives("ann", 100, books.ago(1))
    await books.close(books.ago(1))
    today = (await Days(books.store).calendar()).today
    for day in (today, today + timedelta(days=1)):
        assert await refusal(books.close(day)) == (INVALID, NO_FIELD, ["accounting_date"])
    await books.gives("ann", 10)
    assert await books.balance("ann", day=books.ago(1)) == 100
    assert await books.balance("ann") == 110
    assert database.query("SELECT day FROM accounting_day") == [(books.ago(1),)]


async def test_closing_waits_for_those_who_post_and_gives_up_in_time(
    books: Books, database: Database
) -> None:
    """Nothing is written; the same request closes it once they are done."""
    await books.gives("ann", 100, books.ago(1))
    with psycopg.connect(database.app_url) as posting:
        posting.execute("SELECT last_closed_day()")
        code, reason, _ = await refusal(books.close(books.ago(1)))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
        assert database.query("SELECT * FROM accounting_day") == []
    await books.close(books.ago(1))


async def test_no_journal_slips_into_a_day_that_is_being_closed(
    books: Books, database: Database
) -> None:
    """Traffic goes on meanwhile: each journal is of a day that was open, and sealed with it."""
    yesterday = books.ago(1)
    await books.gives("ann", 100_000, yesterday)
    stop = asyncio.Event()
    posted = 0

    async def traffic() -> None:
        """Of yesterday while that is open, then of the day that is."""
        nonlocal posted
        day: date | None = yesterday
        while not stop.is_set():
            try:
                await books.sends("ann", "bob", 1, day)
            except AssertionError as refused:
                if "DAY_CLOSED" not in str(refused):
                    raise
                day = None
            else:
                posted += 1

    async def some_more() -> None:
        """Also of those that set out from now on: no writer has more than one under way."""
        enough = posted + 20
        async with asyncio.timeout(60):
            while posted < enough:
                await asyncio.sleep(0.01)

    writers = [asyncio.create_task(traffic()) for _ in range(4)]
    await some_more()
    closed = await books.close(yesterday)
    await some_more()
    stop.set()
    await asyncio.gather(*writers)
    days = dict(database.query("SELECT accounting_date, count(*) FROM journal GROUP BY 1"))
    assert yesterday in days
    assert len(days) > 1
    assert sum(int(str(n)) for n in days.values()) == posted + 1
    [(up_to,)] = database.query("SELECT up_to FROM block WHERE number = %s", closed.block)
    wrong = "SELECT id FROM journal WHERE (accounting_date = %s) <> (posting < %s)"
    assert database.query(wrong, yesterday, up_to) == []
    async with books.reader() as connection:
        assert [damage async for damage in verify(connection)] == []


@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
async def test_a_death_at_the_commit_of_a_close_is_harmless(
    point: str, books: Books, database: Database
) -> None:
    """It is closed or it is not, and the same request again closes it once."""
    await books.gives("ann", 100, books.ago(1))
    # The first commit is that of the look ahead.
    assert _dies(database, f"{point}:2:kill", f"await Days(store).close({books.ago(1)!r})")
    closed = database.query("SELECT day FROM accounting_day")
    assert closed == ([(books.ago(1),)] if point == "shell.after_commit" else [])
    await books.close(books.ago(1))
    assert database.query("SELECT day FROM accounting_day") == [(books.ago(1),)]


async def test_days_that_ended_long_enough_ago_are_closed_by_themselves(books: Books) -> None:
    await books.gives("ann", 100, books.ago(3))
    days = Days(books.store)
    now = (await days.calendar()).at

    async def closed_by_itself(last: date) -> list[date]:
        """Of what ended as long ago as this day, or longer."""
        end = datetime.combine(last + timedelta(days=1), datetime.min.time(), UTC)
        return [day.day for day in await days.close_due(now - end)]

    assert await closed_by_itself(books.ago(2)) == [books.ago(3), books.ago(2)]
    assert await closed_by_itself(books.ago(1)) == [books.ago(1)]
    assert await closed_by_itself(books.ago(1)) == []


async def test_in_role_work_days_are_closed_and_get_snapshots_by_themselves(
    books: Books, database: Database, bus: InProcessBus
) -> None:
    await books.gives("ann", 100, books.ago(2))
    settings = ClearingSettings(
        clearing_database_url=database.app_url,
        drain_wait_s=0,
        time_scale=0.01,
        ledger_close_day_after_s=0,
    )
    app = build(settings, bus=bus, clock=SystemClock())
    await app.start({"work"})
    done = "SELECT coalesce(max(day) >= %s, false) FROM day_total"
    async with asyncio.timeout(60):
        while database.query(done, books.ago(1)) != [(True,)]:
            await asyncio.sleep(0.05)
    await app.stop()
    await books.snapshots()  # of a day that ended just now
    assert ties_out(database)


async def test_empty_books_are_not_closed_by_themselves(books: Books) -> None:
    assert await Days(books.store).close_due(timedelta(0)) == []


async def test_days_are_listed_the_latest_first_page_by_page(books: Books) -> None:
    await books.gives("ann", 100, books.ago(4))
    for days in (4, 3, 2):
        await books.close(books.ago(days))
    found: list[Any] = []
    request = books_service_pb2.ListDaysRequest(page_size=2)
    while True:
        page = await books.books.ListDays(request, timeout=60)
        found += page.days
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    told = [(day.accounting_date, day.HasField("close_time")) for day in found]
    since = [(to_date(books.ago(-1)), False)]  # may have begun meanwhile
    assert told[-5:] == [(to_date(books.ago(n)), n >= 2) for n in range(5)]
    assert told[:-5] in ([], since)
    request.page_token = "yesterday"
    call = books.books.ListDays(request, timeout=60)
    assert await refusal(call) == (INVALID, NO_FIELD, ["page_token"])


# ---- Balances ----


async def _five_days(books: Books, *, snapshots_after: int = -1) -> None:
    """Five days of traffic, the first three of them closed, journals of days mixed in posting."""
    for n in (4, 2, 3, 4):
        await books.gives("ann", 1000 + n, books.ago(n))
    await books.close(books.ago(4))
    if snapshots_after == 4:
        await books.snapshots()
    await books.sends("ann", "bob", 300, books.ago(1))
    await books.sends("ann", "bob", 20, books.ago(3))
    await books.close(books.ago(3))
    await books.sends("bob", "ann", 7, books.ago(2))
    await books.close(books.ago(2))
    await books.sends("ann", "eve", 1, books.today)


ANN = {5: 0, 4: 2008, 3: 2991, 2: 4000, 1: 3700, 0: 3699, -1: 3699}
"""Her balance at the end of so many days ago."""


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


def by_hand(database: Database, day: object) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Accounts, debits and credits by subject and currency: of the entries alone."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    accounts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for subject, currency, account, side, minor in database.query(
        "SELECT subject, amount_currency, account_id, side, amount_minor FROM booking "
        "WHERE accounting_date <= %s", day
    ):  # fmt: skip
        key = (str(subject), str(currency))
        found[key][side == "CREDIT"] += int(str(minor))
        accounts[key].add(str(account))
    return {key: (len(accounts[key]), *sums) for key, sums in found.items()}  # type: ignore[misc]


def told(response: Any) -> dict[tuple[str, str], tuple[int, int, int]]:
    return {
        (row.subject, row.debits.currency_code): (
            row.accounts,
            row.debits.minor_units,
            row.credits.minor_units,
        )
        for row in response.rows
    }


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


# ---- Snapshots ----


def ties_out(database: Database) -> bool:
    """Sub-ledger and general ledger: balances by subject = totals = sums of entries; snapshots too.

    `paymesh check` says so of a whole mesh (invariant 2).
    """
    wrong = database.query(
        "WITH moved AS (SELECT b.account_id, b.accounting_date AS day, "
        "sum(CASE b.side WHEN 'DEBIT' THEN b.amount_minor ELSE 0 END) AS debits, "
        "sum(CASE b.side WHEN 'CREDIT' THEN b.amount_minor ELSE 0 END) AS credits "
        "FROM booking b GROUP BY 1, 2), sums AS (SELECT account_id, day, "
        "sum(debits) OVER w AS debits, sum(credits) OVER w AS credits FROM moved "
        "WINDOW w AS (PARTITION BY account_id ORDER BY day)) "
        "SELECT * FROM (SELECT * FROM sums WHERE day IN (SELECT day FROM accounting_day)) s "
        "FULL JOIN balance_snapshot b ON b.account_id = s.account_id AND b.day = s.day "
        "WHERE s.debits IS DISTINCT FROM b.debit_minor "
        "OR s.credits IS DISTINCT FROM b.credit_minor"
    )
    days = [day for (day,) in database.query("SELECT day FROM accounting_day")]
    totals: dict[Any, Any] = {day: {} for day in days}
    for day, subject, currency, *sums in database.query("SELECT * FROM day_total"):
        totals[day][subject, currency] = tuple(sums)
    left = database.query("SELECT * FROM day_movement WHERE day = ANY(%s)", days)
    return not wrong and not left and totals == {day: by_hand(database, day) for day in days}


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


def _dies(database: Database, failpoint: str, act: str) -> bool:
    """Whether a process of its own is killed at the failpoint while it does `act`."""
    code = (
        "import asyncio, datetime\n"
        "from clearing_svc.books.days import Days\n"
        "from clearing_svc.books.snapshots import SnapshotLimits, Snapshots\n"
        "from paymesh.db.engine import create_engine\n"
        "from paymesh.store.postgres import PostgresStore\n"
        "async def main():\n"
        f"    store = PostgresStore(create_engine({database.app_url!r}, pool=2))\n"
        f"    {act}\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "FAILPOINT": failpoint, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode == -signal.SIGKILL
