"""The figures in docs/BENCHMARKS.md and their picture, written from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from paymesh_ops.bench.endurance import Endured
from paymesh_ops.bench.machine import commit
from paymesh_ops.bench.picture import picture
from paymesh_ops.bench.plan import BenchPlan
from paymesh_ops.bench.ratios import reached
from paymesh_ops.bench.run import Outcome
from paymesh_ops.bench.tables import Table, endurance_tables, profile_tables, tables

DOCUMENT, PICTURE = "BENCHMARKS.md", "benchmarks.svg"


@dataclass(frozen=True, slots=True)
class Section:
    """What is between these lines of the document is replaced; the rest is written by people."""

    begin: str
    end: str


FIGURES = Section("<!-- figures: written by paymesh bench -->\n", "<!-- end of figures -->\n")
ENDURANCE = Section("<!-- endurance: written by paymesh bench -->\n", "<!-- end of endurance -->\n")


def write(folder: Path, outcome: Outcome, plan: BenchPlan, *, today: date) -> None:
    """Replaces the figures in the document of `folder`, and the picture."""
    _write(folder, figures(outcome, plan, today=today, commit=commit()), FIGURES)
    (folder / PICTURE).write_text(picture(reached(outcome.measured)))


def write_endurance(folder: Path, endured: Endured, plan: BenchPlan, *, today: date) -> None:
    """Replaces the figures of endurance in the document of `folder`."""
    _write(folder, endurance_figures(endured, plan, today=today, commit=commit()), ENDURANCE)


def _write(folder: Path, figures: str, section: Section) -> None:
    document = folder / DOCUMENT
    document.write_text(replaced(document.read_text(), figures, section))


def replaced(document: str, figures: str, section: Section) -> str:
    """The document with new figures. Raises ValueError if it has no section for them."""
    before, begin, rest = document.partition(section.begin)
    _, end, after = rest.partition(section.end)
    if not (begin and end):
        raise ValueError(
            f"{DOCUMENT} lacks the lines {section.begin.strip()} and {section.end.strip()}"
        )
    return f"{before}{begin}\n{figures}\n{end}{after}"


def figures(outcome: Outcome, plan: BenchPlan, *, today: date, commit: str) -> str:
    """Markdown. Nothing in it tells whose machine it was."""
    profile = " --profile" if outcome.profiles else ""
    command = f"paymesh bench all --runs {plan.runs} --scale {plan.scale:g} --write{profile}"
    shown = [*tables(outcome.measured), *profile_tables(outcome.profiles)]
    picture = f"![Each ratio as a part of its goal]({PICTURE})"
    measured = _measured(command, outcome.machine, today=today, commit=commit)
    return _paragraphs([measured, picture, *(_markdown(table, "##") for table in shown)])


def endurance_figures(endured: Endured, plan: BenchPlan, *, today: date, commit: str) -> str:
    """Markdown, as `figures`."""
    command = f"paymesh bench endurance --scale {plan.scale:g} --write"
    measured = _measured(command, endured.machine, today=today, commit=commit)
    shown = endurance_tables(endured)
    return _paragraphs([measured, *(_markdown(table, "###") for table in shown)])


def _measured(command: str, machine: Mapping[str, str], *, today: date, commit: str) -> str:
    on = ", ".join(v if name == "CPU" else f"{name} {v}" for name, v in machine.items())
    at = f"{today.isoformat()} at commit {commit or 'unknown'}"
    return f"Measured on {at} with `{command}`, on {on}."


def _paragraphs(found: Sequence[str]) -> str:
    return "\n\n".join(found) + "\n"


def _markdown(table: Table, heading: str) -> str:
    head = "| " + " | ".join(table.columns) + " |"
    line = "|---|" + "---:|" * (len(table.columns) - 1)
    rows = ["| " + " | ".join(row) + " |" for row in table.rows]
    return "\n".join([f"{heading} {table.title}", "", head, line, *rows])
