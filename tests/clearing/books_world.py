"""What the tests of the books are made of: journals on days, days that are closed, clients."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc
import psycopg
import pytest
from google.type.date_pb2 import Date
from grpc_status import rpc_status
from payments.clearing.v1 import (
    books_service_pb2,
    books_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)
from payments.type.v1 import account_pb2

from clearing_svc.books.balances import Connection
from clearing_svc.books.snapshots import SnapshotLimits, Snapshots
from clearing_svc.books.statements import Holder, statement
from clearing_svc.ledger.drafts import JournalDraft, account_id_of
from paymesh.channel import DIRECT
from paymesh.db.engine import create_engine
from paymesh.db.migrate import ROOT
from paymesh.server import CONTEXT_METADATA
from paymesh.store.postgres import PostgresStore
from tests.clearing.ledger_messages import asked, call_context, fields_of, reason_of
from tests.clearing.ledger_world import CONFIG, top_up, transfer

if TYPE_CHECKING:
    from tests.clearing.conftest import Database


def to_date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


@dataclass
class Books:
    """Clearing with clients, and what the tests do to it."""

    database: Database
    today: date
    """The database's when the test began; the next one may come before it ends."""
    store: PostgresStore
    port: int
    ledger: Any
    books: Any
    _keys: Any

    def ago(self, days: int) -> date:
        return self.today - timedelta(days=days)

    async def post(self, *drafts: JournalDraft, day: date | None = None) -> list[str]:
        """Posts all of them; their ids."""
        items = [asked(draft) for draft in drafts]
        for item in items:
            if day is not None:
                self.database.begins(day)
                item.request.accounting_date.CopyFrom(to_date(day))
        request = ledger_service_pb2.PostJournalsRequest(items=items)
        results = (await self.ledger.PostJournals(request, timeout=60)).results
        assert [r.WhichOneof("result") for r in results] == ["journal"] * len(items), results
        return [r.journal.journal_id for r in results]

    async def gives(self, user: str, minor: int, day: date | None = None, cur: str = "CNY") -> str:
        [id_] = await self.post(top_up(user, minor, key=f"k{next(self._keys)}", cur=cur), day=day)
        return id_

    async def sends(self, payer: str, payee: str, minor: int, day: date | None = None) -> str:
        [id_] = await self.post(transfer(payer, payee, minor, key=f"k{next(self._keys)}"), day=day)
        return id_

    async def close(self, day: date) -> Any:
        context = call_context().context.SerializeToString()
        request = books_service_pb2.CloseDayRequest(accounting_date=to_date(day))
        metadata = ((CONTEXT_METADATA, context),)
        return (await self.books.CloseDay(request, timeout=60, metadata=metadata)).day

    async def snapshots(self, **limits: int) -> int:
        return await Snapshots(self.store, limits=SnapshotLimits(**limits)).run()

    async def balance(
        self,
        owner: str,
        subject: str = "USER_BALANCE",
        *,
        day: date | None = None,
        known: datetime | None = None,
        cur: str = "CNY",
    ) -> int:
        return int(
            (await self.told(owner, subject, day=day, known=known, cur=cur)).balance.minor_units
        )

    async def told(
        self,
        owner: str,
        subject: str = "USER_BALANCE",
        *,
        day: date | None = None,
        known: datetime | None = None,
        cur: str = "CNY",
    ) -> Any:
        request = ledger_service_pb2.GetBalanceRequest(
            account=account_pb2.AccountRef(subject=subject, owner=owner), currency_code=cur
        )
        if day is not None:
            request.accounting_date.CopyFrom(to_date(day))
        if known is not None:
            request.known_time.FromDatetime(known)
        return await self.ledger.GetBalance(request, timeout=60)

    async def trial_balance(self, day: date | None = None) -> Any:
        request = books_service_pb2.GetTrialBalanceRequest()
        if day is not None:
            request.accounting_date.CopyFrom(to_date(day))
        return await self.books.GetTrialBalance(request, timeout=60)

    async def entries(self, owner: str, **fields: Any) -> list[Any]:
        """All pages."""
        found: list[Any] = []
        request = ledger_service_pb2.ListEntriesRequest(
            account=account_pb2.AccountRef(subject="USER_BALANCE", owner=owner),
            currency_code="CNY",
            **fields,
        )
        while True:
            page = await self.ledger.ListEntries(request, timeout=60)
            found += page.entries
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def statement(self, owner: str, first: date, last: date) -> str:
        holder = Holder(
            account_id_of("USER_BALANCE", owner, "CNY"),
            "USER_BALANCE",
            owner,
            "CNY",
            CONFIG.chart["USER_BALANCE"].normal_side,
        )
        async with self.reader() as connection:
            return "".join([line async for line in statement(connection, holder, first, last)])

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Connection]:
        async with await psycopg.AsyncConnection.connect(self.database.admin_url) as connection:
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            yield connection

    async def now(self) -> datetime:
        """The database's; whatever is sealed later is sealed after it."""
        [(at,)] = self.database.query("SELECT clock_timestamp()")
        await asyncio.sleep(0.01)
        assert isinstance(at, datetime)
        return at


@asynccontextmanager
async def books_of(port: int, database: Database) -> AsyncIterator[Books]:
    [(today,)] = database.query("SELECT (now() AT TIME ZONE 'UTC')::date")
    assert isinstance(today, date)
    engine = create_engine(database.app_url, pool=3)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[DIRECT]) as channel:
        yield Books(
            database,
            today,
            PostgresStore(engine),
            port,
            ledger_service_pb2_grpc.LedgerServiceStub(channel),
            books_service_pb2_grpc.BooksServiceStub(channel),
            count(1),
        )
    await engine.dispose()


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
    return {key: (len(accounts[key]), *sums) for key, sums in found.items()}


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


def told(response: Any) -> dict[tuple[str, str], tuple[int, int, int]]:
    return {
        (row.subject, row.debits.currency_code): (
            row.accounts,
            row.debits.minor_units,
            row.credits.minor_units,
        )
        for row in response.rows
    }


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
