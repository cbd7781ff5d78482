"""The story of one chain: every move, callback, notification and journal of a business_id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from paymesh.money import Money
from paymesh.text import escape, plain
from paymesh_ops.check.snapshots import SERVICES, Row, Snapshots, snapshots

WIDTH_OF_ID = 32
WIDTH_OF_ACCOUNT, WIDTH_OF_AMOUNT = 33, 13
"""So that the journals' columns stand below each other."""


class UnknownBusinessId(LookupError):
    """No service has anything under this business_id."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline: a state move, or a callback that came in."""

    at: datetime
    service: str
    kind: str
    id: str
    event: str
    state: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal."""

    account: str
    side: str
    amount: Money
    reference: str


@dataclass(frozen=True, slots=True)
class Journal:
    """One journal with its entries, in their order."""

    id: str
    event_type: str
    posted_at: datetime
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Notification:
    """What a merchant was told, or is to be told."""

    state: str
    body: str
    last_error: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Refund:
    """A chain of its own, below its trade's."""

    business_id: str
    amount: Money
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Story:
    """All that the four services know of one chain."""

    business_id: str
    merchant_id: str
    order_no: str
    subject: str
    amount: Money | None
    state: str
    moments: tuple[Moment, ...]
    notifications: tuple[Notification, ...]
    journals: tuple[Journal, ...]
    parent: str = ""
    """The business_id of the chain that this one belongs to, such as a refund's to its trade's."""
    refund: Refund | None = None
    """What this chain is, if it is a refund."""
    refunds: tuple[Refund, ...] = ()
    """Those of its trade, oldest first: each has a story of its own."""


_MOVES = """
    SELECT occurred_at, type, aggregate_id, state, sequence, parent_business_id FROM outbox
    WHERE business_id = %(id)s ORDER BY occurred_at, sequence
"""
_CALLBACKS = """
    SELECT c.id, c.channel, c.callback_id, c.matched, c.received_at, to_jsonb(c) AS whole
    FROM callback c
    WHERE c.business_id = %(id)s OR c.request_no IN (
        SELECT o.request_no FROM channel_order o WHERE o.business_id = %(id)s)
    ORDER BY c.received_at, c.id
"""
_TRADE = """
    SELECT merchant_id, merchant_order_no, subject, amount_minor, amount_currency, state
    FROM trade WHERE business_id = %(id)s ORDER BY created_at LIMIT 1
"""
_REFUNDS = """
    SELECT business_id, amount_minor, amount_currency, state, reason FROM refund
    WHERE (shard_key, trade_id) IN (SELECT shard_key, id FROM trade WHERE business_id = %(id)s)
    ORDER BY created_at, id
"""
_REFUND = """
    SELECT business_id, amount_minor, amount_currency, state, reason FROM refund
    WHERE business_id = %(id)s
"""
_NOTIFICATIONS = """
    SELECT state, body, last_error, created_at FROM notification
    WHERE business_id = %(id)s ORDER BY stream_id, sequence
"""
_JOURNALS = """
    SELECT j.id, j.event_type, j.posted_at, b.account_id, b.subject, b.owner, b.side,
        b.amount_minor, b.amount_currency, b.reference
    FROM journal j LEFT JOIN booking b ON b.journal_id = j.id
    WHERE j.business_id = %(id)s ORDER BY j.posted_at, j.id, b.line
"""
_ID_OF = "SELECT business_id FROM outbox WHERE aggregate_id = %(id)s LIMIT 1"


async def story(reader_urls: Mapping[str, str], business_id: str) -> Story:
    """Everything about a chain. The id of a trade, payment or channel order does, too.

    Raises UnknownBusinessId, DatabaseUnreadable.
    """
    async with snapshots(reader_urls) as s:
        story = await _story(s, business_id)
        if story is None:
            for service in SERVICES:
                for row in await s.rows(service, _ID_OF, id=business_id):
                    story = story or await _story(s, row["business_id"])
    if story is None:
        raise UnknownBusinessId(
            f"no service knows the business_id {business_id!r}. It is in the answer of "
            "CreateTrade and in every log line; ids of trades and payments are understood, too."
        )
    return story


async def _story(s: Snapshots, business_id: str) -> Story | None:
    moments = []
    parents: set[str] = set()
    for service in SERVICES:
        for row in await s.rows(service, _MOVES, id=business_id):
            kind = row["type"].split(".")[1]
            parents.add(row["parent_business_id"])
            moments.append(
                Moment(row["occurred_at"], service, kind, row["aggregate_id"], row["type"],
                       row["state"])
            )  # fmt: skip
    moments += [_callback(row) for row in await s.rows("gateway", _CALLBACKS, id=business_id)]
    journals = _journals(await s.rows("clearing", _JOURNALS, id=business_id))
    trades = await s.rows("trade", _TRADE, id=business_id)
    notifications = await s.rows("trade", _NOTIFICATIONS, id=business_id)
    if not (moments or journals or trades or notifications):
        return None
    trade = trades[0] if trades else {}
    amount = Money(trade["amount_currency"], trade["amount_minor"]) if trade else None
    return Story(
        business_id=business_id,
        merchant_id=trade.get("merchant_id", ""),
        order_no=trade.get("merchant_order_no", ""),
        subject=trade.get("subject", ""),
        amount=amount,
        state=trade.get("state", ""),
        moments=tuple(sorted(moments, key=lambda moment: moment.at)),  # keeps each log's order
        notifications=tuple(Notification(**row) for row in notifications),
        journals=tuple(journals),
        parent=max(parents, default=""),
        refund=next(iter(await _refunds(s, _REFUND, business_id)), None),
        refunds=tuple(await _refunds(s, _REFUNDS, business_id)),
    )


async def _refunds(s: Snapshots, sql: str, business_id: str) -> list[Refund]:
    return [
        Refund(
            row["business_id"],
            Money(row["amount_currency"], row["amount_minor"]),
            row["state"],
            row["reason"],
        )
        for row in await s.rows("trade", sql, id=business_id)
    ]


def _callback(row: Row) -> Moment:
    """What it reported is in a column whose name depends on the gateway's version."""
    said = row["whole"].get("result") or row["whole"].get("reported") or ""
    state = said if row["matched"] else f"{said} unmatched"
    name = f"callback of {row['channel']}"
    return Moment(row["received_at"], "gateway", "callback", row["id"], name, state)


def _journals(rows: list[Row]) -> list[Journal]:
    entries: dict[str, list[Entry]] = {}
    heads: dict[str, Row] = {}
    for row in rows:
        heads[row["id"]] = row
        lines = entries.setdefault(row["id"], [])
        if row["side"] is not None:
            money = Money(row["amount_currency"], row["amount_minor"])
            named = row["subject"] is not None
            account = f"{row['subject']} · {row['owner']}" if named else row["account_id"]
            lines.append(Entry(account, row["side"], money, row["reference"]))
    return [
        Journal(id_, row["event_type"], row["posted_at"], tuple(entries[id_]))
        for id_, row in heads.items()
    ]


# Printing

_COLOURS = {
    **dict.fromkeys(("SUCCEEDED", "PAID", "DELIVERED"), "green"),
    **dict.fromkeys(("FAILED", "DEAD", "SUSPENDED"), "red"),
    **dict.fromkeys(("CLOSED", "RETURNED"), "yellow"),
}


def print_story(console: Console, story: Story) -> None:
    """Header, timeline, notifications, journals: for a terminal of 100 columns."""
    _print_header(console, story)
    _print_timeline(console, story)
    for n in story.notifications:
        error = f"[dim]{escape(n.last_error)}[/]"
        console.print(f"\n[bold]Notification[/]  {_coloured(n.state)}  {error}")
        body = plain(_pretty(n.body), lines=True)
        console.print(body, style="dim", markup=False, highlight=False)
    for journal in story.journals:
        console.print()
        _print_journal(console, journal)


def _print_header(console: Console, story: Story) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("business_id", f"[bold cyan]{escape(story.business_id)}[/]")
    if story.amount is not None:
        table.add_row("order", f"{escape(story.order_no)} of {escape(story.merchant_id)}")
        table.add_row("for", escape(story.subject))
        table.add_row("amount", f"[bold]{story.amount}[/]  {_coloured(story.state)}")
    if story.parent:
        table.add_row(
            "refund of" if story.refund else "part of", f"[cyan]{escape(story.parent)}[/]"
        )
    if story.refund is not None:
        table.add_row("for", escape(story.refund.reason))
        table.add_row("amount", _amount_of(story.refund))
    for refund in story.refunds:
        chain = f"[cyan]{escape(refund.business_id)}[/]"
        table.add_row("refund", f"{chain}  {_amount_of(refund)}")
    console.print(table)


def _amount_of(refund: Refund) -> str:
    return f"[bold]{refund.amount}[/]  {_coloured(refund.state)}"


def _print_timeline(console: Console, story: Story) -> None:
    if not story.moments:
        return
    start = story.moments[0].at
    console.print(f"\n[bold]Timeline[/]  [dim]from {start:%Y-%m-%d %H:%M:%S.%f%z}[/]")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("service", no_wrap=True)
    table.add_column("event", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("id", style="dim", no_wrap=True, min_width=WIDTH_OF_ID)
    for m in story.moments:
        ms = (m.at - start).total_seconds() * 1000
        name = m.event.removeprefix(f"{m.service}.")
        table.add_row(f"{ms:,.0f}", m.service, escape(name), _coloured(m.state), escape(m.id))
    console.print(table)


def _print_journal(console: Console, journal: Journal) -> None:
    """Debits left, credits right, and below both their equal sums."""
    console.print(f"[bold]{escape(journal.event_type)}[/]  [dim]{escape(journal.id)}[/]")
    table = Table(box=None, pad_edge=False, header_style="dim", show_footer=True)
    sums = {"DEBIT": _sum(journal, "DEBIT"), "CREDIT": _sum(journal, "CREDIT")}
    balanced = sums["DEBIT"] == sums["CREDIT"]
    table.add_column("account", "total" if balanced else "[red]does not balance[/]",
                     footer_style="dim", overflow="fold", width=WIDTH_OF_ACCOUNT)  # fmt: skip
    table.add_column("reference", style="dim", overflow="fold", width=WIDTH_OF_ID)
    for side, sum_ in sums.items():
        style = "bold" if balanced else "bold red"
        table.add_column(side.lower(), sum_, footer_style=style, justify="right",
                         no_wrap=True, min_width=WIDTH_OF_AMOUNT)  # fmt: skip
    for entry in journal.entries:
        amounts = [str(entry.amount) if entry.side == side else "" for side in sums]
        table.add_row(escape(entry.account), escape(entry.reference), *amounts)
    console.print(table)


def _sum(journal: Journal, side: str) -> str:
    totals: dict[str, Money] = {}
    for entry in journal.entries:
        if entry.side == side:
            zero = Money(entry.amount.currency, 0)
            totals[zero.currency] = totals.get(zero.currency, zero) + entry.amount
    return "\n".join(str(total) for _, total in sorted(totals.items()))


def _coloured(state: str) -> str:
    colour = _COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state


def _pretty(body: str) -> str:
    try:
        data: Any = json.loads(body)
    except ValueError:
        return body
    return json.dumps(data, indent=2)
