"""`paymesh bench`: measures, prints, and writes it down where that is asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from paymesh.bench import document, recording
from paymesh.bench.endurance import endure
from paymesh.bench.plan import WHAT, BenchPlan
from paymesh.bench.printing import print_endured, print_outcome
from paymesh.bench.profiling import ProfilingUnavailable, folder_of, require_profiling
from paymesh.bench.run import bench
from paymesh.cli.running import telling
from paymesh.db.migrate import ROOT
from paymesh.launch.home import home
from paymesh.launch.mesh import MeshNotReady
from paymesh.launch.postgres import PostgresUnavailable
from paymesh.launch.rabbitmq import RabbitUnavailable

UNAVAILABLE = (PostgresUnavailable, RabbitUnavailable, MeshNotReady, ProfilingUnavailable)
WRONG = "the books are wrong: what left them so has no figure, and nothing is written down"


def run(
    console: Console,
    what: str,
    *,
    runs: int,
    scale: float,
    profile: bool,
    write: bool,
    json: Path | None = None,
) -> str:
    """Why it failed; empty if it did not. A ratio that is short of its must is no failure."""
    plan = BenchPlan(runs=runs, scale=scale)
    if what == "endurance":
        if profile:
            return "--profile is for turns, and endurance has none: profile the ledger"
        return _endurance(console, plan, write=write, json=json)
    if write and what != "all":
        return "--write takes all, or endurance: what is written down are figures of one run"
    folder = home() / "bench"
    with telling(console, "prepares …") as progress:
        try:
            if profile:
                require_profiling()
            outcome = bench(folder, WHAT[what], plan, profile=profile, progress=progress)
        except UNAVAILABLE as error:
            return str(error)
    print_outcome(console, outcome)
    if json:
        recording.write(json, recording.of_outcome(outcome, plan))
    if profile:
        console.print(f"stacks, for flame graphs: {folder_of(folder)}", soft_wrap=True)
    if any(found.wrong for found in outcome.measured.values()):
        return WRONG
    if write:
        document.write(ROOT / "docs", outcome, plan, today=datetime.now(UTC).date())
    return ""


def _endurance(console: Console, plan: BenchPlan, *, write: bool, json: Path | None = None) -> str:
    """As `run`. It is run once, however many turns other trials have."""
    with telling(console, "prepares …") as progress:
        try:
            endured = endure(home() / "bench", plan, progress=progress)
        except UNAVAILABLE as error:
            return str(error)
    print_endured(console, endured)
    if json:
        recording.write(json, recording.of_endured(endured, plan))
    if endured.wrong:
        return WRONG
    if write:
        document.write_endurance(ROOT / "docs", endured, plan, today=datetime.now(UTC).date())
    return ""
