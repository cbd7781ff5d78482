"""Invariant 17, as far as there is something to check: the two walls around what was booked."""

from __future__ import annotations

from paymesh.check.model import Findings, Options, each
from paymesh.check.snapshots import Snapshots

_MAY_CHANGE = """
    SELECT r.rolname AS role, t.name AS table, string_agg(p.name, ', ' ORDER BY p.name) AS may
    FROM unnest(ARRAY['entry', 'journal']) AS t(name) JOIN pg_class c ON c.oid = t.name::regclass,
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
    FROM unnest(ARRAY['entry', 'journal']) AS t(name),
        (VALUES ('DELETE', 8), ('UPDATE', 16), ('TRUNCATE', 32)) AS p(name, bit)
    WHERE NOT EXISTS (
        SELECT FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
        WHERE g.tgrelid = t.name::regclass AND g.tgenabled = 'A'
            AND g.tgtype & 2 = 2 AND g.tgtype & p.bit = p.bit
            AND g.tgqual IS NULL AND f.prosrc ~ 'RAISE EXCEPTION')
    ORDER BY 1, 2
"""
"""A trigger that is ENABLE ALWAYS, BEFORE, without a condition, whose function refuses."""


async def booked_is_booked(s: Snapshots, o: Options) -> Findings:
    """17: only the owner could change journals and entries, and triggers refuse even that."""
    what = "Revoke it (REVOKE UPDATE, DELETE, TRUNCATE ON journal, entry FROM the role)."
    rows = await s.rows("clearing", _MAY_CHANGE)
    yield each(17, "a role may change what was booked", rows, what)
    what = "Make the trigger <table>_append_only again, ENABLE ALWAYS, as the migrations do."
    rows = await s.rows("clearing", _UNGUARDED)
    yield each(17, "no trigger refuses to change what was booked", rows, what)
