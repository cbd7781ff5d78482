"""Days, balances of any day and as known at any time, snapshots: the real service on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from payments.clearing.v1 import books_service_pb2, ledger_service_pb2

from clearing_svc.books.days import Calendar, Days, require_over
from clearing_svc.books.verify import verify
from clearing_svc.bootstrap import build
from clearing_svc.settings import ClearingSettings
from paymesh.bus.inprocess import InProcessBus
from paymesh.clock import SystemClock
from paymesh.errors import InvalidField, PaymentError
from tests.clearing.books_world import (
    INVALID,
    NO_FIELD,
    PRECONDITION,
    Books,
    _dies,
    refusal,
    ties_out,
    to_date,
)
from tests.clearing.conftest import Database
from tests.clearing.ledger_messages import asked, fields_of, reason_of
from tests.clearing.ledger_world import top_up

AT = datetime(2028, 3, 1, tzinfo=UTC)


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
