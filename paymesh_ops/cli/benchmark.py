"""`paymesh bench`: measures, prints, and writes it down where that is asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from paymesh.db.migrate import ROOT
from paymesh_ops.bench import document, recording
from paymesh_ops.bench.endurance import endure
from paymesh_ops.bench.plan import WHAT, BenchPlan
from paymesh_ops.bench.printing import print_endured, print_outcome
from paymesh_ops.bench.profiling import ProfilingUnavailable, folder_of, require_profiling
from paymesh_ops.bench.run import bench
from paymesh_ops.cli.running import telling
from paymesh_ops.launch.home import home
from paymesh_ops.launch.mesh import MeshNotReady
from paymesh_ops.launch.postgres import PostgresUnavailable
from paymesh_ops.launch.rabbitmq import RabbitUnavailable

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
