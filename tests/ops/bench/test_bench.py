"""Benchmarks: what is told of samples, and the command itself, from servers to figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from paymesh.db.migrate import ROOT
from paymesh_ops.bench import ratios
from paymesh_ops.bench.books import Books
from paymesh_ops.bench.cpu import Groups, spent
from paymesh_ops.bench.document import ENDURANCE, FIGURES, figures, replaced
from paymesh_ops.bench.ledger import Transfers
from paymesh_ops.bench.markets import Ours
from paymesh_ops.bench.measure import Done, Measured, Sample, interleaved
from paymesh_ops.bench.picture import picture
from paymesh_ops.bench.plan import NEEDS, WHAT, BenchPlan
from paymesh_ops.bench.printing import print_outcome
from paymesh_ops.bench.profiling import OTHER, profile_of
from paymesh_ops.bench.ratios import RATIOS, Compared, Ratio, Reached, reached
from paymesh_ops.bench.run import Outcome
from paymesh_ops.bench.tables import profile_tables, tables
from paymesh_ops.cli import benchmark
from paymesh_ops.cli.main import app

MACHINE = {"CPU": "a processor, 2 cores", "memory": "4 GiB", "PostgreSQL": "18.4"}


def measured(name: str, *rates: float, wrong: Sequence[str] = ()) -> Measured:
    """A thousand things in each sample."""
    samples = [Sample(Done(1000, 1000 / rate), {"a-serve": 2.0, "load": 0.5}) for rate in rates]
    return Measured(name, "things", samples, wrong)


def ledger(*, wrong: Sequence[str] = ()) -> Mapping[str, Measured]:
    found = (
        measured(ratios.TPCB, 1500),
        measured(ratios.UNIFORM, 9000, 3000, 6000, wrong=wrong),
        measured(ratios.HOT, 6600),
    )
    return {m.name: m for m in found}


def printed(found: Mapping[str, Measured], profiles: Mapping[str, Any] = {}) -> str:
    console = Console(width=110)
    with console.capture() as captured:
        print_outcome(console, Outcome(found, MACHINE, profiles))
    return captured.get()


def test_the_median_counts_and_the_spread_is_told() -> None:
    found = measured("x", 30, 10, 20)
    assert found.rate == 20
    assert found.median.rate == pytest.approx(20)
    assert found.spread == pytest.approx((10, 30))
    assert measured("x", 10, 20).median.rate == pytest.approx(10)


def test_p99_is_of_the_calls() -> None:
    """In milliseconds; without calls there is none."""
    assert Sample(Done(100, 1, [n / 1000 for n in range(1, 101)])).p99_ms == pytest.approx(99)
    assert Sample(Done(100, 1)).p99_ms is None


def test_every_ratio_is_of_two_trials_that_are_measured_together() -> None:
    for ratio in RATIOS:
        assert any({ratio.of, ratio.to} <= set(names) for names in WHAT.values())
        assert {ratio.of, ratio.to} <= set(WHAT["all"])
        assert 0 < ratio.of_goal(ratio.must) <= ratio.of_goal(ratio.goal) == 1


def test_all_measures_everything_but_endurance_and_every_trial_says_what_it_needs() -> None:
    named = {name for names in WHAT.values() for name in names}
    assert named == set(NEEDS)
    assert named - set(WHAT["all"]) == set(WHAT["endurance"]) == {ratios.ENDURANCE}


def test_the_ledger_alone_has_all_its_ratios() -> None:
    of_the_ledger = [ratio for ratio in RATIOS if ratio.of.startswith("ledger")]
    assert len(of_the_ledger) == 3
    assert {name for r in of_the_ledger for name in (r.of, r.to)} == set(WHAT["ledger"])


def test_less_scale_is_less_of_everything_but_never_nothing() -> None:
    for name in set(NEEDS) - {ratios.TPCB, ratios.ECHO}:
        assert 0 < BenchPlan(scale=0).things(name) < BenchPlan(scale=1).things(name)


def test_a_ratio_that_reaches_its_must_is_marked() -> None:
    """6,000 ÷ 1,500 is 4: short of 5. 6,600 ÷ 6,000 is 1.1: more than 0.9."""
    assert [(r.value, r.enough) for r in reached(ledger())] == [
        (pytest.approx(4), False),
        (pytest.approx(1.1), True),
    ]
    text = printed(ledger())
    [short] = [line for line in text.splitlines() if "÷ pgbench" in line]
    [enough] = [line for line in text.splitlines() if "hot account ÷" in line]
    assert "4.00" in short
    assert short.rstrip().endswith("✗")
    assert enough.rstrip().endswith("✓")


def paced_and_echo(paced_ms: Sequence[float], echo_ms: float) -> Mapping[str, Measured]:
    """A turn for each p99 of the paced ledger, one of the echo."""

    def found(name: str, p99s_ms: Sequence[float]) -> Measured:
        samples = [Sample(Done(100, 1, [ms / 1000] * 10)) for ms in p99s_ms]
        return Measured(name, "things", samples)

    return {m.name: m for m in (found(ratios.PACED, paced_ms), found(ratios.ECHO, [echo_ms]))}


@pytest.mark.parametrize(("paced_ms", "value", "mark"), [(60, "3.00", "✓"), (61, "3.05", "✗")])
def test_a_latency_must_be_at_most_so_many_times_another(
    paced_ms: float, value: str, mark: str
) -> None:
    """Of 20 ms: 60 are three times as long, which is just short enough; 61 are too long."""
    [found] = reached(paced_and_echo([paced_ms], 20))
    assert found.ratio.compared is Compared.P99
    assert found.enough is (mark == "✓")
    [line] = [s for s in printed(paced_and_echo([paced_ms], 20)).splitlines() if "÷" in s]
    assert re.split(r"  +", line) == [
        "ledger, 40 messages a second ÷ raw unary echo, p99",
        value,
        "≤ 3",
        *("1", mark),
    ]


def test_the_p99_that_is_compared_is_the_median_of_the_turns() -> None:
    """One slow turn of three changes nothing."""
    measured = paced_and_echo([500, 30, 40], 20)
    [found] = reached(measured)
    assert found.value == pytest.approx(2)
    [rates] = [table for table in tables(measured) if table.title == "Rates"]
    assert rates.rows[0][-1] == "40.0 ms"


def test_what_left_wrong_books_has_no_figure() -> None:
    """Neither its rate, nor a ratio with it, nor its CPU time; what was found is said."""
    found = ledger(wrong=["invariant 2: a balance is not the sum of its entries"])
    assert reached(found) == []
    text = printed(found)
    assert "books are wrong" in text
    assert "invariant 2: a balance is not the sum of its entries" in text
    assert "6,000" not in text
    assert "÷" not in text
    assert "6,600 things" in text


def test_cpu_time_is_told_by_process_with_its_sum() -> None:
    cpu = next(table for table in tables(ledger()) if table.columns[0] == "process")
    assert cpu.columns == ("process", ratios.TPCB, ratios.UNIFORM, ratios.HOT)
    assert cpu.rows[-1] == ("all", "2.500", "2.500", "2.500")


def test_a_profile_adds_up_own_time_by_function_and_module() -> None:
    stacks = [
        "main (app.py);decide (pay_svc/payments/domain.py) 30",
        "main (app.py);save (store.py);decide (pay_svc/payments/domain.py) 10",
        "main (app.py);save (store.py) 60",
    ]
    profile = profile_of("pay-serve", 2.0, stacks)
    assert profile.functions == [
        ("save (store.py)", pytest.approx(1.2)),
        ("decide (pay_svc/payments/domain.py)", pytest.approx(0.8)),
    ]
    assert profile.modules[0] == ("store.py", pytest.approx(1.2))
    text = printed(ledger(), {ratios.UNARY: [profile]})
    assert "pay-serve, 2.000 ms" in text
    assert "decide (pay_svc/payments/domain.py)" in text


def test_new_figures_replace_the_old_and_nothing_else() -> None:
    before = (ROOT / "docs" / "BENCHMARKS.md").read_text()
    once = replaced(before, "some figures\n", FIGURES)
    assert "some figures" in once
    assert "bench all" in before
    assert "bench all" not in once
    twice = replaced(once, "other figures\n", FIGURES)
    assert twice == once.replace("some figures", "other figures")
    with pytest.raises(ValueError, match="lacks the lines"):
        replaced("# Benchmarks\n", "some figures\n", FIGURES)


def test_endurance_has_a_place_of_its_own_in_the_document() -> None:
    """What is written to one place leaves the other as it was."""
    before = (ROOT / "docs" / "BENCHMARKS.md").read_text()
    both = replaced(replaced(before, "those of all\n", FIGURES), "of endurance\n", ENDURANCE)
    assert both == replaced(
        replaced(before, "of endurance\n", ENDURANCE), "those of all\n", FIGURES
    )
    assert f"{ENDURANCE.begin}\nof endurance\n\n{ENDURANCE.end}" in both
    assert f"{FIGURES.begin}\nthose of all\n\n{FIGURES.end}" in both


def test_a_profile_is_shared_out_over_what_the_code_is_for() -> None:
    """By the innermost frame; the parts sum to what the process took."""
    stacks = [
        "main (paymesh/process.py);decide (pay_svc/payments/domain.py) 30",
        "main (paymesh/process.py);run (paymesh/shell.py);execute (psycopg/cursor_async.py) 50",
        "main (paymesh/process.py);validate (paymesh/rpc.py) 10",
        "main (paymesh/process.py);sleep (somewhere/else.py) 10",
    ]
    profile = profile_of("pay-serve", 2.0, stacks)
    assert profile.areas == pytest.approx(
        {
            "rules, messages and rows of the services": 0.6,
            "database driver and pool": 1.0,
            "checks of the contract": 0.2,
            OTHER: 0.2,
        }
    )
    [table] = profile_tables({"chain, unary": [profile, profile]})
    assert ("database driver and pool", "2.000") in table.rows


def test_the_figures_have_the_tables_and_the_machine() -> None:
    text = figures(
        Outcome(ledger(), MACHINE, {}), BenchPlan(runs=1), today=date(2026, 1, 2), commit="abc123"
    )
    assert "2026-01-02 at commit abc123" in text
    assert "a processor, 2 cores, memory 4 GiB, PostgreSQL 18.4" in text
    assert "| ledger, all accounts ÷ pgbench TPC-B | 4.00 | ≥ 5 | 9 | ✗ |" in text
    assert "| pgbench TPC-B | 1,500 things | 1,500 to 1,500 |  |" in text


def test_the_picture_shows_each_ratio_as_a_part_of_its_goal() -> None:
    """A bar beyond the goal ends at the picture's edge; below the must it has another colour."""
    bars = drawn(reached(ledger()))
    assert [class_ for class_, _ in bars] == ["short", "goal"]
    assert bars[0][1] / 600 == pytest.approx(4 / 9, abs=0.001)
    assert all(width < 760 for _, width in bars)


def drawn(found: Sequence[Reached]) -> Sequence[tuple[str, float]]:
    """Colour and length of each bar; the goal is at 600."""
    bars = ET.fromstring(picture(found)).iter("{http://www.w3.org/2000/svg}rect")
    return [
        (class_, float(bar.get("width", 0)))
        for bar in bars
        if (class_ := bar.get("class", "")) in {"goal", "must", "short"}
    ]


def test_of_what_should_be_small_the_bar_grows_as_it_becomes_smaller() -> None:
    """Goal 1, must 3: 0.5 is beyond the goal, 2 half of it, 4 a quarter, which is short of 3."""
    ratio = Ratio("a", "b", must=3, goal=1, compared=Compared.P99)
    bars = drawn([Reached(ratio, 0.5), Reached(ratio, 2), Reached(ratio, 4)])
    assert bars == [("goal", 720), ("must", 300), ("short", 150)]
    assert f"M {20 + 600 / 3:.1f} " in picture([Reached(ratio, 2)])


class Turns:
    """A trial that notes what is asked of it."""

    unit = "things"
    groups: Groups = {}

    def __init__(self, name: str, notes: list[str], wrong: Sequence[str] = ()) -> None:
        self.name, self._notes, self._wrong = name, notes, wrong

    async def prepare(self) -> None:
        self._notes.append(f"prepare {self.name}")

    async def turn(self) -> Done:
        self._notes.append(f"turn {self.name}")
        return Done(10, 1)

    async def wrong(self) -> Sequence[str]:
        self._notes.append(f"books {self.name}")
        return self._wrong


async def test_trials_take_turns_and_books_are_checked_at_the_end() -> None:
    notes: list[str] = []
    trials = [Turns("a", notes), Turns("b", notes, ["a cent is missing"])]
    found = await interleaved(trials, runs=2, progress=lambda text: None)
    turn = ["prepare a", "turn a", "prepare b", "turn b"]
    assert notes == [*turn, *turn, "books a", "books b"]
    assert found["b"].wrong == ("a cent is missing",)
    assert len(found["a"].samples) == 2


def test_what_we_started_is_not_counted_as_ours() -> None:
    """The CPU time of a child is told under the child's own name."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc here")
    burn = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    before = spent({"load": lambda: [os.getpid()]})["load"]
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        after = spent({"load": lambda: [os.getpid()], "child": lambda: [child.pid]})
        child.communicate(b"\n")
    assert after["child"] >= 0.4
    assert after["load"] - before < 0.4
    assert spent({"load": lambda: [os.getpid()]})["load"] - before < 0.4


class CountsNine(Books):
    """Books that are right, but of everything there are nine."""

    def __init__(self) -> None:
        super().__init__({})

    async def number(self, service: str, sql: str, **parameters: Any) -> int:
        return 9

    async def wrong(self) -> Sequence[str]:
        return ()


async def test_payments_that_are_not_in_the_books_are_noticed() -> None:
    """Trades, orders at the channel, and each of the three journals."""
    market = Ours(target="", reader_urls={}, books=CountsNine())
    market.business_code = {"merchant_id": "mer_1"}
    assert await market.wrong(9) == []
    assert "10 payments, 9 journals trade.trade.paid/fee" in await market.wrong(10)
    assert len(await market.wrong(10)) == 6


async def test_journals_that_were_answered_and_are_not_there_are_noticed() -> None:
    transfers = Transfers("x", "", {}, CountsNine(), journals=10, event_type="t", posted=9)
    assert await transfers.wrong() == []
    transfers.posted = 10
    assert await transfers.wrong() == ["10 were posted, 9 are there"]


@pytest.mark.parametrize(("wrong", "code"), [((), 0), (("a cent is missing",), 1)])
def test_wrong_books_are_an_error_and_a_missed_must_is_none(
    wrong: Sequence[str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is written down then; with right books it is."""
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path))
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    written = tmp_path / "docs" / "BENCHMARKS.md"
    written.write_text(f"# Benchmarks\n{FIGURES.begin}{FIGURES.end}")
    outcome = Outcome(ledger(wrong=wrong), MACHINE, {})
    monkeypatch.setattr(benchmark, "bench", lambda *_, **__: outcome)
    done = CliRunner().invoke(app, ["bench", "--write"])
    assert done.exit_code == code
    assert ("Measured on" in written.read_text()) is (code == 0)


def test_a_part_is_not_written_down() -> None:
    done = CliRunner().invoke(app, ["bench", "ledger", "--write"])
    assert done.exit_code == 1
    assert "--write takes all" in done.output


@pytest.mark.prove
def test_the_command_measures_everything_and_finds_right_books(own_home: Path) -> None:
    """How fast it is on the machine that tests run on is not judged."""
    done = subprocess.run(
        [sys.executable, "-m", "paymesh_ops.cli.main", "bench", "--runs", "1", "--scale", "0.02"],
        env={**os.environ, "PAYMESH_HOME": str(own_home)},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in WHAT["all"]:
        assert re.search(rf"^{re.escape(name)} +[\d,.]+ \w+ ", done.stdout, re.MULTILINE), name
    for ratio in RATIOS:
        assert ratio.name in done.stdout
