"""Runs steps one after the other, each in a process of its own, and says how each came out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Protocol

from paymesh.db.migrate import ROOT
from paymesh_ops.bench.machine import commit, hardware
from paymesh_ops.prove.progress import Far, far
from paymesh_ops.prove.showing import Shown
from paymesh_ops.prove.steps import Step
from paymesh_ops.prove.warden import GRACE_S

POLL_S = 0.25
PUT_AWAY_S = GRACE_S + 30.0
"""After which a warden that was told to end is given up."""


class Verdict(Enum):
    PROVEN = "proven"
    RED = "red"
    LATE = "ended at its limit"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Ended:
    """How a step came out. `why`: in words, where it is not proven."""

    step: Step
    verdict: Verdict
    seconds: float
    limit_s: float
    """Its share of the hour and `spare_s`."""
    spare_s: float = 0.0
    """What the steps before it had left over."""
    shown: Shown = field(default_factory=Shown)
    why: str = ""
    log: Path | None = None


@dataclass(frozen=True)
class Proof:
    """Everything that the page says."""

    begun: datetime
    commit: str
    machine: Mapping[str, str]
    seed: int
    folder: Path
    ended: Sequence[Ended]

    @property
    def seconds(self) -> float:
        return sum(ended.seconds for ended in self.ended)

    @property
    def limit_s(self) -> float:
        """All shares together."""
        return sum(ended.limit_s - ended.spare_s for ended in self.ended)

    @property
    def proven(self) -> bool:
        return all(ended.verdict is Verdict.PROVEN for ended in self.ended)


class Display(Protocol):
    """Hears how far it is."""

    def begins(self, step: Step) -> None: ...
    def is_at(self, step: Step, far: Far) -> None: ...
    def ended(self, ended: Ended) -> None: ...


@dataclass(frozen=True)
class Options:
    seed: int
    folder: Path
    """Where logs and results go: it is empty."""
    home: Path
    """PAYMESH_HOME of the steps."""
    patience: float = 1.0
    """Limits are so many times as long."""
    keep_going: bool = True


def prove(steps: Sequence[Step], options: Options, display: Display) -> Proof:
    """Blocking. KeyboardInterrupt ends the step that runs and leaves out the rest."""
    begun, seen = datetime.now(UTC), commit()
    # Who shares the machine with others sees it in the times.
    machine = {**hardware(), "load before": f"{os.getloadavg()[0]:.1f}"}
    done: list[Ended] = []
    stopped, spare_s = "", 0.0
    for step in steps:
        limit_s = step.limit_s * options.patience + spare_s
        if stopped:
            ended = Ended(step, Verdict.LEFT_OUT, 0, limit_s, spare_s, why=stopped)
        else:
            display.begins(step)
            ended = replace(_proved(step, limit_s, options, display), spare_s=spare_s)
        spare_s = max(0.0, limit_s - ended.seconds)
        display.ended(ended)
        done.append(ended)
        if ended.verdict is Verdict.LEFT_OUT:
            stopped = ended.why
        elif ended.verdict is not Verdict.PROVEN and not options.keep_going:
            stopped = f"after {step.name} was red"
    return Proof(begun, seen, machine, options.seed, options.folder, done)


def _proved(step: Step, limit_s: float, options: Options, display: Display) -> Ended:
    result, log = (options.folder / f"{step.name}.{end}" for end in ("json", "log"))
    words = step.words(seed=options.seed, result=result)
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PAYMESH_HOME": str(options.home),
    }
    started = time.monotonic()
    with log.open("wb") as out:
        warden = subprocess.Popen(
            [sys.executable, "-m", "paymesh_ops.prove.warden", *words],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    verdict, why = Verdict.PROVEN, ""
    try:
        while (elapsed := time.monotonic() - started) < limit_s:
            display.is_at(step, far(step, elapsed, result, log))
            try:
                warden.wait(POLL_S)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            verdict, why = Verdict.LATE, f"it was ended after {limit_s:.0f} s, its limit"
            _end(warden)
    except KeyboardInterrupt:
        verdict, why = Verdict.LEFT_OUT, "interrupted"
        _end(warden)
    seconds = time.monotonic() - started
    if verdict is Verdict.PROVEN and warden.returncode:
        verdict, why = Verdict.RED, f"exit code {warden.returncode}"
    shown = Shown()
    try:
        shown = step.shows(result, log)
        if verdict is Verdict.RED and shown.wrong:
            why = f"{shown.wrong[0][0]}; {why}"
    except (FileNotFoundError, ValueError) as error:
        if verdict is Verdict.PROVEN:
            verdict, why = Verdict.RED, f"it says nothing of what it did: {_said(error)}"
    return Ended(step, verdict, seconds, limit_s, shown=shown, why=why, log=log)


def _said(error: Exception) -> str:
    return "its result is missing" if isinstance(error, FileNotFoundError) else str(error)


def _end(warden: subprocess.Popen[bytes]) -> None:
    """Has a step put itself away; who is interrupted once more does not wait for that."""
    warden.terminate()
    deadline = time.monotonic() + PUT_AWAY_S
    while warden.poll() is None and time.monotonic() < deadline:
        try:
            time.sleep(POLL_S)
        except KeyboardInterrupt:
            warden.terminate()
    if warden.poll() is None:
        warden.kill()
        warden.wait()
