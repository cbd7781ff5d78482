"""Results on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from paymesh.text import escape
from paymesh_ops.check.model import Finding, Report

SHOWN_MAX = 10
"""Findings of one invariant that are printed; the others are counted."""


def print_findings(console: Console, results: Report) -> None:
    """A line per invariant, up to when services were compared, what was found and what to do."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right", style="dim")
    table.add_column("invariant")
    table.add_column("result", justify="right")
    table.add_column("ms", justify="right", style="dim")
    for result in results:
        count = len(result.findings)
        said = f"[bold red]{count} found[/]" if count else "[green]ok[/]"
        table.add_row(str(result.number), result.sentence, said, f"{result.milliseconds:.0f}")
    console.print(table)
    marks = {name: at.astimezone(UTC) for name, at in results.watermarks.items()}
    until = "  ".join(f"{name} {at:%H:%M:%S}" for name, at in marks.items())
    day = min(marks.values())
    console.print(f"\n[dim]compared up to  {until}  ({day:%Y-%m-%d}, UTC)[/]")
    bad = [result for result in results if result.findings]
    total = sum(len(result.findings) for result in bad)
    console.print()
    if not bad:
        console.print(f"[green]All {len(results)} invariants hold.[/]")
        return
    console.print(f"[bold red]{total} violations of {len(bad)} invariants.[/]")
    for result in bad:
        for finding in result.findings[:SHOWN_MAX]:
            _print_finding(console, finding)
        if len(result.findings) > SHOWN_MAX:
            more = len(result.findings) - SHOWN_MAX
            console.print(f"\n[dim]… and {more} more of invariant {result.number}[/]")


def _print_finding(console: Console, finding: Finding) -> None:
    lines = [f"[dim]{escape(_text(row))}[/]" for row in finding.rows]
    if finding.business_id:
        lines.insert(0, f"business_id [cyan]{escape(finding.business_id)}[/]")
    lines.append(f"→ {escape(finding.what_to_do)}")
    console.print(f"\n[bold]{finding.invariant}  {escape(finding.title)}[/]")
    console.print(Padding("\n".join(lines), (0, 0, 0, 3), expand=False))


def _text(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in row.items() if value not in (None, ""))
