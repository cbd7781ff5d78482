"""The command `paymesh`: demo, up, down, trace, explain, check, ledger, keys, storm, bench,
topology."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
import urllib.error
from dataclasses import replace
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from clearing_svc.ledger.loading import HERE, load_chart
from clearing_svc.settings import ClearingSettings
from paymesh.bus.topology import Topology, TopologyError, apply, verify
from paymesh.check import check as run_checks
from paymesh.check import print_findings
from paymesh.cli import keys, ledger
from paymesh.cli.running import (
    PID_FILE,
    Commands,
    console,
    fail,
    plan_of_running,
    supervisor_pid,
)
from paymesh.db.migrate import ROOT
from paymesh.explain import UnknownAccount
from paymesh.explain import explain as explain_account
from paymesh.explain.printing import moment, print_explanation
from paymesh.http import open_url
from paymesh.launch.home import home
from paymesh.launch.mesh import PROCESSES, MeshPlan, prepare
from paymesh.launch.postgres import PostgresUnavailable
from paymesh.launch.processes import spawn
from paymesh.launch.rabbitmq import RabbitUnavailable
from paymesh.launch.servers import running_servers, stop_servers
from paymesh.launch.supervisor import STATE_FILE
from paymesh.process import DEFINITIONS
from paymesh.settings import require_all
from paymesh.trace import UnknownBusinessId, print_story, story

app = typer.Typer(
    cls=Commands,
    help="Paymesh: from the business order to the reconciled ledger entry.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
topology = typer.Typer(help="The exchanges and queues of RabbitMQ.", no_args_is_help=True)
app.add_typer(topology, name="topology")
app.add_typer(ledger.app, name="ledger")
app.add_typer(keys.app, name="keys")

Benchmark = Literal["all", "ledger", "chain", "gateway", "endurance"]
UP_TIMEOUT_S = 120.0


@app.callback()
def _require_settings() -> None:
    """Before anything is started or written."""
    require_all()


@app.command()
def demo() -> None:
    """A purchase from order to booked journal on embedded defaults: no server, no root."""
    from paymesh.cli.demo import run

    raise typer.Exit(0 if run(console) else 1)


@app.command()
def up() -> None:
    """Start the whole mesh on this machine, every role a process of its own."""
    folder = home()
    if supervisor_pid(folder) is not None:
        raise fail("the mesh is up already; `paymesh down` stops it")
    state = folder / STATE_FILE
    state.unlink(missing_ok=True)
    with console.status("PostgreSQL, RabbitMQ, databases, keys, topology …"):
        plan = prepare(folder)
    with console.status(f"{len(PROCESSES)} processes …"):
        pid = spawn(
            [sys.executable, "-m", "paymesh.launch.supervisor", str(folder)],
            directory=ROOT,
            log=folder / "supervisor.log",
            env=os.environ,
        )
        (folder / PID_FILE).write_text(str(pid))
        deadline = time.monotonic() + UP_TIMEOUT_S
        while not state.exists():
            if time.monotonic() > deadline or supervisor_pid(folder) is None:
                raise fail(f"the mesh did not come up; see {folder / 'supervisor.log'}")
            time.sleep(0.1)
    if (text := state.read_text()) != "ready":
        raise fail(text)
    _print_addresses(plan)


def _print_addresses(plan: MeshPlan) -> None:
    console.print("[green]✓[/green] the mesh is up")
    for service in ("trade", "pay", "gateway", "clearing"):
        console.print(f"  {service:<9} gRPC {plan.target(service)}")
    console.print(f"  callbacks HTTP {plan.ingress_url}/callbacks/sandbox")
    console.print(f"  sandbox   HTTP {plan.sandbox_url}")
    console.print(f"  logs      {plan.home / 'run'}")


@app.command()
def down(
    purge: Annotated[bool, typer.Option(help="Also remove all data, keys and binaries.")] = False,
) -> None:
    """Stop the mesh and the servers that we started; what others started is left alone."""
    folder = home()
    pid = supervisor_pid(folder)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        with console.status("processes end …"):
            deadline = time.monotonic() + 45
            while supervisor_pid(folder) is not None and time.monotonic() < deadline:
                time.sleep(0.1)
        if supervisor_pid(folder) is not None:
            raise fail(f"the supervisor (process {pid}) did not end; see {folder}/supervisor.log")
    with console.status("servers end …"):
        stop_servers(folder)
    if purge:
        shutil.rmtree(folder)
    console.print("[green]✓[/green] the mesh is down" + (", its data removed" if purge else ""))


@app.command()
def trace(business_id: Annotated[str, typer.Argument(help="biz_…, on every trade.")]) -> None:
    """The whole story of one business_id: moves, callbacks, notifications, journals."""
    plan = plan_of_running()
    try:
        print_story(console, asyncio.run(story(plan.reader_urls, business_id)))
    except UnknownBusinessId as error:
        raise fail(str(error)) from error


@app.command()
def explain(
    account: Annotated[
        str, typer.Argument(help="acc_…, SUBJECT:OWNER:CURRENCY, or SUBJECT:CURRENCY.")
    ],
    at: Annotated[
        str, typer.Option(help="At this time (ISO 8601, without an offset UTC); default: now.")
    ] = "",
    limit: Annotated[int, typer.Option(help="So many of the oldest open items are shown.")] = 50,
) -> None:
    """What a balance is made of; exit 1 if a part of it is not explained by what happened."""
    try:
        time_ = moment(at) if at else None
    except ValueError as error:
        raise fail(escape(f"--at {at!r} is no time; one is 2026-11-23T10:00")) from error
    plan = plan_of_running()
    chart = load_chart((ClearingSettings().ledger_config or HERE) / "chart.yaml")
    with console.status(escape(account)) as status:
        try:
            told = asyncio.run(
                explain_account(
                    plan.reader_urls,
                    account,
                    chart=chart,
                    at=time_,
                    progress=lambda text: status.update(escape(text)),
                )
            )
        except UnknownAccount as error:
            raise fail(escape(str(error))) from error
    print_explanation(console, told, limit=limit)
    raise typer.Exit(1 if told.unexplained.minor else 0)


ledger.app.command("explain")(explain)


@app.command()
def check(
    grace_s: Annotated[
        float, typer.Option(help="Rows younger than this many seconds are still on their way.")
    ] = 60.0,
) -> None:
    """Check all invariants of the books and between the services; exit 1 if one is broken."""
    plan = plan_of_running()
    with console.status("checking …") as status:
        results = asyncio.run(
            run_checks(
                plan.reader_urls,
                grace_s=grace_s,
                sandbox_book=_sandbox_book(plan),
                progress=status.update,
            )
        )
    print_findings(console, results)
    raise typer.Exit(1 if any(result.findings for result in results) else 0)


@app.command()
def storm(
    short: Annotated[bool, typer.Option(help="Less of everything: about a minute.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same storm.")] = 1,
    payments: Annotated[int, typer.Option(help="How many flows; 0: as planned.")] = 0,
) -> None:
    """Try to lose money: load while processes, broker and database die; exit 1 if it was lost.

    Runs on servers of its own and leaves a mesh that is up alone.
    """
    from paymesh.storm.plan import LONG, SHORT
    from paymesh.storm.printing import print_outcome
    from paymesh.storm.run import storm as run_storm

    plan = replace(SHORT if short else LONG, seed=seed)
    if payments:
        plan = replace(plan, payments=payments)
    with console.status("prepares …") as status:
        try:
            outcome = run_storm(home() / "storm", plan, progress=status.update)
        except (PostgresUnavailable, RabbitUnavailable) as error:
            raise fail(str(error)) from error
    print_outcome(console, outcome)
    raise typer.Exit(0 if outcome.passed else 1)


@app.command()
def bench(
    what: Annotated[Benchmark, typer.Argument(help="What is measured.")] = "all",
    runs: Annotated[int, typer.Option(min=1, help="Turns of each trial; the median counts.")] = 3,
    scale: Annotated[float, typer.Option(min=0.0, help="Less than 1: a quick look.")] = 1.0,
    profile: Annotated[bool, typer.Option("--profile", help="Also where CPU time goes.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Replace the figures in docs/BENCHMARKS.md.")
    ] = False,
) -> None:
    """Measure rates beside baselines of the same run; exit 1 if the books are wrong after it.

    Runs on servers of its own and leaves a mesh that is up alone.
    """
    from paymesh.cli.benchmark import run

    if wrong := run(console, what, runs=runs, scale=scale, profile=profile, write=write):
        raise fail(escape(wrong))


def _sandbox_book(plan: MeshPlan) -> dict[str, Any] | None:
    """The sandbox's own book, the channel's truth; None while the sandbox is down."""
    try:
        with open_url(f"{plan.sandbox_url}/admin/book", timeout=10) as answer:
            book: dict[str, Any] = json.load(answer)
            return book
    except urllib.error.URLError as error:
        console.print(f"[yellow]the sandbox's book is not compared: {error.reason}[/yellow]")
        return None


def _amqp_url() -> str:
    url = os.environ.get("PAYMESH_AMQP_URL")
    if url:
        return url
    rabbit = running_servers(home()).rabbitmq
    if rabbit is None:
        raise fail("set PAYMESH_AMQP_URL, or start the mesh with `paymesh up`")
    return rabbit.amqp_url


@topology.command("apply")
def topology_apply() -> None:
    """Declare everything of rabbitmq/definitions.json; repeating it changes nothing."""
    try:
        apply(_amqp_url(), Topology.load(DEFINITIONS))
    except (TopologyError, ConnectionError) as error:
        raise fail(str(error)) from error
    console.print("[green]✓[/green] RabbitMQ has what rabbitmq/definitions.json says")


@topology.command("verify")
def topology_verify() -> None:
    """Compare RabbitMQ with rabbitmq/definitions.json; exit 1 and name what differs."""
    try:
        differences = verify(_amqp_url(), Topology.load(DEFINITIONS))
    except ConnectionError as error:
        raise fail(str(error)) from error
    for difference in differences:
        console.print(f"[red]✗[/red] {difference}")
    if differences:
        raise typer.Exit(1)
    console.print("[green]✓[/green] RabbitMQ is as rabbitmq/definitions.json says")


if __name__ == "__main__":
    app()
