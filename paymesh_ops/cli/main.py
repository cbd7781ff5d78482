"""The command `paymesh`: from `demo` and `up` to `storm`, `bench` and `prove`."""

from __future__ import annotations

import asyncio
import json
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from clearing_svc.ledger.loading import HERE, load_chart
from clearing_svc.settings import ClearingSettings
from paymesh.bus.topology import Topology, TopologyError, apply, verify
from paymesh.http import open_url
from paymesh.process import DEFINITIONS
from paymesh.settings import require_all
from paymesh.text import escape
from paymesh_ops.check import check as run_checks
from paymesh_ops.check import print_findings
from paymesh_ops.cli import dlq, keys, ledger, proving, updown
from paymesh_ops.cli.atwork import alone
from paymesh_ops.cli.running import Commands, amqp_url, console, fail, plan_of_running, telling
from paymesh_ops.explain import UnknownAccount
from paymesh_ops.explain import explain as explain_account
from paymesh_ops.explain.printing import moment, print_explanation
from paymesh_ops.launch import work
from paymesh_ops.launch.home import home
from paymesh_ops.launch.living import end_all
from paymesh_ops.launch.mesh import MeshPlan
from paymesh_ops.launch.postgres import PostgresUnavailable
from paymesh_ops.launch.rabbitmq import RabbitUnavailable
from paymesh_ops.trace import UnknownBusinessId, print_story, story

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
app.add_typer(dlq.app, name="dlq")

Benchmark = Literal["all", "ledger", "chain", "gateway", "endurance"]
app.command()(updown.up)
app.command()(updown.down)


@app.callback()
def _require_settings() -> None:
    """Before anything is started or written."""
    require_all()


JsonFile = Annotated[
    Path | None, typer.Option("--json", dir_okay=False, help="Write what was seen to this file.")
]


@app.command()
def demo() -> None:
    """A purchase from order to booked journal on embedded defaults: no server, no root."""
    from paymesh_ops.cli.demo import run

    with _alone(work.DEMO, "paymesh demo"):
        try:
            ok = run(console)
        except TimeoutError as error:
            raise fail(escape(str(error))) from error
    raise typer.Exit(0 if ok else 1)


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
            explanation = asyncio.run(
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
    print_explanation(console, explanation, limit=limit)
    raise typer.Exit(1 if explanation.unexplained.minor else 0)


ledger.app.command("explain")(explain)
app.command()(proving.prove)


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
    json_file: JsonFile = None,
) -> None:
    """Try to lose money: load while processes, broker and database die; exit 1 if it was lost.

    Runs on servers of its own and leaves a mesh that is up alone.
    """
    from paymesh_ops.storm import recording
    from paymesh_ops.storm.plan import LONG, SHORT
    from paymesh_ops.storm.printing import print_outcome
    from paymesh_ops.storm.run import storm as run_storm

    plan = replace(SHORT if short else LONG, seed=seed)
    if payments:
        plan = replace(plan, payments=payments)
    with _alone(work.STORM, "paymesh storm"), telling(console, "prepares …") as progress:
        try:
            outcome = run_storm(home() / "storm", plan, progress=progress)
        except (PostgresUnavailable, RabbitUnavailable) as error:
            raise fail(str(error)) from error
    print_outcome(console, outcome)
    if json_file:
        recording.write(json_file, outcome)
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
    json_file: JsonFile = None,
) -> None:
    """Measure rates beside baselines of the same run; exit 1 if the books are wrong after it.

    Runs on servers of its own and leaves a mesh that is up alone.
    """
    from paymesh_ops.cli.benchmark import run

    with _alone(work.BENCH, "paymesh bench"):
        wrong = run(
            console, what, runs=runs, scale=scale, profile=profile, write=write, json=json_file
        )
    if wrong:
        raise fail(escape(wrong))


@contextmanager
def _alone(what: str, command: str) -> Iterator[None]:
    """Alone at work in the folder of that name; interrupted, it leaves nothing running there."""

    def tidy() -> str:
        end_all(home() / what)
        return "what it had started is stopped"

    with alone(what, command, tidy=tidy):
        end_all(home() / what)  # what one that was killed has left
        yield


def _sandbox_book(plan: MeshPlan) -> dict[str, Any] | None:
    """The sandbox's own book, the channel's truth; None while the sandbox is down."""
    try:
        with open_url(f"{plan.sandbox_url}/admin/book", timeout=10) as answer:
            book: dict[str, Any] = json.load(answer)
            return book
    except urllib.error.URLError as error:
        console.print(f"[yellow]the sandbox's book is not compared: {error.reason}[/yellow]")
        return None


@topology.command("apply")
def topology_apply() -> None:
    """Declare everything of rabbitmq/definitions.json; repeating it changes nothing."""
    try:
        apply(amqp_url(), Topology.load(DEFINITIONS))
    except (TopologyError, ConnectionError) as error:
        raise fail(str(error)) from error
    console.print("[green]✓[/green] RabbitMQ has what rabbitmq/definitions.json says")


@topology.command("verify")
def topology_verify() -> None:
    """Compare RabbitMQ with rabbitmq/definitions.json; exit 1 and name what differs."""
    try:
        differences = verify(amqp_url(), Topology.load(DEFINITIONS))
    except ConnectionError as error:
        raise fail(str(error)) from error
    for difference in differences:
        console.print(f"[red]✗[/red] {difference}")
    if differences:
        raise typer.Exit(1)
    console.print("[green]✓[/green] RabbitMQ is as rabbitmq/definitions.json says")


if __name__ == "__main__":
    app()
