"""An explanation on a terminal of 100 columns or more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from paymesh.money import Money
from paymesh.text import escape
from paymesh_ops.explain import Explanation, Item, Verdict


def print_explanation(console: Console, explanation: Explanation, *, limit: int) -> None:
    """The account, its `limit` oldest open items, what the others sum to, and what is left."""
    _print_header(console, explanation)
    if explanation.items:
        console.print()
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("open", justify="right", no_wrap=True)
        table.add_column("age", justify="right", no_wrap=True)
        table.add_column("since (UTC)", no_wrap=True)
        table.add_column("booked for", overflow="fold")
        table.add_column("did it happen?", overflow="fold")
        for item, verdict in explanation.items[:limit]:
            _add(table, explanation, item, verdict)
        console.print(table)
    _print_rest(console, explanation, limit)
    _print_footer(console, explanation)


def _print_header(console: Console, explanation: Explanation) -> None:
    account = explanation.account
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("account", f"[bold cyan]{escape(account.name)}[/]")
    table.add_row("", f"[dim]{account.id}, {account.normal_side.lower()} increases it[/]")
    when = (
        "now"
        if explanation.is_now
        else f"at {explanation.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    )
    table.add_row("balance", f"[bold]{explanation.balance}[/]  {when}")
    held = f"{account.held}"
    if explanation.holds and explanation.held_since is not None:
        number = "1 hold" if explanation.holds == 1 else f"{explanation.holds:,} holds"
        held += f"  by {number}, the oldest {_age(explanation.at - explanation.held_since)} old"
    table.add_row("held", held if explanation.is_now else "known for now only")
    console.print(table)


def _add(table: Table, explanation: Explanation, item: Item, verdict: Verdict) -> None:
    """What it is, and below it by which names it is found elsewhere."""
    main, others = item.main, len(item.lines) - 1
    what = escape(main.event_type or "an entry without a journal")
    if others:
        what += f"[dim], and {others} more[/]"
    happened = ("[green]✓[/] " if verdict.confirmed else "[bold red]✗[/] ") + escape(verdict.said)
    table.add_row(
        f"[bold]{Money(explanation.balance.currency, item.minor)}[/]",
        _age(explanation.at - item.since),
        f"{item.since.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        what,
        happened,
    )
    whole = sum(line.minor for line in item.lines)
    rest = "" if whole == item.minor else f"[dim]of {Money(explanation.balance.currency, whole)}[/]"
    table.add_row(rest, "", "", f"[dim]{escape(main.business_key)}[/]", "")
    table.add_row("", "", "", f"[dim]{escape(main.business_id)}[/]", "")


def _print_rest(console: Console, explanation: Explanation, limit: int) -> None:
    rest = explanation.items[limit:]
    if rest:
        total = Money(explanation.balance.currency, sum(item.minor for item, _ in rest))
        text = f"… and {len(rest):,} more, together {total}; --limit shows more"
        console.print(Padding(f"[dim]{text}[/]", (0, 0, 0, 2)))


def _print_footer(console: Console, explanation: Explanation) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    number = (
        "1 open item" if len(explanation.items) == 1 else f"{len(explanation.items):,} open items"
    )
    doubted = sum(1 for _, verdict in explanation.items if not verdict.confirmed)
    table.add_row("sum", str(explanation.sum()), f"[dim]of {number}[/]")
    if doubted:
        table.add_row(
            "of that", str(explanation.sum(confirmed=False)), f"[dim]not confirmed, {doubted}[/]"
        )
    right = explanation.unexplained.minor == 0
    style = "green" if right else "bold red"
    table.add_row(
        "unexplained",
        f"[{style}]{explanation.unexplained}[/]",
        "" if right else _advice(explanation),
    )
    console.print()
    console.print(table)


def _advice(explanation: Explanation) -> str:
    if explanation.sum() != explanation.balance:
        return "the balance is not the sum of its entries: `paymesh check`, invariant 2"
    return "booked, but it did not happen so: `paymesh trace` of the items above"


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def moment(text: str) -> datetime:
    """An ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
