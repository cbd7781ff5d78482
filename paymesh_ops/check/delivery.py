"""Invariants of what comes once: numbers, answers, messages, callbacks: 10, 11, 13, 16, 19."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from paymesh.bus.topology import Topology
from paymesh.bus.topology.model import EVENTS_EXCHANGE
from paymesh.db.migrate import ROOT
from paymesh_ops.check.model import Findings, Options, each, found
from paymesh_ops.check.moves import HISTORY_DAYS
from paymesh_ops.check.snapshots import SERVICES, Row, Snapshots, merged

_TWICE = (
    ("gateway", "a channel transaction belongs to two orders", """
        SELECT array_agg(id ORDER BY id) AS orders, channel, pay_org_no, kind, channel_txn_id,
            min(business_id) AS business_id
        FROM channel_order WHERE channel_txn_id <> ''
        GROUP BY channel, pay_org_no, kind, channel_txn_id HAVING count(*) > 1 LIMIT 200"""),
    ("gateway", "a request_no belongs to two channel orders", """
        SELECT array_agg(id ORDER BY id) AS orders, channel, pay_org_no, request_no,
            min(business_id) AS business_id
        FROM channel_order GROUP BY channel, pay_org_no, request_no
        HAVING count(*) > 1 LIMIT 200"""),
    ("pay", "a request_no belongs to two instructions", """
        SELECT array_agg(id ORDER BY id) AS instructions, request_no,
            min(business_id) AS business_id
        FROM instruction GROUP BY request_no HAVING count(*) > 1 LIMIT 200"""),
    ("trade", "a merchant's order has two trades", """
        SELECT array_agg(id ORDER BY id) AS trades, merchant_id, order_type, sub_type,
            merchant_order_no, min(business_id) AS business_id
        FROM trade GROUP BY merchant_id, order_type, sub_type, merchant_order_no
        HAVING count(*) > 1 LIMIT 200"""),
)  # fmt: skip

_ANSWERED_TWICE = """
    SELECT request_id, scope, count(*) AS answers, count(DISTINCT request_hash) AS hashes
    FROM request_answer GROUP BY scope, request_id HAVING count(*) > 1 ORDER BY 1 LIMIT 200
"""

_HEARD_TWICE = """
    SELECT message_id, consumer, count(*) AS times
    FROM inbox GROUP BY consumer, message_id HAVING count(*) > 1 ORDER BY 1 LIMIT 200
"""

_PUBLISHED = """
    SELECT o.event_id COLLATE "C" AS key, o.event_id, o.type, o.occurred_at, o.business_id,
        d.event_id IS NULL
            AND o.occurred_at < now() - make_interval(secs => %(grace)s) AS arrived
    FROM outbox o LEFT JOIN outbox_due d
        ON d.shard_key = o.shard_key AND d.event_id = o.event_id
    WHERE o.published AND o.type = ANY(%(types)s) ORDER BY 1
"""

_TYPES = "SELECT DISTINCT type FROM outbox WHERE published"

_HEARD = """
    SELECT message_id COLLATE "C" AS key, message_id, consumer, created_at,
        created_at < now() - make_interval(secs => %(grace)s)
            AND created_at > now() - make_interval(days => %(days)s) AS is_old
    FROM inbox WHERE consumer = %(queue)s ORDER BY 1
"""

_CALLBACKS = """
    SELECT coalesce(c.callback_id, i.message_id) AS callback_id,
        coalesce(i.consumer, 'callback.' || c.channel) AS consumer, c.id AS callback,
        i.message_id AS inbox, c.request_no,
        coalesce(nullif(c.business_id, ''), o.business_id, '') AS business_id
    FROM callback c
    FULL JOIN (SELECT consumer, message_id FROM inbox WHERE starts_with(consumer, 'callback.')) i
        ON i.consumer = 'callback.' || c.channel AND i.message_id = c.callback_id
    LEFT JOIN channel_order o ON o.channel = c.channel AND o.request_no = c.request_no
    WHERE c.id IS NULL OR (i.message_id IS NULL AND c.matched) ORDER BY 1 LIMIT 200
"""

_ORDERS = """
    SELECT request_no COLLATE "C" AS key, id, kind, state, moved_amount_minor AS minor,
        business_id
    FROM channel_order
    WHERE channel = 'sandbox' AND state IN ('SUCCEEDED', 'FAILED', 'CLOSED', 'BOUNCED') ORDER BY 1
"""


_USED_WITH = """
    SELECT substring(shobj_description(oid, 'pg_database') FROM '^sandbox (.*)') AS book
    FROM pg_database WHERE datname = current_database()
"""


async def numbers_are_unique(s: Snapshots, o: Options) -> Findings:
    """10: one order per channel transaction, per request_no, per merchant's order."""
    what = "One of the two is not ours to count: ask the channel, return what came twice."
    for service, title, sql in _TWICE:
        yield each(10, title, await s.rows(service, sql), what)


async def requests_have_one_answer(s: Snapshots, o: Options) -> Findings:
    """11: a request_id has one answer in its scope."""
    what = "The caller may have acted on either answer: compare what both created."
    for service in SERVICES:
        rows = await s.rows(service, _ANSWERED_TWICE)
        yield each(11, f"{service} answered a request twice", rows, what)


async def events_arrive_once(s: Snapshots, o: Options) -> Findings:
    """13: what was published is in the inbox of each consumer that is bound to it, once."""
    what = "It may have counted twice: see invariants 2 and 4."
    for service in SERVICES:
        rows = await s.rows(service, _HEARD_TWICE)
        yield each(13, f"{service} has a message twice in its inbox", rows, what)
    topology = Topology.load(ROOT / "rabbitmq" / "definitions.json")
    for queue in topology.consumer_queues:
        async for missing in arrivals(s, o, queue, topology):
            if missing.published:
                what = (
                    "Look whether it is parked: `paymesh dlq list`. If it is nowhere, "
                    "`paymesh dlq lost --resend` has it sent again."
                )
                yield [found(13, f"an event did not reach {queue}", missing.published, what)]
            else:
                what = "Its sender lost what it had sent: was its database restored?"
                yield [found(13, f"{queue} heard an event that nobody has", missing.heard, what)]


@dataclass(frozen=True, slots=True)
class Missing:
    """An event on one side only: published and not heard, or heard and never published."""

    published: list[Row]
    heard: list[Row]


async def arrivals(
    s: Snapshots, o: Options, queue: str, topology: Topology
) -> AsyncIterator[Missing]:
    """The differences between what was published to a queue and its consumer's inbox."""
    sources = []
    for service in SERVICES:
        known = [row["type"] for row in await s.rows(service, _TYPES)]
        types = [t for t in known if queue in topology.route(EVENTS_EXCHANGE, t)]
        if types:
            sources.append(s.stream(service, _PUBLISHED, types=types, grace=o.grace_s))
    consumer = queue.split(".", 1)[0]
    heard = s.stream(consumer, _HEARD, queue=queue, grace=o.grace_s, days=HISTORY_DAYS)
    parked = o.parked.get(queue, set())
    async for event_id, (inbox, *published) in merged(heard, *sources):
        events = [event for group in published for event in group]
        if events and events[0]["arrived"] and not inbox and event_id not in parked:
            yield Missing(events, [])
        if inbox and inbox[0]["is_old"] and not events:
            yield Missing([], inbox)


async def callbacks_are_kept(s: Snapshots, o: Options) -> Findings:
    """19: what we answered a channel with 2xx is kept."""
    rows = await s.rows("gateway", _CALLBACKS)
    what = "Query the order at the channel: what it called back with is lost or was not deduped."
    yield each(19, "a callback and its inbox row differ", rows, what)


async def channel_agrees(s: Snapshots, o: Options) -> Findings:
    """16: what ended here has ended at the channel, in the same way."""
    if o.sandbox_book is None:
        return
    [used] = await s.rows("gateway", _USED_WITH)
    if used["book"] and o.sandbox_book.get("id", used["book"]) != used["book"]:
        title = "these databases were used with another sandbox than the one that answers"
        what = (
            "Its book was removed, or is in another folder: nothing can be compared. Set "
            "PAYMESH_HOME to the folder that they were used with, or drop the four databases."
        )
        yield each(16, title, [{**used, "answers": o.sandbox_book["id"]}], what)
        return
    theirs = _iterate(sorted(_truth(o.sandbox_book), key=lambda row: str(row["key"])))
    until = s.taken_at["gateway"] - timedelta(seconds=o.grace_s)
    async for _, (ours, booked) in merged(s.stream("gateway", _ORDERS), theirs):
        if not ours or any(row["changed_at"] > until for row in booked):
            continue  # not at its end, or its callback may still be on its way
        if not _agree(ours[0], booked):
            what = "The channel's book is the truth: query the order, it heals."
            yield [found(16, "order and channel differ", [*ours, *booked], what)]


def _agree(order: Row, booked: Sequence[Row]) -> bool:
    moved = [(row["moved"], row["minor"]) for row in booked if row["moved"]]
    if order["state"] in {"SUCCEEDED", "BOUNCED"}:
        return moved == [(order["state"], order["minor"])]
    # Of a refund that came back before we asked the channel says FAILED: for us it never moved.
    unseen = order["kind"] == "REFUND"
    return all(unseen and how == "BOUNCED" for how, _ in moved)


def _truth(book: Mapping[str, Any]) -> Iterator[Row]:
    """The channel's rows, with what each has moved in our words; empty: nothing."""
    for table, number, amount in (
        ("orders", "out_trade_no", "paid_amount"),
        ("refunds", "out_refund_no", "amount"),
        ("payouts", "out_payout_no", "amount"),
    ):
        for row in book.get(table, ()):
            succeeded, state = row.get("success_time"), row["state"]
            moved = "SUCCEEDED" if state == "SUCCESS" else ""
            if table != "orders" and state in {"FAILED", "BOUNCED"} and succeeded:
                moved = "BOUNCED"
            times = (succeeded, row.get("closed_at"), row.get("failed_time"))
            yield {
                "key": row[number],
                "state": state,
                "minor": row[amount],
                "moved": moved,
                "changed_at": max((datetime.fromisoformat(t) for t in times if t), default=_EVER),
            }


_EVER = datetime.min.replace(tzinfo=UTC)


async def _iterate(rows: Iterable[Row]) -> AsyncIterator[Row]:
    for row in rows:
        yield row
