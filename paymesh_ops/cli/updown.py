"""`paymesh up` and `paymesh down`: a mesh that is whole, and none.

`up` starts a supervisor, which does the work, and shows how far it is. What it finds half dead it
says, and mends. Both may be killed at any moment: the next one finds what lives.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from paymesh.db.migrate import ROOT
from paymesh.text import escape
from paymesh_ops.cli.atwork import alone
from paymesh_ops.cli.running import console, fail
from paymesh_ops.launch import processes, work
from paymesh_ops.launch.home import home
from paymesh_ops.launch.living import (
    SUPERVISOR,
    end_all,
    end_supervisors,
    living,
    supervisor_marker,
)
from paymesh_ops.launch.mesh import PROCESSES, is_ready
from paymesh_ops.launch.postgres import PostgresUnavailable
from paymesh_ops.launch.rabbitmq import RabbitUnavailable
from paymesh_ops.launch.state import State, read_state, want, want_none
from paymesh_ops.launch.tending import dead_servers

STEP_TIMEOUT_S = 180.0
"""How long one step may take: the first boot of RabbitMQ takes two minutes on a slow disk."""
MEND_TIMEOUT_S = 120.0
_POLL_S = 0.1
_STAYS = (PostgresUnavailable, RabbitUnavailable, TimeoutError, work.HomeInUse)


class _NotUp(RuntimeError):
    """The mesh did not come up; the message says why."""


def up() -> None:
    """Start the whole mesh on this machine, every role a process of its own."""
    folder = home()
    begun = False

    def tidy() -> str:
        if not begun:
            return "it had started nothing; `paymesh up` says how it is"
        _end(folder)
        return "what it had started is stopped again; `paymesh up` begins anew"

    with alone(work.MESH, "paymesh up", tidy=tidy):
        state, found = read_state(folder), living(folder)
        if found.supervisors and state is not None and state.phase == "ready":
            _mend(folder, state)
        else:
            begun = True
            if found:
                half = "half started" if found.supervisors else "without a supervisor"
                console.print(f"[yellow]![/yellow] found {half}: {found}; it is taken over")
            try:
                _start(folder)
            except _NotUp as error:
                _end(folder)
                raise fail(f"{escape(str(error))}. Nothing is left running") from error
            console.print("[green]✓[/green] the mesh is up")
    _print_addresses(folder)


def _start(folder: Path) -> None:
    """Servers that live are used; processes whose supervisor is gone are ended by the new one."""
    ticket = want(folder)
    end_supervisors(folder)
    log = folder / "supervisor.log"
    log_start = log.stat().st_size if log.exists() else 0
    pid = processes.spawn(
        [sys.executable, "-m", SUPERVISOR, str(folder), ticket],
        directory=ROOT,
        log=log,
        env=os.environ,
    )
    steps, missed = _Steps(), 0
    with console.status("the supervisor starts …") as status:
        while True:
            # At the moment of its exec a process has no command line: one miss says nothing.
            missed = 0 if processes.is_running(pid, supervisor_marker(folder)) else missed + 1
            state = read_state(folder)
            if state is not None:
                status.update(escape(steps.show(state)))
                if state.phase == "failed":
                    raise _NotUp(state.error)
                if state.phase == "ready":
                    return
            if missed > 1:
                said = processes.first_helpful_line(processes.tail(log, offset=log_start))
                raise _NotUp(f"the supervisor ended: {said or 'it said nothing'}; see {log}")
            if steps.since_s > STEP_TIMEOUT_S:
                at_work = state.steps[-1] if state is not None else "its start"
                raise _NotUp(f"the supervisor is still at work on {at_work}; see {log}")
            time.sleep(_POLL_S)


class _Steps:
    """Prints each step when it is over, and says which one is at work. Processes are one step."""

    def __init__(self) -> None:
        self._printed: list[str] = []
        self._count = 0
        self._began = self._changed = time.monotonic()

    @property
    def since_s(self) -> float:
        """How long the step that is at work has been so."""
        return time.monotonic() - self._changed

    def show(self, state: State) -> str:
        if len(state.steps) > self._count:
            self._count, self._changed = len(state.steps), time.monotonic()
        waits = [step for step in state.steps if step in PROCESSES]
        steps = [step for step in state.steps if step not in PROCESSES]
        if waits:
            steps.append(f"{len(PROCESSES)} processes")
        over = steps if state.phase == "ready" else steps[:-1]
        for step in over[len(self._printed) :]:
            now = time.monotonic()
            console.print(f"[green]✓[/green] {step:<30} [dim]{now - self._began:5.1f} s[/dim]")
            self._printed.append(step)
            self._began = now
        if waits:
            return f"waits for {waits[-1]} ({len(waits)} of {len(PROCESSES)}) …"
        return f"{steps[-1]} …"


def _mend(folder: Path, state: State) -> None:
    """Waits until the supervisor has started again what is dead; says what that is."""
    dead = _dead(folder, state)
    if not dead:
        console.print("[green]✓[/green] the mesh is up already; `paymesh down` stops it")
        return
    console.print(
        f"[yellow]![/yellow] dead: {', '.join(dead)}; its supervisor starts it again",
        soft_wrap=True,
    )
    deadline = time.monotonic() + MEND_TIMEOUT_S
    with console.status("") as status:
        while dead := _dead(folder, state):
            status.update(f"waits for {dead[0]} ({len(dead)} dead) …")
            if time.monotonic() > deadline:
                raise fail(
                    f"after {MEND_TIMEOUT_S:.0f} s still dead: {', '.join(dead)}; "
                    f"see {folder / 'supervisor.log'} and {folder / 'run'}, or do `paymesh down`, "
                    "then `paymesh up`"
                )
            time.sleep(_POLL_S)
    console.print("[green]✓[/green] the mesh is up again")


def _dead(folder: Path, state: State) -> list[str]:
    found = living(folder)
    return [
        *([] if found.supervisors else ["the supervisor"]),
        *dead_servers(folder, state.servers),
        *(n for n in PROCESSES if n not in found.processes or not is_ready(folder, n)),
    ]


def _end(folder: Path) -> None:
    with console.status("what was started ends …") as status:
        want_none(folder)
        end_all(folder, progress=lambda now: status.update(f"{now} …"))


def _print_addresses(folder: Path) -> None:
    ports = json.loads((folder / "ports.json").read_text())
    for service in ("trade", "pay", "gateway", "clearing"):
        console.print(f"  {service:<9} gRPC 127.0.0.1:{ports[service]}")
    console.print(f"  callbacks HTTP http://127.0.0.1:{ports['ingress']}/callbacks/sandbox")
    console.print(f"  sandbox   HTTP http://127.0.0.1:{ports['sandbox']}")
    console.print(f"  logs      {folder / 'run'}", soft_wrap=True)


def down(
    purge: Annotated[bool, typer.Option(help="Also remove all data, keys and binaries.")] = False,
) -> None:
    """Stop the mesh and the servers that we started; what others started is left alone."""
    folder = home()
    command = "paymesh down --purge" if purge else "paymesh down"
    stays = work.OF_DATABASES if os.environ.get("PAYMESH_DATABASE_URL") else frozenset()

    def tidy() -> str:
        return f"what still lives: {living(folder)}; `{command}` goes on"

    alone_at_home = work.alone_at_home(folder, command) if purge else nullcontext()
    with alone(work.MESH, command, tidy=tidy), alone_at_home:
        try:
            _end(folder)
            if purge:
                with console.status("data is removed …"):
                    work.purge(folder, command, stays=stays)
        except _STAYS as error:
            raise fail(escape(str(error))) from error
    console.print("[green]✓[/green] the mesh is down" + (", its data removed" if purge else ""))
    if purge and stays:
        console.print(
            f"  {', '.join(sorted(stays))} stay in {folder}: your PostgreSQL keeps the databases, "
            "and they are of no use without them",
            soft_wrap=True,
        )
