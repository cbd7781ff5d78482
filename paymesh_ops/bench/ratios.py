"""What is promised: one figure as a part of another. Only ratios of one run mean anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from paymesh_ops.bench.measure import Measured

TPCB, ECHO = "pgbench TPC-B", "raw unary echo"
UNIFORM, HOT = "ledger, all accounts", "ledger, one hot account"
PACED = "ledger, 40 messages a second"
UNARY, BATCHES, NAIVE = "chain, unary", "chain, batches of 50", "naive chain, unary"
GATEWAY = "gateway, batches of 50"
ENDURANCE = "ledger, endurance"


class Compared(Enum):
    """Of what of two things a ratio is. Of rates more is better, of all else less."""

    RATE = "rate"
    P99 = "p99"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of one thing as a part of another's. `must`: short of it something is broken."""

    of: str
    to: str
    must: float
    goal: float
    compared: Compared = Compared.RATE

    @property
    def name(self) -> str:
        what = "" if self.compared is Compared.RATE else f", {self.compared.value}"
        return f"{self.of} ÷ {self.to}{what}"

    @property
    def bound(self) -> str:
        """What it must be: ≥ 5, say."""
        return f"{'≥' if self.compared is Compared.RATE else '≤'} {self.must:g}"

    def of_goal(self, value: float) -> float:
        """How much of the goal a value is: 1 has reached it, however it is compared."""
        return value / self.goal if self.compared is Compared.RATE else self.goal / value


RATIOS = (
    Ratio(UNIFORM, TPCB, must=5, goal=9),
    Ratio(HOT, UNIFORM, must=0.9, goal=1.0),
    Ratio(PACED, ECHO, must=3, goal=1, compared=Compared.P99),
    Ratio(UNARY, ECHO, must=0.18, goal=0.30),
    Ratio(BATCHES, TPCB, must=1.2, goal=2.2),
    Ratio(UNARY, NAIVE, must=8, goal=12),
)


@dataclass(frozen=True, slots=True)
class Reached:
    """A ratio as it was measured."""

    ratio: Ratio
    value: float

    @property
    def enough(self) -> bool:
        return self.of_goal >= self.ratio.of_goal(self.ratio.must)

    @property
    def of_goal(self) -> float:
        return self.ratio.of_goal(self.value)

    def __str__(self) -> str:
        """Its value, with three digits where it is small."""
        return f"{self.value:.{2 if self.value >= 1 else 3}f}"


def reached(measured: Mapping[str, Measured]) -> Sequence[Reached]:
    """The ratios of what was measured with right books."""
    right = {name: found for name, found in measured.items() if not found.wrong}
    return [
        Reached(ratio, _figure(right[ratio.of], ratio) / _figure(right[ratio.to], ratio))
        for ratio in RATIOS
        if ratio.of in right and ratio.to in right
    ]


def _figure(found: Measured, ratio: Ratio) -> float:
    if ratio.compared is Compared.RATE:
        return found.rate
    assert found.p99_ms is not None, f"{found.name} made no calls"
    return found.p99_ms
