"""Invariants of state moves and of the log that has them: 9, 12 and 18."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clearing_svc.ledger.holds import HOLD_MOVES
from clearing_svc.ledger.splitting import SPLIT_MOVES
from gateway_svc.orders.model import ENDS, ORDER_MOVES
from pay_svc.beneficiaries.domain import BENEFICIARY_MOVES
from pay_svc.payments.model import INSTRUCTION_MOVES, PAYMENT_MOVES
from paymesh.core import Moves
from paymesh_ops.check.model import Findings, Options, each
from paymesh_ops.check.snapshots import SERVICES, Snapshots
from trade_svc.merchants.domain import MERCHANT_MOVES
from trade_svc.notifications.domain import NOTIFICATION_MOVES
from trade_svc.types import TRADE_TYPES
from trade_svc.types.declaration import ATTEMPT_MOVES, REFUND_MOVES

HISTORY_DAYS = 6
"""Younger rows have their whole history in the outbox, whose days are dropped after seven."""
UNPUBLISHED_MAX_S = 60


@dataclass(frozen=True, slots=True)
class Tracked:
    """A table whose every version has an event in its service's outbox."""

    service: str
    table: str
    prefix: str
    """Of its events' types."""
    first: str
    """The state in which a row begins."""
    moves: Mapping[str, Moves]
    """By what `kind` says."""
    kind: str = "''"
    """A column of the row that selects the table of moves."""


TRACKED = (
    Tracked(
        "trade", "trade", "trade.trade.", "PENDING",
        {t.value: k.moves for t, k in TRADE_TYPES.items()}, "r.type",
    ),
    Tracked("trade", "attempt", "trade.attempt.", "PROCESSING", {"": ATTEMPT_MOVES}),
    Tracked("trade", "refund", "trade.refund.", "PROCESSING", {"": REFUND_MOVES}),
    Tracked("trade", "notification", "trade.notification.", "PENDING", {"": NOTIFICATION_MOVES}),
    Tracked("trade", "merchant", "trade.merchant.", "ACTIVE", {"": MERCHANT_MOVES}),
    Tracked("pay", "payment", "pay.payment.", "PROCESSING", {"": PAYMENT_MOVES}),
    Tracked("pay", "instruction", "pay.instruction.", "PROCESSING", {"": INSTRUCTION_MOVES}),
    Tracked("pay", "beneficiary", "pay.beneficiary.", "ACTIVE", {"": BENEFICIARY_MOVES}),
    Tracked(
        "gateway", "channel_order", "gateway.channel.", "PENDING",
        {kind.value: moves for kind, moves in ORDER_MOVES.items()}, "r.kind",
    ),
    Tracked("clearing", "hold", "clearing.hold.", "HELD", {"": HOLD_MOVES}),
    Tracked("clearing", "split_journal", "clearing.split.", "DEBITING", {"": SPLIT_MOVES}),
)  # fmt: skip

_ILLEGAL = """
    WITH legal AS (
        SELECT * FROM unnest(%(kinds)s::text[], %(froms)s::text[], %(tos)s::text[])
            AS l(kind, before, after)),
    step AS (
        SELECT aggregate_id, business_id, type, sequence, state,
            lag(state) OVER one AS before, lag(sequence) OVER one AS before_sequence
        FROM outbox WHERE starts_with(type, %(prefix)s)
        WINDOW one AS (PARTITION BY aggregate_id ORDER BY sequence, occurred_at))
    SELECT s.aggregate_id AS id, s.type AS event, s.before_sequence, s.before, s.sequence, s.state,
        s.business_id
    FROM step s LEFT JOIN {table} r ON r.id = s.aggregate_id
    WHERE (s.sequence = 1 AND s.state <> %(first)s)
        OR s.sequence <> s.before_sequence + 1
        OR (s.before IS NOT NULL AND NOT EXISTS (
            SELECT FROM legal l
            WHERE l.kind = {kind} AND l.before = s.before AND l.after = s.state))
    ORDER BY 1, s.sequence LIMIT 200
"""

_UNTOLD = """
    WITH log AS (
        SELECT aggregate_id, min(business_id) AS business_id, max(sequence) AS last,
            min(sequence) AS first, count(*) AS events,
            (array_agg(state ORDER BY sequence DESC))[1] AS state
        FROM outbox WHERE starts_with(type, %(prefix)s) GROUP BY aggregate_id)
    SELECT coalesce(r.id, l.aggregate_id) AS id, r.version, r.state, l.last AS last_sequence,
        l.state AS last_state, l.first AS first_sequence, l.events,
        coalesce(r.business_id, l.business_id) AS business_id
    FROM {table} r FULL JOIN log l ON l.aggregate_id = r.id
    WHERE r.id IS NULL OR l.last <> r.version OR l.state <> r.state
        OR l.events <> l.last - l.first + 1
        OR (coalesce(l.first, 2) > 1 AND r.created_at > now() - make_interval(days => %(days)s))
    ORDER BY 1 LIMIT 200
"""

_OVERDUE = """
    SELECT d.event_id, o.type, d.occurred_at, o.business_id
    FROM outbox_due d LEFT JOIN outbox o
        ON (o.shard_key, o.occurred_at, o.event_id) = (d.shard_key, d.occurred_at, d.event_id)
    WHERE d.occurred_at < now() - make_interval(secs => %(seconds)s)
    ORDER BY d.occurred_at LIMIT 200
"""

_UNOWNED = {
    "trade": (
        """
        SELECT t.id, t.state, t.business_id FROM trade t
        WHERE t.next_action_at IS NULL AND (t.state = ANY(%(unpaid)s) OR EXISTS (
            SELECT FROM attempt a WHERE a.shard_key = t.shard_key AND a.trade_id = t.id
                AND a.state IN ('PROCESSING', 'CLOSING', 'RETURNING')))
        ORDER BY 1 LIMIT 200
        """,
        """
        SELECT r.id, r.state, r.business_id FROM refund r
        LEFT JOIN trade t ON t.shard_key = r.shard_key AND t.id = r.trade_id
        WHERE r.state = 'PROCESSING' AND t.next_action_at IS NULL ORDER BY 1 LIMIT 200
        """,
        """
        SELECT s.id, n.state, s.business_id FROM notification_stream s
        JOIN notification n ON n.shard_key = s.shard_key AND n.stream_id = s.id
        WHERE s.next_action_at IS NULL AND n.state = 'PENDING' ORDER BY 1 LIMIT 200
        """,
    ),
    "pay": (
        """
        SELECT id, state, business_id FROM payment
        WHERE state IN ('PROCESSING', 'CLOSING', 'RETURNING', 'SUSPENDED')
            AND next_action_at IS NULL AND owner = '' ORDER BY 1 LIMIT 200
        """,
        """
        SELECT i.id, i.state, i.business_id FROM instruction i
        LEFT JOIN payment p ON p.shard_key = i.shard_key AND p.id = i.payment_id
        WHERE i.state IN ('PROCESSING', 'CLOSING') AND coalesce(p.state, '') NOT IN
            ('PROCESSING', 'CLOSING', 'RETURNING', 'SUSPENDED') ORDER BY 1 LIMIT 200
        """,
    ),
    "gateway": (
        """
        SELECT id, state, business_id FROM channel_order
        WHERE state <> ALL(%(ends)s) AND next_action_at IS NULL ORDER BY 1 LIMIT 200
        """,
    ),
    "clearing": (
        """
        SELECT id, state, business_id FROM split_journal
        WHERE state NOT IN ('POSTED', 'REFUSED') AND next_action_at IS NULL ORDER BY 1 LIMIT 200
        """,
        """
        SELECT id, state, business_id FROM hold
        WHERE state = 'HELD' AND expires_at IS NOT NULL AND next_action_at IS NULL
        ORDER BY 1 LIMIT 200
        """,
        """
        SELECT id, 'KEPT' AS state, business_id FROM returns_payable
        WHERE parts <> '[]' AND next_action_at IS NULL ORDER BY 1 LIMIT 200
        """,
    ),
}


async def moves_are_legal(s: Snapshots, o: Options) -> Findings:
    """9: every move is in the domain's table of moves, each version follows the one before."""
    what = "Read `paymesh trace`; find the write that went past the rules (no CAS, or by hand)."
    for t in TRACKED:
        legal = [
            (kind, str(before), str(after))
            for kind, moves in t.moves.items()
            for before, afters in moves.items()
            for after in afters
        ]
        kinds, froms, tos = (list(column) for column in zip(*legal, strict=True))
        sql = _ILLEGAL.format(table=t.table, kind=t.kind)
        rows = await s.rows(
            t.service, sql, prefix=t.prefix, first=t.first, kinds=kinds, froms=froms, tos=tos
        )
        yield each(9, f"an illegal move of {_a(t.table)}", rows, what)


async def versions_are_told(s: Snapshots, o: Options) -> Findings:
    """12: the log ends at each row's version, has no gap, and is published within a minute."""
    what = "The row and its log part ways: trust neither, compare both with the other services."
    for t in TRACKED:
        sql = _UNTOLD.format(table=t.table)
        rows = await s.rows(t.service, sql, prefix=t.prefix, days=HISTORY_DAYS)
        yield each(12, f"{_a(t.table)} and its log differ", rows, what)
    for service in SERVICES:
        rows = await s.rows(service, _OVERDUE, seconds=UNPUBLISHED_MAX_S)
        what = f"Is the broker there, is {service}-work running? The relay sends it once they are."
        yield each(12, f"an event of {service} is unpublished for too long", rows, what)


async def everything_has_an_owner(s: Snapshots, o: Options) -> Findings:
    """18: what is not at its end has a next action or a named owner."""
    closable = {str(state) for kind in TRADE_TYPES.values() for state in kind.closable}
    unpaid = sorted({"BOOKING", *closable})
    ends = [str(state) for state in ENDS]
    what = "Nobody will ever look at it: set next_action_at = now(), its sweeper does the rest."
    for service, queries in _UNOWNED.items():
        for sql in queries:
            rows = await s.rows(service, sql, unpaid=unpaid, ends=ends)
            yield each(18, f"nobody looks after a row of {service}", rows, what)


def _a(table: str) -> str:
    article = "an" if table[0] in "aeio" else "a"
    return f"{article} {table.replace('_', ' ')}"
