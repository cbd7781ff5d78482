"""What is measured, with which processes, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paymesh_ops.bench.ratios import (
    BATCHES,
    ECHO,
    ENDURANCE,
    GATEWAY,
    HOT,
    NAIVE,
    PACED,
    TPCB,
    UNARY,
    UNIFORM,
)

_LEDGER = ("clearing-serve", "clearing-work")
_GATEWAY = ("gateway-serve", "gateway-work")
_CHAIN = (*_LEDGER, *_GATEWAY, "pay-serve", "pay-work", "trade-serve", "trade-work")

NEEDS: Mapping[str, Sequence[str]] = {
    TPCB: (),
    ECHO: (),
    NAIVE: (),
    UNIFORM: _LEDGER,
    HOT: _LEDGER,
    PACED: _LEDGER,
    ENDURANCE: _LEDGER,
    UNARY: _CHAIN,
    BATCHES: _CHAIN,
    GATEWAY: _GATEWAY,
}
"""The processes of our mesh that each trial is about. What no trial needs is not started; what only
others need is idle (all eight together take one or two percent of a core) and counted nowhere."""

WHAT: Mapping[str, Sequence[str]] = {
    "ledger": (TPCB, UNIFORM, HOT, ECHO, PACED),
    "chain": (TPCB, ECHO, UNARY, NAIVE, BATCHES),
    "gateway": (GATEWAY,),
    "all": (TPCB, UNIFORM, HOT, ECHO, PACED, UNARY, NAIVE, BATCHES, GATEWAY),
    "endurance": (ENDURANCE,),
}
"""The trials of each benchmark, in the order of their turns. Endurance is none of all: it goes on
for long, and is compared with itself."""


@dataclass(frozen=True)
class BenchPlan:
    """How much of everything. `scale` makes all of it less, for a quick look."""

    runs: int = 3
    scale: float = 1.0

    @property
    def seconds(self) -> float:
        """A baseline's turn."""
        return 6.0 * self.scale

    def things(self, name: str) -> int:
        """How many journals, payments or orders one turn (a tenth, of endurance) is about."""
        most, least = _THINGS[name]
        return max(least, round(most * self.scale))


_THINGS: Mapping[str, tuple[int, int]] = {
    UNIFORM: (40_000, 400),
    HOT: (40_000, 400),
    PACED: (24_000, 400),
    ENDURANCE: (100_000, 400),
    UNARY: (2_500, 64),
    BATCHES: (6_000, 200),
    NAIVE: (300, 16),
    GATEWAY: (10_000, 200),
}
"""At a scale of 1, and at least."""
