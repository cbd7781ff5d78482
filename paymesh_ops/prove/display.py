"""Progress and summary for people: a table that moves on a terminal, elsewhere lines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from paymesh.text import escape
from paymesh_ops.prove.progress import Far
from paymesh_ops.prove.report import end_of_log, repeated
from paymesh_ops.prove.run import Display, Ended, Proof, Verdict
from paymesh_ops.prove.steps import Step

LINE_EVERY_S = 15.0
LOG_LINES = 15
BAR = 20
_MARKS = {
    Verdict.PROVEN: "[green]✓[/]",
    Verdict.RED: "[red]✗[/]",
    Verdict.LATE: "[red]✗[/]",
    Verdict.LEFT_OUT: "[yellow]–[/]",
}


def minutes(seconds: float) -> str:
    """1:05"""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def _left(far: Far) -> str:
    return f"about {minutes(far.rest_s)} left" if far.rest_s else "longer than usual"


@contextmanager
def display(console: Console, steps: Sequence[Step]) -> Iterator[Display]:
    if not console.is_terminal:
        yield _Lines(console, steps)
        return
    screen = _Screen(console, steps)
    with screen.live:
        yield screen


class _Rest:
    """What is left: of the step by what it says, of those that wait by what is usual."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.waiting = {step.name: step.usual_s for step in steps}

    def all_s(self, far: Far) -> float:
        return far.rest_s + sum(self.waiting.values())


class _Lines(_Rest):
    def __init__(self, console: Console, steps: Sequence[Step]) -> None:
        super().__init__(steps)
        self._console, self._said = console, 0.0

    def begins(self, step: Step) -> None:
        self.waiting.pop(step.name)
        self._said = time.monotonic()
        self._say(f"{step.name}: usually {minutes(step.usual_s)}; {step.proves}")

    def is_at(self, step: Step, far: Far) -> None:
        if time.monotonic() - self._said < LINE_EVERY_S:
            return
        self._said = time.monotonic()
        says = escape(far.says or "begins")
        left = f"{_left(far)}, all steps {minutes(self.all_s(far))}"
        self._say(f"  {step.name} {minutes(far.elapsed_s)}: {says}; {left}")

    def ended(self, ended: Ended) -> None:
        self._say(f"{_MARKS[ended.verdict]} {_line(ended)}")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


class _Screen(_Rest):
    """All steps: those that are over, the one that runs, those that wait."""

    def __init__(self, console: Console, steps: Sequence[Step]) -> None:
        super().__init__(steps)
        self._steps, self._ended = steps, dict[str, Ended]()
        self._now: tuple[Step, Far] | None = None
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def begins(self, step: Step) -> None:
        self.waiting.pop(step.name)
        self.is_at(step, Far(0, 0, step.usual_s, ""))

    def is_at(self, step: Step, far: Far) -> None:
        self._now = (step, far)
        self._draw()

    def ended(self, ended: Ended) -> None:
        self._ended[ended.step.name], self._now = ended, None
        self._draw()

    def _draw(self) -> None:
        table = Table.grid(padding=(0, 2))
        for step in self._steps:
            table.add_row(*self._row(step))
        if self._now:
            left = minutes(self.all_s(self._now[1]))
            table.add_row("", "", "", f"[dim]about {left} left with all steps[/]")
        self.live.update(table, refresh=True)

    def _row(self, step: Step) -> tuple[str, str, str, str]:
        if ended := self._ended.get(step.name):
            said = "; ".join(ended.shown.facts) or ended.why
            return (_MARKS[ended.verdict], step.name, minutes(ended.seconds), escape(said))
        if self._now and self._now[0] is step:
            far = self._now[1]
            full = round(BAR * far.part)
            bar = f"[cyan]{'━' * full}[/][dim]{'━' * (BAR - full)}[/]"
            said = f"{bar} {_left(far)}  [dim]{escape(far.says)}[/]"
            return ("[cyan]▸[/]", f"[bold]{step.name}[/]", minutes(far.elapsed_s), said)
        return ("", f"[dim]{step.name}[/]", "", f"[dim]usually {minutes(step.usual_s)}[/]")


def _line(ended: Ended) -> str:
    said = "; ".join(ended.shown.facts)
    why = f" ({escape(ended.why)})" if ended.why else ""
    took = f" in {minutes(ended.seconds)} of {minutes(ended.limit_s)}"
    return f"[bold]{ended.step.name}[/] {ended.verdict.value}{took if ended.log else ''}{why}" + (
        f": {escape(said)}" if said else ""
    )


def print_summary(console: Console, proof: Proof) -> None:
    """Every step with its numbers, what failed with the end of its log, how to repeat it."""
    console.rule("The long proof", align="left")
    for ended in proof.ended:
        console.print(f"{_MARKS[ended.verdict]} {_line(ended)}", soft_wrap=True)
    for ended in proof.ended:
        if ended.verdict in {Verdict.RED, Verdict.LATE}:
            _print_failure(console, proof, ended)
    count = sum(ended.verdict is Verdict.PROVEN for ended in proof.ended)
    colour = "green" if proof.proven else "bold red"
    console.print(
        f"\n[{colour}]{count} of {len(proof.ended)} steps proven[/] in {minutes(proof.seconds)}, "
        f"seed {proof.seed}; again: {repeated(proof)}",
        soft_wrap=True,
    )


def _print_failure(console: Console, proof: Proof, ended: Ended) -> None:
    console.rule(f"[red]{ended.step.name}[/]: {escape(ended.why)}", align="left")
    for title, _ in ended.shown.wrong:
        console.print(f"[red]✗[/] {escape(title)}", soft_wrap=True)
    console.print(escape(end_of_log(ended, LOG_LINES)), style="dim", soft_wrap=True)
    console.print(f"again: {repeated(proof, ended)}", soft_wrap=True)
