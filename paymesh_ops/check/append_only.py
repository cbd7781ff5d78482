"""Invariant 17: what was booked cannot be changed, and what vouches for it cannot be, either."""

from __future__ import annotations

from clearing_svc.books.verify import first_of_last, verify
from paymesh_ops.check.model import Check, Findings, Options, each
from paymesh_ops.check.snapshots import Snapshots

TABLES = [
    *("journal", "entry", "block", "accounting_day", "balance_snapshot", "day_total"),
    "ledger_act",
]
"""Those of the ledger to which rows are only ever added."""
VERIFIED_JOURNALS_MAX = 50_000
"""So many take about two seconds."""

_MAY_CHANGE = """
    SELECT r.rolname AS role, t.name AS table, string_agg(p.name, ', ' ORDER BY p.name) AS may
    FROM unnest(%(tables)s::text[]) AS t(name) JOIN pg_class c ON c.oid = t.name::regclass,
        pg_roles r, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS p(name)
    WHERE r.oid <> c.relowner AND r.rolcanlogin
        AND NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb)
        AND (has_table_privilege(r.oid, c.oid, p.name)
            OR (p.name = 'UPDATE' AND has_any_column_privilege(r.oid, c.oid, 'UPDATE')))
    GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 200
"""
"""By itself, as a member of another role, or as everybody. Administrators are let be: who can make
roles and databases can give itself any right."""

_UNGUARDED = """
    SELECT t.name AS table, p.name AS act
    FROM unnest(%(tables)s::text[]) AS t(name),
        (VALUES ('DELETE', 8), ('UPDATE', 16), ('TRUNCATE', 32)) AS p(name, bit)
    WHERE NOT EXISTS (
        SELECT FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
        WHERE g.tgrelid = t.name::regclass AND g.tgenabled = 'A'
            AND g.tgtype & 2 = 2 AND g.tgtype & p.bit = p.bit
            AND g.tgqual IS NULL AND f.prosrc ~ 'RAISE EXCEPTION')
    ORDER BY 1, 2
"""
"""A trigger that is ENABLE ALWAYS, BEFORE, without a condition, whose function refuses."""


async def walls_stand(s: Snapshots, o: Options) -> Findings:
    """Only the owner could change these tables, and triggers refuse even that."""
    what = "Revoke it (REVOKE UPDATE, DELETE, TRUNCATE ON the table FROM the role)."
    rows = await s.rows("clearing", _MAY_CHANGE, tables=TABLES)
    yield each(17, "a role may change what was booked", rows, what)
    what = "Make the trigger <table>_append_only again, ENABLE ALWAYS, as the migrations do."
    rows = await s.rows("clearing", _UNGUARDED, tables=TABLES)
    yield each(17, "no trigger refuses to change what was booked", rows, what)


async def chain_holds(s: Snapshots, o: Options) -> Findings:
    """The last blocks of the hash chain are as they were sealed, and nothing waits to be. All of
    them are verified by `paymesh ledger verify`."""
    connection = s.connection("clearing")
    first = await first_of_last(connection, VERIFIED_JOURNALS_MAX)
    async for damage in verify(connection, o.say, first=first):
        yield each(17, damage.title, [dict(damage.facts)], damage.what_to_do)


_PARTS: tuple[Check, ...] = (walls_stand, chain_holds)
"""Each looks in its own way whether anything was changed, or could be."""


async def booked_is_booked(s: Snapshots, o: Options) -> Findings:
    """17: what was booked stays as it was."""
    for part in _PARTS:
        async for some in part(s, o):
            yield some
