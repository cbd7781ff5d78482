"""What a batch of journals reads and writes: SQL, and a column an array."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any

from clearing_svc.ledger.bulk import (
    Booking,
    JournalRequest,
    WorkingBalance,
)
from paymesh.money import MINOR_UNITS_MAX

_SIDE = {True: "DEBIT", False: "CREDIT"}

_NEEDED = "t.id, t.mode, t.balance_minor, t.held_minor, t.minimum_minor, t.maximum_minor, t.status"
# The transaction gets its number before it reads any mode: so whoever waits for all transactions of
# earlier numbers (see clearing_svc.draining) waits for it, if it reads that an account is BUFFERED.
# And plans that are made once: arrays differ from batch to batch, the way to the rows does not.
BEGIN = (
    "SELECT last_closed_day(), clock_timestamp(), pg_current_xact_id(), "
    "set_config('plan_cache_mode', 'force_generic_plan', true)"
)
BEGIN_IN_ONE_FLIGHT = (
    "SELECT now(), 1 / (coalesce(last_closed_day() < %s::date, true) "
    "AND (now() AT TIME ZONE 'UTC')::date = %s::date)::int, pg_current_xact_id(), "
    "set_config('plan_cache_mode', 'force_generic_plan', true)"
)
LOCK = (
    f"SELECT {_NEEDED} FROM account t "
    "JOIN unnest(%s::smallint[], %s::text[]) AS k(shard_key, id) "
    "ON t.shard_key = k.shard_key AND t.id = k.id "
    "WHERE t.mode <> 'BUFFERED' OR t.id = ANY (%s::text[]) "
    "ORDER BY t.shard_key, t.id FOR NO KEY UPDATE OF t"
)
READ_BUFFERED = (
    f"SELECT {_NEEDED} FROM account t WHERE t.mode <> 'DIRECT' AND t.id = ANY (%s::text[]) "
    "AND t.id <> ALL (%s::text[])"
)
READ_BEFORE = (
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


INSERT_JOURNALS = (
    f"INSERT INTO journal (shard_key, id, {_CONTEXT}, event_type, business_key, digest, "
    "accounting_date, reverses, template_version, posted_at, posting) "
    f"SELECT {_rows('smallint', *['text'] * 11, 'date')}, '', 0, coalesce(%s::timestamptz, now()), "
    "(SELECT pg_current_xact_id()::text::bigint)"  # once, not for each row
)
INSERT_ENTRIES = (
    "INSERT INTO entry (shard_key, journal_id, line, account_id, side, amount_minor, "
    "amount_currency, reference) "
    f"SELECT {_rows('smallint', 'text', 'bigint', 'text', 'text', 'bigint', 'text', 'text')}"
)
CHANGE_ACCOUNTS = (
    "WITH u AS (UPDATE account t SET balance_minor = t.balance_minor + v.delta, "
    "version = t.version + v.changes "
    "FROM unnest(%s::smallint[], %s::text[], %s::bigint[], %s::bigint[]) "
    "AS v(shard_key, id, delta, changes) "
    "WHERE t.shard_key = v.shard_key AND t.id = v.id RETURNING 1) "
    "SELECT 1 / (count(*) = %s)::int FROM u"
)
CHANGE_WITHIN_LIMITS = (
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
OPEN_ACCOUNTS = (
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
ADD_DELTAS = (
    "INSERT INTO account_delta (shard_key, account_id, delta_minor) "
    "SELECT * FROM unnest(%s::smallint[], %s::text[], %s::bigint[])"
)


def statements(booking: Booking, at: datetime) -> list[tuple[str, Sequence[Any]]]:
    """What the batch writes: rows that others may be inserting, too, in the order of their ids, as
    everywhere, so no two batches deadlock."""
    changed = sorted(booking.changed, key=attrgetter("key.id"))
    direct = [one for one in changed if not one.context and not one.buffered]
    buffered = [one for one in changed if one.buffered]
    new = [one for one in changed if one.context]
    result: list[tuple[str, Sequence[Any]]] = []
    if direct:
        result.append((CHANGE_ACCOUNTS, [*_changes(direct), len(direct)]))
    if new:
        result.append((OPEN_ACCOUNTS, [at, *_new_accounts(new)]))
    if buffered:
        result.append((ADD_DELTAS, _changes(buffered)[:3]))
    result.append((INSERT_JOURNALS, [*journal_columns(booking.posted), at]))
    result.append((INSERT_ENTRIES, entry_columns(booking.posted)))
    return result


def _changes(accounts: Sequence[WorkingBalance]) -> list[list[Any]]:
    return [
        [one.key.shard for one in accounts],
        [one.key.id for one in accounts],
        [one.delta for one in accounts],
        [one.changes for one in accounts],
    ]


def _new_accounts(accounts: Sequence[WorkingBalance]) -> list[list[Any]]:
    rows = [
        (
            one.key.shard, one.key.id, *one.context, one.changes, one.key.subject.name,
            one.key.owner, one.key.subject.normal_side.value, one.balance,
            one.key.currency, one.minimum, one.maximum,
        )
        for one in accounts
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


def journal_columns(posted: Sequence[tuple[JournalRequest, date]]) -> list[list[Any]]:
    rows = [
        (one.shard, one.id, *one.context, one.event_type, one.business_key, one.digest, day)
        for one, day in sorted(posted, key=lambda one: one[0].id)
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def entry_columns(posted: Sequence[tuple[JournalRequest, date]]) -> list[list[Any]]:
    rows = [
        (
            account.shard, one.id, line, account.id, _SIDE[debit], minor, account.currency,
            reference,
        )
        for one, _ in posted
        for line, (account, debit, minor, reference) in enumerate(one.entries, start=1)
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]
