"""`paymesh dlq`: what is parked, and what becomes of it."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from payments.type.v1.event_pb2 import EventBatch
from rich.table import Table

from paymesh.bus.rabbitmq.dead import RabbitDeadLetters
from paymesh.bus.topology import Topology
from paymesh.errors import PaymentError
from paymesh.process import DEFINITIONS
from paymesh.text import escape
from paymesh_ops.cli.running import amqp_url, console, fail, plan_of_running, telling
from paymesh_ops.dlq.lost import lost, send_again
from paymesh_ops.dlq.notifications import NOTIFICATIONS, depth, notifications
from paymesh_ops.dlq.parked import Parked, letters, oldest
from paymesh_ops.launch.provision import SERVICES

app = typer.Typer(help="What is parked: events and notifications.", no_args_is_help=True)

TOPOLOGY = Topology.load(DEFINITIONS)
SHOWN_MAX = 20

Names = Annotated[
    list[str] | None, typer.Argument(help="Ids: of events, messages, notifications, or chains.")
]
Queue = Annotated[str, typer.Option(help="Only of this queue.")]
Reason = Annotated[str, typer.Option(help="Only those whose reason begins with this.")]
All = Annotated[bool, typer.Option("--all", help="All that is parked.")]


@dataclass(frozen=True)
class Choice:
    names: frozenset[str]
    queue: str
    reason: str

    def takes(self, parked: Parked) -> bool:
        named = not self.names or self.names & parked.names
        return bool(named) and parked.cause.startswith(self.reason)


class Places:
    """Where things are parked: the mesh that is up here, or what the environment names."""

    def __init__(self) -> None:
        names = {service: f"PAYMESH_{service.upper()}_DATABASE_URL" for service in SERVICES}
        environment = {**os.environ}
        if not all(name in environment for name in names.values()):
            environment = {**plan_of_running().environment}
        self.urls = {service: environment[name] for service, name in names.items()}
        self.bus = RabbitDeadLetters(amqp_url(), TOPOLOGY)

    def depths(self) -> dict[str, int]:
        dead = depth(self.urls["trade"])
        return {**self.bus.depths(), **({NOTIFICATIONS: dead} if dead else {})}

    def each(self, queue: str) -> Iterator[Parked]:
        """Those of one queue, or of all."""
        for name in [queue] if queue else sorted(self.depths()):
            if name == NOTIFICATIONS:
                yield from notifications(self.urls["trade"])
            else:
                yield from letters(self.bus, self.urls, name)


@app.command("list")
def list_(queue: Queue = "") -> None:
    """How much is parked, by queue and reason, and since when."""
    places = _places()
    groups: dict[tuple[str, str, str], list[Parked]] = defaultdict(list)
    with telling(console, "looks …") as say:
        for number, parked in enumerate(_looked(places, queue), start=1):
            groups[parked.queue, ", ".join(parked.types) or "?", parked.cause].append(parked)
            say(f"{number:,} looked at")
    if not groups:
        console.print("[green]✓[/green] nothing is parked")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("queue", "what", "why"):
        table.add_column(title, overflow="fold")
    table.add_column("how many", justify="right")
    table.add_column("since", no_wrap=True)
    for (name, types, cause), found in sorted(groups.items()):
        since = _at(oldest(found))
        table.add_row(name, escape(types), escape(cause), f"{len(found):,}", since)
    console.print(table)
    console.print("[dim]`paymesh dlq show` tells each; `replay` and `drop` decide[/]")


@app.command()
def show(
    names: Names = None,
    queue: Queue = "",
    reason: Reason = "",
    limit: Annotated[int, typer.Option(min=1, help="So many are shown.")] = SHOWN_MAX,
) -> None:
    """Each that is parked, with its whole reason, its chain and what it says."""
    choice, shown = Choice(frozenset(names or ()), queue, reason), 0
    for parked in _looked(_places(), queue):
        if not choice.takes(parked):
            continue
        shown += 1
        if shown > limit:
            console.print("[dim]… and more; --limit shows more[/]")
            break
        _print(parked)
    if not shown:
        raise fail("nothing like it is parked")


@app.command()
def replay(names: Names = None, queue: Queue = "", reason: Reason = "", all_: All = False) -> None:
    """Give it back to its consumer: what counted before changes nothing."""
    choice = _choice(names, queue, reason, all_)
    done = _each(choice, "given back", lambda parked: parked.replay())
    console.print(f"[green]✓[/green] given back: {done:,}. What fails again is parked again")


@app.command()
def drop(
    why: Annotated[str, typer.Option(help="Why it is to be nothing: kept for ever.")],
    names: Names = None,
    queue: Queue = "",
    reason: Reason = "",
    all_: All = False,
) -> None:
    """Decide that it is nothing: it is kept with the reason, and counts as taken."""
    if not why.strip():
        raise fail("--why is empty: say why it is to be nothing")
    choice = _choice(names, queue, reason, all_)
    done = _each(choice, "dropped", lambda parked: parked.drop(why))
    console.print(f"[green]✓[/green] dropped: {done:,}; kept in `dropped_letter`")


def _choice(names: list[str] | None, queue: str, reason: str, all_: bool) -> Choice:
    if bool(names or queue or reason) == all_:
        raise fail("say which: ids, --queue, --reason, or --all")
    return Choice(frozenset(names or ()), queue, reason)


@app.command("lost")
def lost_(
    older_than_s: Annotated[
        float,
        typer.Option(min=0, help="Not what may still be on its way, or on the retry ladder."),
    ] = 7200.0,
    resend: Annotated[bool, typer.Option("--resend", help="Have them sent again.")] = False,
) -> None:
    """Events that reached no consumer and are parked nowhere: their dead letter was lost."""
    places = _places()
    parked: dict[str, set[str]] = defaultdict(set)
    with telling(console, "looks …"):
        for each in _looked(places, ""):
            parked[each.queue].update(each.event_ids)
        found = asyncio.run(lost(places.urls, TOPOLOGY, parked, older_than_s=older_than_s))
    for one in found[:SHOWN_MAX]:
        at = f"{one.occurred_at:%Y-%m-%d %H:%M:%S}"
        words = (
            f"{one.event_id}  {one.type} → {one.queue}  [cyan]{escape(one.business_id)}[/]  {at}"
        )
        console.print(words, soft_wrap=True)
    if len(found) > SHOWN_MAX:
        console.print(f"[dim]… and {len(found) - SHOWN_MAX:,} more[/]")
    if not found:
        console.print("[green]✓[/green] every event is taken, parked, or on its way")
    elif resend:
        sent = asyncio.run(send_again(places.urls, found))
        console.print(f"[green]✓[/green] sent again by the relay: {sent:,} events")
    else:
        raise fail(f"{len(found):,} are lost; --resend has them sent again")


def _each(choice: Choice, done: str, act: Callable[[Parked], None]) -> int:
    """Does it to each that is chosen; how many those were."""
    count = 0
    with telling(console, "looks …") as say:
        for parked in _looked(_places(), choice.queue):
            if not choice.takes(parked):
                continue
            try:
                act(parked)
            except PaymentError as error:
                raise fail(escape(f"{parked.id}: {error.message}")) from error
            count += 1
            say(f"{count:,} {done}")
    if not count:
        raise fail("nothing like it is parked")
    return count


def _places() -> Places:
    return Places()


def _looked(places: Places, queue: str) -> Iterator[Parked]:
    try:
        yield from places.each(queue)
    except ConnectionError as error:
        raise fail(escape(str(error))) from error


def _print(parked: Parked) -> None:
    chains = ", ".join(parked.business_ids) or "no chain"
    head = f"[bold]{escape(parked.id)}[/]  {parked.queue}  [cyan]{escape(chains)}[/]"
    console.print(head, soft_wrap=True)
    console.print(f"  [red]{escape(parked.reason)}[/]", soft_wrap=True)
    tries = f"; {parked.attempts} times on the ladder" if parked.attempts else ""
    console.print(f"  [dim]parked {_at(parked.since)}{tries}[/]")
    for line in _text(parked).splitlines():
        console.print(f"    {escape(line)}", soft_wrap=True)


def _text(parked: Parked) -> str:
    if parked.queue == NOTIFICATIONS:
        return parked.body.decode(errors="backslashreplace")
    try:
        batch = EventBatch.FromString(parked.body)
    except DecodeError:
        return f"not readable: {parked.body[:200]!r}"
    return str(text_format.MessageToString(batch, as_utf8=False))


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "at some time"
