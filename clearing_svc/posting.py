"""PostJournals by the thousand: one transaction a batch, a column an array.

Requests without a request_id come here: the journal's name is what makes it one journal. Callers
that come together share a transaction. A batch of which nothing can be refused is written in one
round trip, and PostgreSQL vouches for that; any other is read, decided journal by journal, and
written. What is booked, and what is refused, is decided in clearing_svc.ledger.bulk; here is the
I/O, once for all.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NoReturn

from google.type.date_pb2 import Date  # type: ignore[import-untyped]
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2

from clearing_svc.ledger import bulk
from clearing_svc.ledger.accounts import AccountMode
from clearing_svc.ledger.bulk import Asked, Booking, Known, Leg, Running, Swing, Unlocked
from clearing_svc.ledger.callers import is_reserved, problem_of_reference, require_callers_own
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.domain import ENTRIES_MAX, check
from clearing_svc.ledger.drafts import journal_id_of, lines_digest
from clearing_svc.queries import Books
from clearing_svc.store import REFUSALS
from clearing_svc.wire import REFERENCE_CHARACTERS_MAX, day_of, journal_to, lines_of
from paymesh import metrics
from paymesh.batcher import Batcher, BatchLimits
from paymesh.cards import card_numbers
from paymesh.clock import Clock
from paymesh.context import Call, Traffic
from paymesh.errors import DeadlinePassed, Internal, PaymentError
from paymesh.ids import shard_of
from paymesh.money import MINOR_UNITS_MAX
from paymesh.rpc import CALL_LIMIT_S, current_call, item_call, require_one_traffic
from paymesh.shell import settled
from paymesh.status import to_status
from paymesh.store.port import Conflict, Rejected
from paymesh.store.postgres import PostgresStore
from paymesh.telemetry import batch_span
from paymesh.text import problem
from paymesh.wire import LIVE_TRAFFIC

NAME = "journal"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_DEBIT = ledger_pb2.ENTRY_SIDE_DEBIT
_SIDE = {True: "DEBIT", False: "CREDIT"}
Result = ledger_service_pb2.PostJournalsResult
AGAIN = Result(journal=ledger_pb2.Journal(), replayed=True)
"""What became of a journal that had been posted before."""
FOLD_AHEAD_S = 1.0
CAREFUL_S = 0.25
"""So long after a batch could not be written at once, none is tried so."""
LATE = DeadlinePassed("the deadline passed before the work began; nothing was written")


def _plain_text(text: str) -> bool:
    return 0 < len(text) <= REFERENCE_CHARACTERS_MAX and not problem(text, names=False)


def _plain_reference(text: str) -> bool:
    return 0 < len(text) <= REFERENCE_CHARACTERS_MAX and not problem_of_reference(text)


def _plain_id(text: str) -> bool:
    return _ID(text) is not None and not card_numbers(text)


@lru_cache(maxsize=10_000)
def _plain_event_type(text: str) -> bool:
    known = re.fullmatch(r"[A-Za-z0-9_./-]{1,64}", text) is not None
    return known and not is_reserved(text) and not card_numbers(text)


@lru_cache(maxsize=10_000)
def _plain_middle(
    merchant_id: str, order_type: str, sub_type: str, pay_org_no: str, caller: str, traffic: Any,
    deadline_class: int,
) -> Sequence[str] | None:  # fmt: skip
    """The middle columns of a Context; None for what is not plain. Callers and business codes are
    few, so this is seldom asked twice."""
    names = (merchant_id, order_type, sub_type, pay_org_no)
    plain = all(re.fullmatch(r"[A-Za-z0-9_.-]{0,32}", name) for name in (*names, caller))
    if not plain or traffic not in LIVE_TRAFFIC or not 0 <= deadline_class <= 2:
        return None
    return (*names, Traffic.LIVE.value)


class Posting:
    """Takes messages of journals and posts them; each journal has its own verdict."""

    def __init__(
        self, store: PostgresStore, books: Books, chart: Chart, *, clock: Clock, journals_max: int
    ) -> None:
        self._store, self._books, self._chart, self._clock = store, books, chart, clock
        self._known: dict[tuple[str, str, str], Known] = {}
        self._to_fold: dict[str, float] = {}
        """Accounts that had to be locked although they are buffered, and until when (monotonic
        seconds) they are locked at once: somebody is debiting them."""
        self._careful_until = 0.0
        # Large as they are: while one is in PostgreSQL, Python reads and writes the other.
        limits = BatchLimits(
            items_max=journals_max, queue_items_max=20 * journals_max, beside_after_s=0
        )
        self._batcher: Batcher[Sequence[Asked], Sequence[PaymentError | Result]] = Batcher(
            self._post, clock=clock, limits=limits, size=len
        )

    async def post(self, request: ledger_service_pb2.PostJournalsRequest) -> Any:
        """The response. Raises TrafficMixed and Overloaded for the message as a whole."""
        require_one_traffic(request.items)
        outer, now = current_call.get(), time.monotonic()
        prepared: list[Asked | PaymentError] = []
        for item in request.items:
            try:
                prepared.append(self.asked(item, outer, now))
            except PaymentError as refusal:
                prepared.append(refusal)
        asked = [one for one in prepared if isinstance(one, Asked)]
        outcomes = iter(await self._batcher.submit(asked) if asked else ())
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

    def asked(self, item: Any, outer: Call, now: float) -> Asked:
        """The item as plain values. Raises PaymentError for what is wrong with it by itself."""
        request, call = item.request, item.call_context
        context = call.context
        entries = request.entries
        known, legs = self._known, list[Leg]()
        body: list[str | int] = ["", ""]
        debits = credits = 0
        exchanging = False
        first = entries[0].amount.currency_code if entries else ""
        business_id, parent = context.business_id, context.parent_business_id
        event_type, business_key = request.event_type, request.business_key
        middle = _plain_middle(
            context.merchant_id, context.order_type, context.sub_type, context.pay_org_no,
            context.caller, context.traffic, context.deadline_class,
        )  # fmt: skip
        plain = (
            2 <= len(entries) <= ENTRIES_MAX
            and middle is not None
            and _plain_id(business_id)
            and _plain_text(business_key)
            and _plain_event_type(event_type)
            and (not parent or _plain_id(parent))
            and len(call.traceparent) <= 64
            and len(call.origin) <= 64
            and call.remaining_ms >= 0
        )
        for entry in entries if plain else ():
            amount, side, reference = entry.amount, entry.side, entry.reference
            subject, owner, currency = entry.subject, entry.owner, amount.currency_code
            minor = amount.minor_units
            account = known.get((subject, owner, currency)) or self._learn(subject, owner, currency)
            if side == _DEBIT:
                debits += minor
            else:
                credits += minor
            if currency != first:
                exchanging = True
            plain = (
                account is not None
                and minor > 0
                and 1 <= side <= 2
                and (
                    _plain_reference(reference)
                    if reference
                    else not account.subject.needs_reference
                )
            )
            if not plain or account is None:
                break
            legs.append((account, side == _DEBIT, minor, reference))
            body += subject, owner, side, currency, minor, reference
        if not plain or middle is None or debits != credits:
            self._refuse(item, outer)
        day = day_of(request)
        if day is not None:
            body[0] = str(day)
        if exchanging:
            check(lines_of(entries), self._chart)
        journal_id = journal_id_of(event_type, business_key)
        remaining = call.remaining_ms / 1000 if call.remaining_ms else CALL_LIMIT_S
        return Asked(
            journal_id,
            shard_of(journal_id),
            event_type,
            business_key,
            lines_digest(body),
            legs,
            (business_id, *middle, parent),
            day,
            now + min(remaining, CALL_LIMIT_S),
        )

    def _refuse(self, item: Any, outer: Call) -> NoReturn:
        """Raises what the rules say of an item that is not plainly right."""
        item_call(item, outer, edge=False)
        day_of(item.request)
        check(lines_of(item.request.entries), self._chart)
        request = item.request
        lines = lines_of(request.entries)
        require_callers_own(request.event_type, request.business_key, lines, self._chart)
        raise Internal("a defect of ours: the journal is right, and was not understood")

    def _learn(self, subject: str, owner: str, currency: str) -> Known | None:
        found = bulk.known_as(self._chart, subject, owner, currency)
        if found is None or found.subject.is_system:
            return None
        if _plain_text(owner):
            if len(self._known) > 200_000:
                self._known.clear()
            self._known[subject, owner, currency] = found
            return found
        return None

    # The batch

    async def _post(
        self, messages: Sequence[Sequence[Asked]]
    ) -> Sequence[Sequence[PaymentError | Result]]:
        asked = [one for message in messages for one in message]
        with batch_span("journal batch", ()):
            outcomes = iter(
                await settled(
                    NAME, asked, self._attempt, about=_about, clock=self._clock, refusals=REFUSALS
                )
            )
        return [[next(outcomes) for _ in message] for message in messages]

    async def _attempt(self, asked: Sequence[Asked]) -> Sequence[PaymentError | Result]:
        """One try at one transaction."""
        now = self._clock.monotonic()
        swings = bulk.swings(asked, now=now) if now >= self._careful_until else None
        if swings is not None:
            try:
                return await self._at_once(asked, swings)
            except (Conflict, Rejected):
                self._careful_until = now + CAREFUL_S
        while True:
            try:
                return await self._transaction(asked)
            except Unlocked as buffered:
                now = self._clock.monotonic()
                self._to_fold = {id_: at for id_, at in self._to_fold.items() if at > now}
                self._to_fold |= dict.fromkeys(buffered.account_ids, now + FOLD_AHEAD_S)

    async def _at_once(
        self, asked: Sequence[Asked], swings: Sequence[Swing]
    ) -> Sequence[PaymentError | Result]:
        """All of it or nothing. Raises Conflict or Rejected where that can't be: for an account
        that is not there, is not open, is not DIRECT or would be beyond its limits, for a journal
        that was posted before, and while the day changes."""
        today = self._clock.now().date()
        columns = [
            [swing.known.shard for swing in swings],
            [swing.known.id for swing in swings],
            [swing.delta for swing in swings],
            [swing.changes for swing in swings],
            [swing.lowest for swing in swings],
            [swing.highest for swing in swings],
        ]
        posted = [(one, today) for one in asked]
        async with self._store.transaction() as transaction:
            at, *_ = await transaction.save_at_once(
                (_BEGUN_AT_ONCE, (today, today)),
                [
                    (_SWING_ACCOUNTS, [*columns, len(swings)]),
                    (_INSERT_JOURNALS, [*_journals(posted), None]),
                    (_INSERT_ENTRIES, _entries(posted)),
                ],
            )
        metrics.BATCH_ITEMS.labels(NAME).observe(len(asked))
        return [_posted(today, at)] * len(asked)

    async def _transaction(self, asked: Sequence[Asked]) -> Sequence[PaymentError | Result]:
        names = {account.id: account for one in asked for account, *_ in one.legs}
        accounts_in_order = sorted(names.values())
        shards = [account.shard for account in accounts_in_order]
        ids = [account.id for account in accounts_in_order]
        journals = sorted({(one.shard, one.id) for one in asked})
        now = self._clock.monotonic()
        fold = [id_ for id_ in ids if self._to_fold.get(id_, 0.0) > now] if self._to_fold else []
        async with self._store.transaction() as transaction:
            locked_rows = (_LOCKED, (shards, ids, fold))
            questions: list[tuple[str, Sequence[Any]]] = [(_BEGUN, ())]
            if fold:  # once all are locked in key order, as everybody locks them
                questions += [locked_rows, ("SELECT fold_accounts(%s::text[])", (fold,))]
            questions += [
                locked_rows,
                (_BUFFERED, (ids, fold)),
                (_BEFORE, ([shard for shard, _ in journals], [id_ for _, id_ in journals])),
            ]
            [(last_closed, at, *_)], *_, locked, buffered, before = await transaction.ask(questions)
            draining = [row[0] for row in [*locked, *buffered] if row[1] == AccountMode.DRAINING]
            if not set(draining) <= set(fold):
                raise Unlocked(draining)
            accounts = {id_: Running(names[id_], *row) for id_, _, *row in locked} | {
                id_: Running(names[id_], *row, buffered=True) for id_, _, *row in buffered
            }
            booking = bulk.book(
                asked, accounts, dict(before), at, last_closed=last_closed,
                now=self._clock.monotonic(), late=LATE,
            )  # fmt: skip
            if booking.posted:
                await transaction.save(_statements(booking, at))
        metrics.BATCH_ITEMS.labels(NAME).observe(len(asked))
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


def _about(asked: Asked) -> Mapping[str, str]:
    return {"command": "PostJournals", "business_id": asked.context[0], "journal_id": asked.id}


# SQL

_NEEDED = "t.id, t.mode, t.balance_minor, t.held_minor, t.minimum_minor, t.maximum_minor, t.status"
# The transaction gets its number before it reads any mode: so whoever waits for all transactions of
# earlier numbers (see clearing_svc.draining) waits for it, if it reads that an account is BUFFERED.
# And plans that are made once: arrays differ from batch to batch, the way to the rows does not.
_BEGUN = (
    "SELECT last_closed_day(), clock_timestamp(), pg_current_xact_id(), "
    "set_config('plan_cache_mode', 'force_generic_plan', true)"
)
_BEGUN_AT_ONCE = (
    "SELECT now(), 1 / (coalesce(last_closed_day() < %s::date, true) "
    "AND (now() AT TIME ZONE 'UTC')::date = %s::date)::int, pg_current_xact_id(), "
    "set_config('plan_cache_mode', 'force_generic_plan', true)"
)
_LOCKED = (
    f"SELECT {_NEEDED} FROM account t "
    "JOIN unnest(%s::smallint[], %s::text[]) AS k(shard_key, id) "
    "ON t.shard_key = k.shard_key AND t.id = k.id "
    "WHERE t.mode <> 'BUFFERED' OR t.id = ANY (%s::text[]) "
    "ORDER BY t.shard_key, t.id FOR NO KEY UPDATE OF t"
)
_BUFFERED = (
    f"SELECT {_NEEDED} FROM account t WHERE t.mode <> 'DIRECT' AND t.id = ANY (%s::text[]) "
    "AND t.id <> ALL (%s::text[])"
)
_BEFORE = (
    "SELECT t.id, t.digest FROM journal t "
    "JOIN unnest(%s::smallint[], %s::text[]) AS k(shard_key, id) "
    "ON t.shard_key = k.shard_key AND t.id = k.id"
)
_CONTEXT = "business_id, merchant_id, order_type, sub_type, pay_org_no, traffic, parent_business_id"
_SEVEN_TEXTS = ", ".join(["%s::text[]"] * 7)


def _rows(*types: str) -> str:
    """Columns from arrays, one each. In a list of what is selected they are taken in step, row by
    row; behind FROM each would be written into a store of its own first."""
    return ", ".join(f"unnest(%s::{type_}[])" for type_ in types)


_INSERT_JOURNALS = (
    f"INSERT INTO journal (shard_key, id, {_CONTEXT}, event_type, business_key, digest, "
    "accounting_date, reverses, template_version, posted_at, posting) "
    f"SELECT {_rows('smallint', *['text'] * 11, 'date')}, '', 0, coalesce(%s::timestamptz, now()), "
    "(SELECT pg_current_xact_id()::text::bigint)"  # once, not for each row
)
_INSERT_ENTRIES = (
    "INSERT INTO entry (shard_key, journal_id, line, account_id, side, amount_minor, "
    "amount_currency, reference) "
    f"SELECT {_rows('smallint', 'text', 'bigint', 'text', 'text', 'bigint', 'text', 'text')}"
)
_CHANGE_ACCOUNTS = (
    "WITH u AS (UPDATE account t SET balance_minor = t.balance_minor + v.delta, "
    "version = t.version + v.changes "
    "FROM unnest(%s::smallint[], %s::text[], %s::bigint[], %s::bigint[]) "
    "AS v(shard_key, id, delta, changes) "
    "WHERE t.shard_key = v.shard_key AND t.id = v.id RETURNING 1) "
    "SELECT 1 / (count(*) = %s)::int FROM u"
)
_SWING_ACCOUNTS = (
    "WITH u AS (UPDATE account t SET balance_minor = t.balance_minor + v.delta, "
    "version = t.version + v.changes "
    "FROM unnest(%s::smallint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], "
    "%s::bigint[]) AS v(shard_key, id, delta, changes, lowest, highest) "
    "WHERE t.shard_key = v.shard_key AND t.id = v.id AND t.mode = 'DIRECT' AND t.status = 'OPEN' "
    f"AND t.balance_minor + v.lowest >= coalesce(t.minimum_minor, -{MINOR_UNITS_MAX}) "
    "+ CASE t.normal_side WHEN 'CREDIT' THEN t.held_minor ELSE 0 END "
    f"AND t.balance_minor + v.highest <= coalesce(t.maximum_minor, {MINOR_UNITS_MAX}) "
    "- CASE t.normal_side WHEN 'DEBIT' THEN t.held_minor ELSE 0 END RETURNING 1) "
    "SELECT 1 / (count(*) = %s)::int FROM u"
)
"""Row by row in the order of the arrays, as everybody locks them; one that another transaction has
changed meanwhile is looked at again as it is then."""
_OPEN_ACCOUNTS = (
    f"INSERT INTO account (shard_key, id, {_CONTEXT}, version, status, mode, subject, owner, "
    "normal_side, balance_minor, balance_currency, held_minor, minimum_minor, maximum_minor, "
    "opened_at) "
    "SELECT v.shard_key, v.id, v.c1, v.c2, v.c3, v.c4, v.c5, v.c6, v.c7, v.version, 'OPEN', "
    "'DIRECT', v.subject, v.owner, v.side, v.balance, v.currency, 0, v.minimum, v.maximum, "
    f"%s::timestamptz FROM unnest(%s::smallint[], %s::text[], {_SEVEN_TEXTS}, %s::bigint[], "
    "%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[]) "
    "AS v(shard_key, id, c1, c2, c3, c4, c5, c6, c7, version, subject, owner, side, balance, "
    "currency, minimum, maximum)"
)
_ADD_DELTAS = (
    "INSERT INTO account_delta (shard_key, account_id, delta_minor) "
    "SELECT * FROM unnest(%s::smallint[], %s::text[], %s::bigint[])"
)


def _statements(booking: Booking, at: datetime) -> list[tuple[str, Sequence[Any]]]:
    """What the batch writes: rows that others may be inserting, too, in the order of their ids, as
    everywhere, so no two batches deadlock."""
    changed = sorted(booking.changed, key=attrgetter("known.id"))
    direct = [one for one in changed if not one.context and not one.buffered]
    buffered = [one for one in changed if one.buffered]
    new = [one for one in changed if one.context]
    result: list[tuple[str, Sequence[Any]]] = []
    if direct:
        result.append((_CHANGE_ACCOUNTS, [*_changes(direct), len(direct)]))
    if new:
        result.append((_OPEN_ACCOUNTS, [at, *_new_accounts(new)]))
    if buffered:
        result.append((_ADD_DELTAS, _changes(buffered)[:3]))
    result.append((_INSERT_JOURNALS, [*_journals(booking.posted), at]))
    result.append((_INSERT_ENTRIES, _entries(booking.posted)))
    return result


def _changes(accounts: Sequence[Running]) -> list[list[Any]]:
    return [
        [one.known.shard for one in accounts],
        [one.known.id for one in accounts],
        [one.delta for one in accounts],
        [one.changes for one in accounts],
    ]


def _new_accounts(accounts: Sequence[Running]) -> list[list[Any]]:
    rows = [
        (
            one.known.shard, one.known.id, *one.context, one.changes, one.known.subject.name,
            one.known.owner, one.known.subject.normal_side.value, one.balance,
            one.known.currency, one.minimum, one.maximum,
        )
        for one in accounts
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


def _journals(posted: Sequence[tuple[Asked, date]]) -> list[list[Any]]:
    rows = [
        (one.shard, one.id, *one.context, one.event_type, one.business_key, one.digest, day)
        for one, day in sorted(posted, key=lambda one: one[0].id)
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _entries(posted: Sequence[tuple[Asked, date]]) -> list[list[Any]]:
    rows = [
        (
            account.shard, one.id, line, account.id, _SIDE[debit], minor, account.currency,
            reference,
        )
        for one, _ in posted
        for line, (account, debit, minor, reference) in enumerate(one.legs, start=1)
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]
