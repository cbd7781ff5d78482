"""The storm's outcome for people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from paymesh_ops.check import print_findings
from paymesh_ops.storm.run import Outcome


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Faults with recovery times, what customers saw, how payments ended, the verdict."""
    console.rule("Faults of ours", align="left")
    table = _table("fault", "times", "back after: median", "longest")
    for kind, times in sorted(outcome.faults.items()):
        median, longest = f"{statistics.median(times):.1f} s", f"{max(times):.1f} s"
        table.add_row(kind, str(len(times)), median, longest)
    console.print(table)
    console.rule("Faults of the channel", align="left")
    _counts(console, outcome.channel_faults, "fault")
    console.rule("What customers saw", align="left")
    _counts(console, outcome.tally, "flow")
    console.rule("How payments ended", align="left")
    _counts(console, outcome.payments, "payment")
    console.rule("Money for accounts that were shut", align="left")
    _counts(console, outcome.returns, "it was")
    console.print(
        f"\n{outcome.tally.total()} flows in {outcome.load_s:.0f} s, "
        f"drained {outcome.drain_s:.1f} s after the last; seed {outcome.plan.seed}"
    )
    if outcome.left:
        left = ", ".join(f"{count} {what}" for what, count in outcome.left.items())
        console.print(f"[red]✗[/red] still under way: {left}")
    for queue, count in outcome.parked.items():
        console.print(f"[red]✗[/red] parked in {queue}: {count}")
    console.rule("The invariants, with the channel's own book", align="left")
    print_findings(console, outcome.report)


def _counts(console: Console, counts: Mapping[str, int], name: str) -> None:
    table = _table(name, "times")
    for what, count in sorted(counts.items()):
        table.add_row(what, str(count))
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table
