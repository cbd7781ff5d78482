"""Accounting days: closed in order, once, and while traffic goes on.

Who posts holds the day open until he has committed (SQL last_closed_day() takes the lock 7301,
shared). Who closes it takes that lock for himself: he waits for those who are posting, and those
who come then wait for him, for as long as sealing what is left and one row take. Their journals
belong to the next day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog

from clearing_svc.books.balances import Connection, limit, reading, rows
from clearing_svc.books.chain import seal, seal_block
from paymesh.clock import Clock
from paymesh.errors import (
    Code,
    FieldViolation,
    InvalidField,
    PaymentError,
    Unavailable,
)
from paymesh.store.port import CommitUnknown, Conflict, Unreachable
from paymesh.store.postgres import PostgresStore

FIELD = "accounting_date"
LOCK_WAIT_S = 1.0
"""So long do journals wait, at the worst, for a day that cannot be closed now."""
LOOK_TIMEOUT_S = 60
log = structlog.get_logger()


class NotNextDay(PaymentError):
    """Days are closed in order."""

    code, reason = Code.FAILED_PRECONDITION, "INVALID_FIELD"


@dataclass(frozen=True, slots=True)
class Day:
    """An accounting day."""

    day: date
    block: int = 0
    """The last one that can have entries of it; 0: there was none, or the day is open."""
    closed_at: datetime | None = None
    """None: it is open."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """What the books say of days."""

    first_day: date
    last_closed: date | None
    at: datetime

    @property
    def today(self) -> date:
        return self.at.astimezone(UTC).date()

    @property
    def first_open(self) -> date:
        return self.first_day if self.last_closed is None else self.last_closed + timedelta(days=1)


def require_over(day: date, calendar: Calendar) -> None:
    """Refuses by raising: only days that are over are closed, and only those of the books."""
    if day > calendar.today:
        raise InvalidField(FIELD, f"lies in the future: today is {calendar.today} (UTC)")
    if day == calendar.today:
        raise InvalidField(FIELD, "is not over: it is today (UTC)")
    if day < calendar.first_day:
        raise InvalidField(FIELD, f"is before the books: {calendar.first_day} is their first day")


def require_empty(day: date, booked: date | None) -> None:
    """Refuses by raising: of the open days before it, `booked` is the first with journals."""
    if booked is not None:
        raise NotNextDay(
            f"{day} is not the next day to close, {booked} is: days are closed in order",
            fields=(FieldViolation(FIELD, "is not the first open day that has journals"),),
            metadata={"first_open_day": str(booked)},
        )


class Days:
    """Closes days and lists them. Raises Unavailable where the same request may do it later."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    async def close(self, day: date) -> Day:
        """The day as closed, now or before; with it the open days before it, if they are empty.
        Raises InvalidField, NotNextDay."""
        try:
            return await self._close(day)
        except Conflict as error:
            raise Unavailable(
                f"{day} is not closed: others were posting or sealing for longer than "
                f"{LOCK_WAIT_S:g} s; ask again"
            ) from error
        except (Unreachable, CommitUnknown) as error:
            raise Unavailable(
                f"the database does not answer; is {day} closed? ask again"
            ) from error

    async def _close(self, day: date) -> Day:
        # First without keeping anybody waiting: what is refused, and what may take long.
        async with self._store.snapshot() as connection:
            await limit(connection, "statement_timeout", LOOK_TIMEOUT_S)
            if before := await _closed(connection, day):
                return before
            [(posted,)] = await rows(connection, _POSTING)
            calendar = await calendar_of(connection)
            require_over(day, calendar)
            require_empty(day, await _booked(connection, calendar.first_open, day))
        while await seal_block(self._store):
            pass
        async with self._store.writing() as connection:
            await limit(connection, "lock_timeout", LOCK_WAIT_S)
            await rows(connection, _LOCK)
            if before := await _closed(connection, day):
                return before
            first = (await calendar_of(connection)).first_open
            require_empty(day, await _booked(connection, first, day, since=posted))
            [(own,)] = await rows(connection, _OWN)
            block = await seal(connection, own)
            await rows(connection, _CLOSE, first=first, day=day, block=block)
            found = await _closed(connection, day)
        assert found is not None
        log.info("books.day_closed", first=str(first), day=str(day), block=block)
        return found

    async def close_due(self, after: timedelta) -> list[Day]:
        """Closes all days that ended at least so long ago, first to last; those that it closed."""
        closed: list[Day] = []
        while True:
            calendar = await self.calendar()
            day = calendar.first_open
            if calendar.at < _end_of(day) + after:
                return closed
            closed.append(await self.close(day))

    async def calendar(self) -> Calendar:
        async with reading(self._store) as connection:
            return await calendar_of(connection)

    async def latest(self, *, before: date | None, days_max: int) -> Sequence[Day]:
        """At most so many, the latest first, from the one before `before`: open ones, then
        closed."""
        calendar = await self.calendar()
        first_open = calendar.first_open
        day = max(calendar.today, first_open)
        if before is not None:
            day = min(day, before - timedelta(days=1))
        found: list[Day] = []
        while day >= first_open and len(found) < days_max:
            found.append(Day(day))
            day -= timedelta(days=1)
        async with reading(self._store) as connection:
            closed = await rows(connection, _CLOSED, day=day, limit=days_max - len(found))
        return [*found, *(Day(*row) for row in closed)]


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time.min, UTC)


async def _closed(connection: Connection, day: date) -> Day | None:
    found = await rows(connection, _CLOSED, day=day, limit=1)
    return Day(*found[0]) if found and found[0][0] == day else None


async def _booked(connection: Connection, first: date, day: date, *, since: int = 0) -> date | None:
    """The first day before `day` that has journals, of those posted from `since` on."""
    if first >= day:
        return None
    [(booked,)] = await rows(connection, _BOOKED, first=first, day=day, since=since)
    return booked if isinstance(booked, date) else None


async def calendar_of(connection: Connection) -> Calendar:
    [row] = await rows(connection, _CALENDAR)
    return Calendar(*row)


async def close_forever(days: Days, *, clock: Clock, after_s: float, idle_s: float) -> None:
    """Closes each day so long after its end, until cancelled."""
    after = timedelta(seconds=after_s)
    while True:
        try:
            await days.close_due(after)
        except Unavailable as error:
            log.warning("books.close_later", error=error.message)
        except Exception:  # told whole; the next round may do it
            log.exception("books.close_defect")
        await clock.sleep(idle_s)


_LOCK = "SELECT pg_advisory_xact_lock(7301)"
_POSTING = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_OWN = "SELECT pg_current_xact_id()::text::bigint"
_CALENDAR = """
    SELECT first_day, (SELECT max(day) FROM accounting_day), clock_timestamp() FROM books
"""
_BOOKED = """
    SELECT min(accounting_date) FROM journal
    WHERE posting >= %(since)s AND accounting_date >= %(first)s AND accounting_date < %(day)s
"""
_CLOSED = """
    SELECT day, block, closed_at FROM accounting_day WHERE day <= %(day)s
    ORDER BY day DESC LIMIT %(limit)s
"""
_CLOSE = """
    INSERT INTO accounting_day (day, block, closed_at)
    SELECT of::date, %(block)s, statement_timestamp()
    FROM generate_series(%(first)s::timestamp, %(day)s::timestamp, '1 day') AS of
"""
