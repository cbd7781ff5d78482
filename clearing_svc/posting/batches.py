"""PostJournals by the thousand: one transaction a batch, a column an array.

Requests without a request_id come here: the journal's name is what makes it one journal. Callers
that come together share a transaction. A batch of which nothing can be refused is written in one
round trip, and PostgreSQL vouches for that; any other is read, decided journal by journal, and
written. What is booked, and what is refused, is decided in clearing_svc.ledger.bulk; here is the
I/O, once for all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from google.type.date_pb2 import Date
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2

from clearing_svc.ledger import bulk
from clearing_svc.ledger.accounts import AccountMode
from clearing_svc.ledger.bulk import (
    AccountsUnlocked,
    BalanceChange,
    JournalRequest,
    WorkingBalance,
)
from clearing_svc.ledger.chart import Chart
from clearing_svc.posting import sql
from clearing_svc.posting.parsing import Parser
from clearing_svc.queries import Books
from clearing_svc.store import REFUSALS
from clearing_svc.wire import journal_to
from paymesh import metrics
from paymesh.batcher import Batcher, BatchLimits
from paymesh.clock import Clock
from paymesh.errors import DeadlinePassed, PaymentError
from paymesh.rpc import current_call, require_one_traffic
from paymesh.shell import commit_isolated
from paymesh.status import to_status
from paymesh.store.port import Conflict, Rejected
from paymesh.store.postgres import PostgresStore
from paymesh.telemetry import batch_span

NAME = "journal"
Result = ledger_service_pb2.PostJournalsResult
AGAIN = Result(journal=ledger_pb2.Journal(), replayed=True)
"""What became of a journal that had been posted before."""
FOLD_AHEAD_S = 1.0
CAREFUL_S = 0.25
"""So long after a batch could not be written at once, none is tried so."""
LATE = DeadlinePassed("the deadline passed before the work began; nothing was written")


class Posting:
    """Takes messages of journals and posts them; each journal has its own verdict."""

    def __init__(
        self, store: PostgresStore, books: Books, chart: Chart, *, clock: Clock, journals_max: int
    ) -> None:
        self._store, self._books, self._clock = store, books, clock
        self._parser = Parser(chart)
        self._to_fold: dict[str, float] = {}
        """Accounts that had to be locked although they are buffered, and until when (monotonic
        seconds) they are locked at once: somebody is debiting them."""
        self._careful_until = 0.0
        # Large as they are: while one is in PostgreSQL, Python reads and writes the other.
        limits = BatchLimits(
            items_max=journals_max, queue_items_max=20 * journals_max, beside_after_s=0
        )
        self._batcher: Batcher[Sequence[JournalRequest], Sequence[PaymentError | Result]] = Batcher(
            self._post, clock=clock, limits=limits, size=len
        )

    async def post(
        self, request: ledger_service_pb2.PostJournalsRequest
    ) -> ledger_service_pb2.PostJournalsResponse:
        """The response. Raises TrafficMixed and Overloaded for the message as a whole."""
        require_one_traffic(request.items)
        outer, now = current_call.get(), time.monotonic()
        prepared: list[JournalRequest | PaymentError] = []
        for item in request.items:
            try:
                prepared.append(self._parser.parse(item, outer, now))
            except PaymentError as refusal:
                prepared.append(refusal)
        requests = [one for one in prepared if isinstance(one, JournalRequest)]
        outcomes = iter(await self._batcher.submit(requests) if requests else ())
        response = ledger_service_pb2.PostJournalsResponse()
        short = request.view == ledger_service_pb2.JOURNAL_VIEW_NAME
        results, again = response.results, []
        for item, one in zip(request.items, prepared, strict=True):
            if isinstance(one, PaymentError):
                results.add(error=to_status(one))
                continue
            outcome = next(outcomes)
            if isinstance(outcome, PaymentError):
                results.add(error=to_status(outcome))
                continue
            if outcome is AGAIN:
                again.append(one.id)
            journal = outcome.journal
            journal.journal_id = one.id
            results.append(outcome)
            if not short and outcome is not AGAIN:
                full = results[-1].journal
                full.event_type, full.business_key = one.event_type, one.business_key
                full.business_id = one.context[0]
                full.entries.MergeFrom(item.request.entries)
        if again and not short:
            before = await self._books.by_ids(again)
            for result in results:
                if result.replayed:
                    result.journal.CopyFrom(journal_to(*before[result.journal.journal_id]))
        return response

    async def close(self) -> None:
        await self._batcher.close()

    # The batch

    async def _post(
        self, messages: Sequence[Sequence[JournalRequest]]
    ) -> Sequence[Sequence[PaymentError | Result]]:
        requests = [one for message in messages for one in message]
        with batch_span("journal batch", ()):
            outcomes = iter(
                await commit_isolated(
                    NAME,
                    requests,
                    self._attempt,
                    about=_about,
                    clock=self._clock,
                    refusals=REFUSALS,
                )
            )
        return [[next(outcomes) for _ in message] for message in messages]

    async def _attempt(self, requests: Sequence[JournalRequest]) -> Sequence[PaymentError | Result]:
        """One try at one transaction."""
        now = self._clock.monotonic()
        balance_changes = (
            bulk.balance_changes(requests, now=now) if now >= self._careful_until else None
        )
        if balance_changes is not None:
            try:
                return await self._in_one_flight(requests, balance_changes)
            except (Conflict, Rejected):
                self._careful_until = now + CAREFUL_S
        while True:
            try:
                return await self._transaction(requests)
            except AccountsUnlocked as buffered:
                now = self._clock.monotonic()
                self._to_fold = {id_: at for id_, at in self._to_fold.items() if at > now}
                self._to_fold |= dict.fromkeys(buffered.account_ids, now + FOLD_AHEAD_S)

    async def _in_one_flight(
        self, requests: Sequence[JournalRequest], balance_changes: Sequence[BalanceChange]
    ) -> Sequence[PaymentError | Result]:
        """All of it or nothing. Raises Conflict or Rejected where that can't be: for an account
        that is not there, is not open, is not DIRECT or would be beyond its limits, for a journal
        that was posted before, and while the day changes."""
        today = self._clock.now().date()
        columns = [
            [change.key.shard for change in balance_changes],
            [change.key.id for change in balance_changes],
            [change.delta for change in balance_changes],
            [change.changes for change in balance_changes],
            [change.lowest for change in balance_changes],
            [change.highest for change in balance_changes],
        ]
        posted = [(one, today) for one in requests]
        async with self._store.transaction() as transaction:
            at, *_ = await transaction.save_in_one_flight(
                (sql.BEGIN_IN_ONE_FLIGHT, (today, today)),
                [
                    (sql.CHANGE_WITHIN_LIMITS, [*columns, len(balance_changes)]),
                    (sql.INSERT_JOURNALS, [*sql.journal_columns(posted), None]),
                    (sql.INSERT_ENTRIES, sql.entry_columns(posted)),
                ],
            )
        metrics.BATCH_ITEMS.labels(NAME).observe(len(requests))
        return [_posted(today, at)] * len(requests)

    async def _transaction(
        self, requests: Sequence[JournalRequest]
    ) -> Sequence[PaymentError | Result]:
        names = {account.id: account for one in requests for account, *_ in one.entries}
        accounts_in_order = sorted(names.values())
        shards = [account.shard for account in accounts_in_order]
        ids = [account.id for account in accounts_in_order]
        journals = sorted({(one.shard, one.id) for one in requests})
        now = self._clock.monotonic()
        fold = [id_ for id_ in ids if self._to_fold.get(id_, 0.0) > now] if self._to_fold else []
        async with self._store.transaction() as transaction:
            locked_rows = (sql.LOCK, (shards, ids, fold))
            questions: list[tuple[str, Sequence[Any]]] = [(sql.BEGIN, ())]
            if fold:  # once all are locked in key order, as everybody locks them
                questions += [locked_rows, ("SELECT fold_accounts(%s::text[])", (fold,))]
            questions += [
                locked_rows,
                (sql.READ_BUFFERED, (ids, fold)),
                (sql.READ_BEFORE, ([shard for shard, _ in journals], [id_ for _, id_ in journals])),
            ]
            [(last_closed, at, *_)], *_, locked, buffered, before = await transaction.query(
                questions
            )
            draining = [row[0] for row in [*locked, *buffered] if row[1] == AccountMode.DRAINING]
            if not set(draining) <= set(fold):
                raise AccountsUnlocked(draining)
            accounts = {id_: WorkingBalance(names[id_], *row) for id_, _, *row in locked} | {
                id_: WorkingBalance(names[id_], *row, buffered=True) for id_, _, *row in buffered
            }
            booking = bulk.book(
                requests, accounts, dict(before), at, last_closed=last_closed,
                now=self._clock.monotonic(), late=LATE,
            )  # fmt: skip
            if booking.posted:
                await transaction.save(sql.statements(booking, at))
        metrics.BATCH_ITEMS.labels(NAME).observe(len(requests))
        posted = {day: _posted(day, at) for day in {day for _, day in booking.posted}}
        days = iter(booking.posted)
        return [
            verdict
            if isinstance(verdict, PaymentError)
            else AGAIN
            if verdict
            else posted[next(days)[1]]
            for verdict in booking.verdicts
        ]


def _posted(day: date, at: datetime) -> Result:
    journal = ledger_pb2.Journal(
        accounting_date=Date(year=day.year, month=day.month, day=day.day), post_time=at
    )
    return Result(journal=journal)


def _about(request: JournalRequest) -> Mapping[str, str]:
    return {"command": "PostJournals", "business_id": request.context[0], "journal_id": request.id}
