"""Trials and samples: everything is measured several times, in turn, and the median counts.

Machines are noisy and differ: a rate means something only beside another rate of the same minutes
on the same machine. So trials take turns, and what is told are ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from paymesh_ops.bench.cpu import Groups, at_rest, spent

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Done:
    """What one turn of a trial did: so many things in so many seconds, each call's latency."""

    count: int
    seconds: float
    latencies_s: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn with what it cost: CPU milliseconds a thing, by group of processes."""

    done: Done
    cpu_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Things a second."""
        return self.done.count / self.done.seconds

    @property
    def p99_ms(self) -> float | None:
        """The 99th percentile of the calls' latencies."""
        found = sorted(self.done.latencies_s)
        return 1000 * found[int(0.99 * (len(found) - 1))] if found else None


class Trial(Protocol):
    """Something that has a rate."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str:
        """What is counted, in the plural."""

    @property
    def groups(self) -> Groups:
        """Process ids by the name under which their CPU time is told."""

    async def prepare(self) -> None:
        """Makes what the next turn sends: the callers' work, who are elsewhere."""

    async def turn(self) -> Done:
        """Does its thing for some seconds. What is only preparation is not in the seconds."""

    async def wrong(self) -> Sequence[str]:
        """What is wrong with the books it left, in words: then there is no figure."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All samples of one trial, and what is wrong with its books."""

    name: str
    unit: str
    samples: Sequence[Sample]
    wrong: Sequence[str] = ()

    @property
    def median(self) -> Sample:
        """The sample in the middle (of an even number, the lower one)."""
        ordered = sorted(self.samples, key=lambda sample: sample.rate)
        return ordered[(len(ordered) - 1) // 2]

    @property
    def rate(self) -> float:
        return statistics.median(sample.rate for sample in self.samples)

    @property
    def p99_ms(self) -> float | None:
        """The median of what the samples' calls took; None: there were no calls."""
        found = [sample.p99_ms for sample in self.samples if sample.p99_ms is not None]
        return statistics.median(found) if found else None

    @property
    def spread(self) -> tuple[float, float]:
        """The slowest and the fastest sample's rate."""
        rates = [sample.rate for sample in self.samples]
        return min(rates), max(rates)


async def interleaved(
    trials: Sequence[Trial], *, runs: int, progress: Progress
) -> Mapping[str, Measured]:
    """Every trial in turn, `runs` times; then their books are checked.

    Each begins when the one before has come to rest, so nothing is left of it.
    """
    samples: dict[str, list[Sample]] = {trial.name: [] for trial in trials}
    for run in range(runs):
        for trial in trials:
            progress(f"{run + 1} of {runs}: {trial.name}")
            samples[trial.name].append(await sampled(trial))
    measured = {}
    for trial in trials:
        progress(f"books of {trial.name}")
        found = tuple(await trial.wrong())
        measured[trial.name] = Measured(trial.name, trial.unit, samples[trial.name], found)
    return measured


async def sampled(trial: Trial) -> Sample:
    """A turn. Its CPU time is counted until all is at rest: what comes after the last thing (who
    is to be notified, what is to be deleted) belongs to it."""
    await trial.prepare()
    before = spent(trial.groups)
    done = await trial.turn()
    await at_rest(trial.groups)
    after = spent(trial.groups)
    cpu = {name: 1000 * (after[name] - before[name]) / done.count for name in before}
    return Sample(done, cpu)
