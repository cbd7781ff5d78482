"""Figures on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from rich.console import Console
from rich.table import Table as Drawn

from paymesh.text import escape
from paymesh_ops.bench.endurance import Endured
from paymesh_ops.bench.profiling import Profile
from paymesh_ops.bench.ratios import ENDURANCE
from paymesh_ops.bench.run import Outcome
from paymesh_ops.bench.tables import NO, YES, Table, endurance_tables, profile_tables, tables

_MARKS = {YES: f"[green]{YES}[/]", NO: f"[red]{NO}[/]"}


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Profiles, ratios, rates and CPU time; last, what is wrong with the books."""
    _print_profiles(console, outcome.profiles)
    _print_tables(console, [*tables(outcome.measured), *profile_tables(outcome.profiles)])
    for found in outcome.measured.values():
        _print_wrong(console, found.name, found.wrong)


def print_endured(console: Console, endured: Endured) -> None:
    """Ratios and tenths; or what is wrong with the books."""
    _print_tables(console, endurance_tables(endured))
    _print_wrong(console, ENDURANCE, endured.wrong)


def _print_tables(console: Console, found: Sequence[Table]) -> None:
    for table in found:
        console.rule(table.title, align="left")
        drawn = _drawn(*table.columns)
        for row in table.rows:
            drawn.add_row(*(_MARKS.get(cell, escape(cell)) for cell in row))
        console.print(drawn)


def _print_wrong(console: Console, name: str, wrong: Sequence[str]) -> None:
    for what in wrong:
        console.print(f"[red]{NO}[/] {escape(name)}: {escape(what)}")


def _print_profiles(console: Console, profiles: Mapping[str, Sequence[Profile]]) -> None:
    for name, found in profiles.items():
        for profile in found:
            if not profile.functions:
                continue  # it had nothing to do
            title = f"{name}: {profile.process}, {profile.cpu_ms:.3f} ms of CPU for each one"
            console.rule(escape(title), align="left")
            drawn = _drawn("function", "ms", "module", "ms")
            none = ("", None)
            for function, module in zip_longest(profile.functions, profile.modules, fillvalue=none):
                drawn.add_row(*_cells(function), *_cells(module))
            console.print(drawn)


def _cells(entry: tuple[str, float | None]) -> tuple[str, str]:
    name, ms = entry
    return escape(name), "" if ms is None else f"{ms:.3f}"


def _drawn(*columns: str) -> Drawn:
    drawn = Drawn(box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        code, left = column in {"function", "module"}, index == 0
        drawn.add_column(
            column,
            justify="left" if left or code else "right",
            overflow="fold",
            no_wrap=left and not code,
        )
    return drawn
