"""The steps of the long proof, a declaration each, in the order in which they are run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paymesh_ops.prove import showing
from paymesh_ops.prove.showing import Shown

HOUR_S = 3600.0


@dataclass(frozen=True)
class Step:
    """One command of this checkout, and how what it wrote is told."""

    name: str
    proves: str
    """A sentence."""
    command: Sequence[str]
    """`{seed}` and `{result}`, the file that it writes, are put in."""
    usual_s: float
    """How long it takes on two cores that do nothing else."""
    limit_s: float
    """Its share of the hour; with what the steps before it left over it is ended."""
    shows: Callable[[Path, Path], Shown]
    """Reads the result and the log. Raises ValueError where they say nothing."""

    @property
    def seeded(self) -> bool:
        return "{seed}" in self.command

    @property
    def recorded(self) -> bool:
        """Its result is what each test does, while it runs."""
        return "--record" in self.command

    def words(self, *, seed: int, result: Path) -> list[str]:
        put_in = {"{seed}": str(seed), "{result}": str(result)}
        return [put_in.get(word, word) for word in self.command]


def by_paymesh(*words: str) -> Sequence[str]:
    """This command of the checkout."""
    return (sys.executable, "-m", "paymesh_ops.cli.main", *words, "--json", "{result}")


def by_pytest(*words: str) -> Sequence[str]:
    """Tests, written down while they run."""
    plugin = ("-p", "tests.ops.prove.pytest_plugin", "--record", "{result}")
    return (sys.executable, "-m", "pytest", *plugin, "--hypothesis-seed", "{seed}", *words)


KILLS = "tests/mesh/test_kills.py"
BUSY = "tests/mesh/test_busy.py"
HISTORIES = "tests/clearing/test_ledger_stateful.py"
FUZZ = "tests/mesh/test_fuzz.py"

STEPS = (
    Step(
        "kills",
        "In every flow of money, at every point of the shell, the processes that pass it are "
        "killed: each flow ends as it should, and the books agree with the channel's own.",
        by_pytest(KILLS, "-m", "prove"),
        usual_s=260,
        limit_s=300,
        shows=showing.kills,
    ),
    Step(
        "busy",
        "A mesh that is healthy and busy for two minutes gives no false alarm, and of a hundred "
        "refunds at once those succeed that the trade can pay.",
        by_pytest(BUSY),
        usual_s=150,
        limit_s=170,
        shows=showing.tests,
    ),
    Step(
        "histories",
        "Whatever is asked of the ledger, in any order, twice, by two at once, while connections "
        "break and answers are lost: it is as a small model of it says.",
        by_pytest(HISTORIES, "-m", "prove"),
        usual_s=110,
        limit_s=190,
        shows=showing.tests,
    ),
    Step(
        "fuzz",
        "Whatever message an RPC gets, valid, nearly valid or hostile: it is answered by what is "
        "right or what is wrong with it, never by a defect of ours, and the books are right.",
        by_pytest(FUZZ, "-m", "prove", "-n", "2"),
        usual_s=380,
        limit_s=460,
        shows=showing.tests,
    ),
    Step(
        "storm",
        "Under load, while processes, broker and database die and the channel misbehaves, no cent "
        "is lost, created or counted twice.",
        by_paymesh("storm", "--seed", "{seed}"),
        usual_s=760,
        limit_s=830,
        shows=showing.storm,
    ),
    Step(
        "endurance",
        "The ledger stays as fast and as small as it was while its books grow.",
        # Half a million: the whole one is for quiet machines that have the time.
        by_paymesh("bench", "endurance", "--scale", "0.5"),
        usual_s=100,
        limit_s=120,
        shows=showing.endurance,
    ),
    Step(
        "bench",
        "Rates beside baselines of the same minutes, with right books after them.",
        # One turn: what is proven here are the books; ratios to write down have three.
        by_paymesh("bench", "--runs", "1"),
        usual_s=140,
        limit_s=200,
        shows=showing.bench,
    ),
    Step(
        "sabotage",
        "A guard that is taken away is missed by the tests.",
        ("make", "sabotage"),
        usual_s=290,
        limit_s=340,
        shows=showing.sabotage,
    ),
    Step(
        "tests",
        "All other tests that take minutes.",
        by_pytest(
            *("tests", "-m", "prove", "-n", "4", "--dist", "load", "--maxschedchunk", "1"),
            *(f"--ignore={file}" for file in (KILLS, BUSY, HISTORIES, FUZZ)),
        ),
        usual_s=950,
        limit_s=990,
        shows=showing.tests,
    ),
)


def chosen(names: Sequence[str]) -> Sequence[Step]:
    """The steps of these names, or all, in their order. Raises ValueError for an unknown one."""
    known = [step.name for step in STEPS]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"there is no step {', '.join(unknown)}; there are {', '.join(known)}")
    return [step for step in STEPS if not names or step.name in names]
