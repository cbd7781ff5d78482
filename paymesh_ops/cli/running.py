"""What the commands share: where they print, how they fail, and the mesh that is up here."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import typer
from rich.console import Console
from typer.core import TyperGroup

from paymesh.db.errors import error_text
from paymesh.settings import SettingsWrong
from paymesh.text import escape
from paymesh_ops.check.snapshots import DatabaseUnreadable
from paymesh_ops.launch import mesh
from paymesh_ops.launch.home import HomeUnusable, home
from paymesh_ops.launch.living import living
from paymesh_ops.launch.mesh import MeshNotReady, MeshPlan, prepare
from paymesh_ops.launch.servers import running_servers

SAID_EVERY_S = 5.0
# Piped output has no width of its own: take what the tables need.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


REFUSALS = (*mesh.REFUSALS, MeshNotReady, DatabaseUnreadable, HomeUnusable, SettingsWrong)
"""What an operator can put right: its text says how."""


class Commands(TyperGroup):
    """Commands that end with a sentence where an operator can put it right, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except REFUSALS as error:
            raise fail(escape(str(error))) from error
        except psycopg.OperationalError as error:
            raise fail(f"PostgreSQL does not answer: {escape(error_text(error))}") from error


def fail(message: str) -> typer.Exit:
    console.print(f"[red]✗[/red] {message}", soft_wrap=True)
    return typer.Exit(1)


@contextmanager
def telling(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """Says how far it is: a spinner on a terminal, elsewhere a line every few seconds at most."""
    if console.is_terminal:
        with console.status(text) as status:
            yield status.update
        return
    said = 0.0

    def say(text: str) -> None:
        nonlocal said
        if time.monotonic() - said >= SAID_EVERY_S:
            said = time.monotonic()
            console.print(text, soft_wrap=True)

    say(text)
    yield say


def amqp_url() -> str:
    """Where RabbitMQ is: what the environment names, or the one that is up here."""
    url = os.environ.get("PAYMESH_AMQP_URL")
    if url:
        return url
    rabbit = running_servers(home()).rabbitmq
    if rabbit is None:
        raise fail("set PAYMESH_AMQP_URL, or start the mesh with `paymesh up`")
    return rabbit.amqp_url


def plan_of_running() -> MeshPlan:
    """The plan of the mesh that is up here. Says what to do when there is none."""
    folder = home()
    if running_servers(folder).postgres is None and not os.environ.get("PAYMESH_DATABASE_URL"):
        raise fail("no mesh is up here; `paymesh up` starts it")
    # Orphans of a dead supervisor have the mesh's ports, too: nobody may give it others meanwhile.
    found = living(folder)
    return prepare(folder, amqp=False, running=bool(found.supervisors or found.processes))
