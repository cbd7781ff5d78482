"""Whether the ledger stays as fast and as small as it was while its books grow by a million.

The journals are posted in tenths. Each is told by itself, and the last ones are compared with the
first ones: tables and indexes grow, a rate must not fall and memory must not grow with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from paymesh_ops.bench.ground import Ground, ground, servers
from paymesh_ops.bench.machine import machine
from paymesh_ops.bench.measure import Progress, Sample, sampled
from paymesh_ops.bench.memory import resident_mib
from paymesh_ops.bench.plan import NEEDS, BenchPlan
from paymesh_ops.bench.ratios import ENDURANCE, Compared, Ratio, Reached

TENTHS = 10
SERVE = "clearing-serve"
RATE = Ratio("last tenth", "first tenth", must=0.9, goal=1.0)
MEMORY = Ratio(
    f"{SERVE}, last tenth", "second tenth", must=1.05, goal=1.0, compared=Compared.MEMORY
)
"""To the second tenth: by then all code has run, and caches and pools have their size."""


@dataclass(frozen=True, slots=True)
class Tenth:
    """A tenth of the journals, and the memory of our processes after it, by name."""

    sample: Sample
    resident_mib: Mapping[str, float]


@dataclass(frozen=True)
class Endured:
    """All tenths, what is wrong with the books after them, on what machine."""

    tenths: Sequence[Tenth]
    wrong: Sequence[str]
    machine: Mapping[str, str]

    def reached(self) -> Sequence[Reached]:
        """How rate and memory held out; without /proc there is nothing to say of memory."""
        first, second, *_, last = self.tenths
        rate = Reached(RATE, last.sample.rate / first.sample.rate)
        if not last.resident_mib:
            return [rate]
        return [rate, Reached(MEMORY, last.resident_mib[SERVE] / second.resident_mib[SERVE])]


def endure(home: Path, plan: BenchPlan, *, progress: Progress) -> Endured:
    """Blocking. Posts all journals once, on servers of its own; of the plan its scale counts.

    `home` is emptied first; its servers are stopped at the end. Raises PostgresUnavailable,
    RabbitUnavailable.
    """
    progress("PostgreSQL, RabbitMQ")
    with servers(home) as on:
        with (
            ground(
                on, [ENDURANCE], plan, prefix="paymesh_endurance_", progress=progress
            ) as stood_on,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            tenths, wrong = runner.run(_endured(stood_on, progress))
        return Endured(tenths, wrong, machine(on.postgres.url, on.rabbit.amqp_url))


async def _endured(on: Ground, progress: Progress) -> tuple[Sequence[Tenth], Sequence[str]]:
    progress(f"prepares {ENDURANCE}")
    trial = await on.trial(ENDURANCE)
    tenths: list[Tenth] = []
    said = ""
    for number in range(1, TENTHS + 1):
        progress(f"tenth {number} of {TENTHS}{said}")
        sample = await sampled(trial)
        ours = {name: trial.groups[name] for name in NEEDS[ENDURANCE]}
        tenths.append(Tenth(sample, resident_mib(ours)))
        said = f"; the one before: {sample.rate:,.0f} journals a second"
    progress("books")
    return tenths, tuple(await trial.wrong())
