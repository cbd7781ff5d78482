"""One benchmark from nothing to figures: servers, mesh, trials in turn, books."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from paymesh_ops.bench import ratios
from paymesh_ops.bench.ground import Ground, ground, servers
from paymesh_ops.bench.machine import machine
from paymesh_ops.bench.measure import Measured, Progress, Trial, interleaved
from paymesh_ops.bench.plan import NEEDS, WHAT, BenchPlan
from paymesh_ops.bench.profiling import Profile, folder_of, profiled

__all__ = ["WHAT", "BenchPlan", "Outcome", "bench", "ratios"]

ALONE = frozenset({ratios.GATEWAY})
"""Trials whose books mean nothing beside those of others: a mesh of their own."""


@dataclass(frozen=True)
class Outcome:
    """What was measured, on what machine; and profiles, where they were asked for."""

    measured: Mapping[str, Measured]
    machine: Mapping[str, str]
    profiles: Mapping[str, Sequence[Profile]]


def bench(
    home: Path,
    names: Sequence[str],
    plan: BenchPlan,
    *,
    profile: bool = False,
    progress: Progress,
) -> Outcome:
    """Blocking. Measures the trials of these names on servers of its own, in turn.

    `home` is emptied first; its servers are stopped at the end. Raises PostgresUnavailable,
    RabbitUnavailable, ProfilingUnavailable.
    """
    progress("PostgreSQL, RabbitMQ")
    measured: dict[str, Measured] = {}
    profiles: dict[str, Sequence[Profile]] = {}
    with servers(home) as on:
        parts = [[n for n in names if n not in ALONE], *([n] for n in names if n in ALONE)]
        for number, part in enumerate(filter(None, parts), 1):
            prefix = f"paymesh_bench{number}_"
            with (
                ground(on, part, plan, prefix=prefix, progress=progress) as stood_on,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                trials = runner.run(_made(stood_on, part, progress))
                if profile:
                    profiles |= runner.run(_profiled(stood_on, trials, progress))
                measured |= runner.run(interleaved(trials, runs=plan.runs, progress=progress))
        facts = machine(on.postgres.url, on.rabbit.amqp_url)
    return Outcome(measured, facts, profiles)


async def _made(on: Ground, names: Sequence[str], progress: Progress) -> Sequence[Trial]:
    trials = []
    for name in names:
        progress(f"prepares {name}")
        trials.append(await on.trial(name))
    return trials


async def _profiled(
    on: Ground, trials: Sequence[Trial], progress: Progress
) -> Mapping[str, Sequence[Profile]]:
    """A turn of each trial of ours that is watched, so it is no figure."""
    profiles = {}
    for trial in trials:
        if NEEDS[trial.name]:
            progress(f"profiles {trial.name}")
            profiles[trial.name] = await profiled(trial, folder_of(on.servers.home))
    return profiles
