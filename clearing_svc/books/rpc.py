"""BooksService, and what LedgerService reads of the books: message ↔ question, nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

from payments.clearing.v1 import books_service_pb2, books_service_pb2_grpc, ledger_service_pb2

from clearing_svc.books import balances
from clearing_svc.books.balances import reading
from clearing_svc.books.days import Days
from clearing_svc.books.feed import Feed
from clearing_svc.books.wire import (
    accounting_day_to,
    before_of,
    booked_to,
    day_to,
    position_of,
    token_of,
    total_to,
)
from clearing_svc.ledger.accounts import Account
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.finance import Finance
from clearing_svc.wire import date_of
from paymesh.money import Money
from paymesh.rpc import CALL_LIMIT_S, RpcContext
from paymesh.store.postgres import PostgresStore
from paymesh.wire import money_to, time_asked

PAGE_DEFAULT = 100


class BooksServicer(books_service_pb2_grpc.BooksServiceServicer):
    def __init__(
        self, days: Days, store: PostgresStore, chart: Chart, finance: Finance, feed: Feed
    ) -> None:
        self._days, self._store, self._feed = days, store, feed
        self._chart, self._finance = chart, finance

    async def CloseDay(
        self, request: books_service_pb2.CloseDayRequest, context: RpcContext
    ) -> books_service_pb2.CloseDayResponse:
        asked = date_of(request.accounting_date, field="accounting_date")
        day = await self._days.close(asked)
        return books_service_pb2.CloseDayResponse(day=accounting_day_to(day))

    async def ListDays(
        self, request: books_service_pb2.ListDaysRequest, context: RpcContext
    ) -> books_service_pb2.ListDaysResponse:
        size = request.page_size or PAGE_DEFAULT
        before = before_of(request.page_token) if request.page_token else None
        found = await self._days.latest(before=before, days_max=size + 1)
        page = found[:size]
        return books_service_pb2.ListDaysResponse(
            days=[accounting_day_to(day) for day in page],
            next_page_token=str(page[-1].day) if len(found) > size else "",
        )

    async def GetTrialBalance(
        self, request: books_service_pb2.GetTrialBalanceRequest, context: RpcContext
    ) -> books_service_pb2.GetTrialBalanceResponse:
        today = (await self._days.calendar()).today
        day = _date(request, "accounting_date", unset=today)
        async with reading(self._store) as connection:
            await balances.limit(connection, "statement_timeout", CALL_LIMIT_S)
            found = await balances.trial_balance(connection, self._chart, day)
        return books_service_pb2.GetTrialBalanceResponse(
            accounting_date=day_to(found.day),
            closed=found.closed,
            rows=[total_to(total, self._chart, self._finance) for total in found.totals],
        )

    async def WatchEntries(
        self, request: books_service_pb2.WatchEntriesRequest, context: RpcContext
    ) -> AsyncIterator[Any]:
        async for response in self._feed.watch(request):
            yield response


async def balance_of(
    store: PostgresStore, account: Account, request: ledger_service_pb2.GetBalanceRequest
) -> ledger_service_pb2.GetBalanceResponse:
    """GetBalance of an account that is there. `account` is as it is now."""
    day = _date(request, "accounting_date", unset=date.max)
    minor, block = account.balance.minor, 0
    async with reading(store) as connection:
        known = time_asked(request, "known_time")
        if known is not None:
            sums, block = await balances.sums_known(connection, account.id, known, day)
            minor = sums.balance(account.normal_side)
        elif request.HasField("accounting_date"):
            sums = await balances.sums_of(connection, account.id, day)
            minor = sums.balance(account.normal_side)
    balance = Money(account.balance.currency, minor)
    return ledger_service_pb2.GetBalanceResponse(balance=money_to(balance), block=block)


async def entries_of(
    store: PostgresStore, account: Account, request: ledger_service_pb2.ListEntriesRequest
) -> ledger_service_pb2.ListEntriesResponse:
    """ListEntries of an account that is there.

    A page that has a successor ends before the first entry that may still get another one before
    it: so who goes on from page to page misses none.
    """
    size = request.page_size or PAGE_DEFAULT
    after = position_of(request.page_token) if request.page_token else None
    first = _date(request, "from_date", unset=date.min)
    last = _date(request, "to_date", unset=date.max)
    async with reading(store) as connection:
        found = await balances.entries_of(
            connection, account.id, first=first, last=last, after=after, limit=size + 1
        )
    page, more = found[:size], len(found) > size
    if more:
        page = [booked for booked in page if booked.is_final] or page
    return ledger_service_pb2.ListEntriesResponse(
        entries=[booked_to(booked) for booked in page],
        next_page_token=token_of(page[-1].position) if more else "",
    )


def _date(request: Any, field: str, *, unset: date) -> date:
    """Raises InvalidField for what is no day."""
    return date_of(getattr(request, field), field=field) if request.HasField(field) else unset
