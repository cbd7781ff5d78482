"""Which chains are at rest: between services only those can be compared that do not move."""

from __future__ import annotations

from collections.abc import Sequence

from paymesh_ops.check.model import Finding
from paymesh_ops.check.snapshots import SERVICES, Snapshots

_KIN = {
    service: f"""
        WITH family AS (
            SELECT parent_business_id AS id FROM {table}
            WHERE business_id = ANY(%(ids)s) AND parent_business_id <> ''
            UNION SELECT unnest(%(ids)s::text[]))
        SELECT DISTINCT business_id, parent_business_id FROM {table}
        WHERE parent_business_id IN (SELECT id FROM family)
    """
    for service, table in (("trade", "refund"), ("pay", "payment"))
}
"""The chains that have one of these as their parent, or share a parent with one of them."""

_BUSY = """
    SELECT DISTINCT business_id FROM outbox
    WHERE business_id = ANY(%(ids)s) AND NOT starts_with(type, 'trade.notification.')
        AND (occurred_at > now() - make_interval(secs => %(grace)s)
            OR (shard_key, event_id) IN (SELECT shard_key, event_id FROM outbox_due))
"""
_BUSY_LEDGER = """
    SELECT DISTINCT business_id FROM journal WHERE business_id = ANY(%(ids)s)
        AND posted_at > now() - make_interval(secs => %(grace)s)
"""


async def at_rest(findings: Sequence[Finding], s: Snapshots, grace_s: float) -> list[Finding]:
    """Without those of chains that moved within the grace period, or have something to be sent.

    A refund is a chain of its own whose parent is its trade's: if one of them moves, all are busy.
    """
    doubted = {finding.business_id for finding in findings if not finding.exact} - {""}
    if not doubted:
        return list(findings)
    families = await _families(sorted(doubted), s)
    members = sorted({member for family in families.values() for member in family})
    busy: set[str] = set()
    for service in SERVICES:
        queries = (_BUSY, _BUSY_LEDGER) if service == "clearing" else (_BUSY,)
        for sql in queries:
            rows = await s.rows(service, sql, ids=members, grace=grace_s)
            busy.update(row["business_id"] for row in rows)
    return [
        finding
        for finding in findings
        if finding.exact or busy.isdisjoint(families.get(finding.business_id, ()))
    ]


async def _families(ids: Sequence[str], s: Snapshots) -> dict[str, set[str]]:
    """By chain: itself, its parent, its children, and the other children of its parent."""
    parents: dict[str, str] = {}
    for service, sql in _KIN.items():
        for row in await s.rows(service, sql, ids=ids):
            parents[row["business_id"]] = row["parent_business_id"]
    by_head: dict[str, set[str]] = {}
    for member in {*ids, *parents}:
        head = parents.get(member, member)
        by_head.setdefault(head, {head}).add(member)
    return {id_: by_head[parents.get(id_, id_)] for id_ in ids}
