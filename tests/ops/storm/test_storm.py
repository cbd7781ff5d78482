"""The storm tries to lose money: a short one must not, and what it does follows from its seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from paymesh_ops.check.runner import INVARIANTS
from paymesh_ops.launch.mesh import OURS
from paymesh_ops.prove import showing
from paymesh_ops.storm.plan import LONG, SHORT, FaultKind, schedule


def test_the_same_seed_gives_the_same_storm() -> None:
    assert schedule(LONG) == schedule(LONG)
    assert schedule(LONG) != schedule(replace(LONG, seed=2))


@pytest.mark.parametrize("plan", [SHORT, LONG])
def test_all_faults_of_a_plan_happen_while_it_lasts(plan: object) -> None:
    """In order, as many as planned of each kind."""
    assert isinstance(plan, type(SHORT))
    faults = schedule(plan)
    assert list(faults) == sorted(faults, key=lambda fault: fault.at_s)
    assert all(0 < fault.at_s < plan.lasts_s for fault in faults)
    assert Counter(fault.kind for fault in faults) == Counter(
        {
            FaultKind.SERVICE_KILLED: plan.service_kills,
            FaultKind.BROKER_KILLED: plan.broker_kills,
            FaultKind.BROKER_STOPPED: len(plan.broker_stops_s),
            FaultKind.POSTGRES_STOPPED: plan.postgres_stops,
            FaultKind.SESSIONS_TERMINATED: plan.terminations,
            FaultKind.EVENTS_RESENT: plan.resends,
            FaultKind.ACCOUNT_SHUT: plan.account_shuts,
        }
    )


def test_kills_are_spread_over_all_processes() -> None:
    kills = [f.what for f in schedule(LONG) if f.kind is FaultKind.SERVICE_KILLED]
    counts = Counter(kills)
    assert set(counts) == set(OURS)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.prove
def test_a_short_storm_loses_nothing(own_home: Path, tmp_path: Path) -> None:
    """The command itself: exit 0, everything at its end, all invariants, the channel's book."""
    told = tmp_path / "told.json"
    environment = {**os.environ, "PAYMESH_HOME": str(own_home)}
    for name in ("PAYMESH_DATABASE_URL", "PAYMESH_AMQP_URL"):
        environment.pop(name, None)  # it kills its servers: they must be its own
    done = subprocess.run(
        [sys.executable, "-m", "paymesh_ops.cli.main", "storm", "--short", "--json", str(told)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "invariants hold" in done.stdout
    assert "flows started" in done.stdout  # how far it is
    assert json.loads(told.read_text())["passed"]
    shown = showing.storm(told, tmp_path)
    assert f"{len(INVARIANTS)} of {len(INVARIANTS)} invariants hold" in shown.facts
    assert shown.facts[0].startswith(f"{SHORT.payments} flows, ")
    assert not shown.wrong
