"""What a storm is made of: how much load, which faults, when. All follows from the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from paymesh_ops.launch.mesh import OURS


class FaultKind(StrEnum):
    SERVICE_KILLED = "service killed"
    BROKER_KILLED = "broker killed"
    BROKER_STOPPED = "broker stopped"
    POSTGRES_STOPPED = "PostgreSQL stopped immediate"
    SESSIONS_TERMINATED = "sessions terminated"
    EVENTS_RESENT = "events sent again"
    ACCOUNT_SHUT = "account shut"


@dataclass(frozen=True, slots=True)
class Fault:
    """`at_s` after the load began; `what`: a process, or an account and the status that it gets;
    `lasts_s`: how long it stays away, or shut."""

    at_s: float
    kind: FaultKind
    what: str = ""
    lasts_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StormPlan:
    """How much of everything. The load is open: it does not wait for answers."""

    payments: int
    per_second: float
    service_kills: int
    broker_kills: int
    broker_stops_s: tuple[float, ...]
    postgres_stops: int
    terminations: int
    resends: int
    account_shuts: int
    expires_in_s: float
    """Within this an order is paid or closed."""
    drain_limit_s: float
    """More than a rung of the ladder that a long outage leads to: a minute, as ladders run here."""
    seed: int = 1

    @property
    def lasts_s(self) -> float:
        return self.payments / self.per_second


SHORT = StormPlan(
    payments=80,
    per_second=4.0,
    service_kills=6,
    broker_kills=1,
    broker_stops_s=(),
    postgres_stops=1,
    terminations=2,
    resends=2,
    account_shuts=12,
    expires_in_s=15,
    drain_limit_s=150,
)
LONG = StormPlan(
    payments=3000,
    per_second=5.0,
    service_kills=60,
    broker_kills=5,
    broker_stops_s=(40.0,),
    postgres_stops=5,
    terminations=20,
    resends=20,
    account_shuts=240,
    expires_in_s=90,
    drain_limit_s=300,
)

MERCHANT = "merchant"
SHUT_MERCHANTS = 0.3
"""So many of the accounts that are shut are the merchant's; the others are wallets'."""
WALLETS = 20
"""That are filled before the storm; and others, which get only what is paid to them."""
POOR_WALLETS = 10

SANDBOX_FAULTS: dict[str, Any] = {
    "prepay": {"timeout_rate": 0.03, "error_rate": 0.03},
    "query": {"error_rate": 0.03},
    "close": {"error_rate": 0.03},
    "refund": {
        "timeout_rate": 0.03,
        "error_rate": 0.03,
        "decline_rate": 0.03,
        "short_rate": 0.03,
        "bounce_rate": 0.05,
    },
    "payout": {"timeout_rate": 0.03, "error_rate": 0.03, "short_rate": 0.03},
    "callback": {
        "lost_rate": 0.05,
        "duplicate_rate": 0.2,
        "duplicate_times": 2,
        "reorder_rate": 0.2,
        "reorder_ms": 500,
        "bad_signature_rate": 0.01,
        "wrong_amount_rate": 0.01,
    },
    "pay": {"late_success_rate": 0.5},
}
"""What the channel does to us all the while."""


def schedule(plan: StormPlan) -> Sequence[Fault]:
    """The faults in order. Kills are spread over all processes; big ones do not overlap."""
    dice = random.Random(plan.seed)
    names = [OURS[n % len(OURS)] for n in range(plan.service_kills)]
    dice.shuffle(names)
    faults = [Fault(_at(dice, plan), FaultKind.SERVICE_KILLED, name) for name in names]
    faults += [
        Fault(_at(dice, plan), FaultKind.SESSIONS_TERMINATED) for _ in range(plan.terminations)
    ]
    faults += [Fault(_at(dice, plan), FaultKind.EVENTS_RESENT) for _ in range(plan.resends)]
    big = [Fault(0, FaultKind.BROKER_KILLED)] * plan.broker_kills
    big += [Fault(0, FaultKind.BROKER_STOPPED, lasts_s=lasts) for lasts in plan.broker_stops_s]
    big += [Fault(0, FaultKind.POSTGRES_STOPPED)] * plan.postgres_stops
    dice.shuffle(big)
    for n, fault in enumerate(big):
        at = plan.lasts_s * (n + 0.2 + 0.3 * dice.random()) / len(big)
        faults.append(Fault(at, fault.kind, fault.what, fault.lasts_s))
    faults += [_shut(dice, plan) for _ in range(plan.account_shuts)]
    return sorted(faults, key=lambda fault: fault.at_s)


def _shut(dice: random.Random, plan: StormPlan) -> Fault:
    """The merchant's, for moments, as everything is sold by it; or that of a wallet."""
    merchant = dice.random() < SHUT_MERCHANTS
    name = MERCHANT if merchant else str(dice.randrange(WALLETS + POOR_WALLETS))
    status = dice.choices(["FROZEN_IN", "FROZEN_OUT", "CLOSED"], weights=[6, 2, 2])[0]
    lasts_s = 2.0 if merchant else 15.0
    return Fault(_at(dice, plan), FaultKind.ACCOUNT_SHUT, f"{name} {status}", lasts_s)


def _at(dice: random.Random, plan: StormPlan) -> float:
    return plan.lasts_s * (0.05 + 0.9 * dice.random())
