"""Endurance: tenths of many journals, the last ones beside the first ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from paymesh_ops.bench.document import ENDURANCE, FIGURES, endurance_figures
from paymesh_ops.bench.endurance import MEMORY, RATE, SERVE, TENTHS, Endured, Tenth
from paymesh_ops.bench.measure import Done, Sample
from paymesh_ops.bench.memory import resident_mib
from paymesh_ops.bench.plan import BenchPlan
from paymesh_ops.bench.printing import print_endured
from paymesh_ops.cli import benchmark
from paymesh_ops.cli.main import app
from paymesh_ops.prove import showing

MACHINE = {"CPU": "a processor, 2 cores", "memory": "4 GiB"}


def tenth(rate: float, serve_mib: float | None = 140.0) -> Tenth:
    """A thousand journals; without /proc there is neither CPU time nor memory."""
    done = Done(1000, 1000 / rate, [0.02])
    if serve_mib is None:
        return Tenth(Sample(done), {})
    sample = Sample(done, {SERVE: 0.05, "load": 0.01})
    return Tenth(sample, {SERVE: serve_mib, "clearing-work": 124.0})


def endured(*tenths: Tenth, wrong: Sequence[str] = ()) -> Endured:
    return Endured(tenths, wrong, MACHINE)


def printed(found: Endured) -> str:
    console = Console(width=110)
    with console.capture() as captured:
        print_endured(console, found)
    return captured.get()


@pytest.mark.parametrize(("last", "enough"), [(9000, True), (8990, False)])
def test_the_last_tenth_must_be_nearly_as_fast_as_the_first(last: float, enough: bool) -> None:
    """What is between them does not count."""
    rate, _ = endured(tenth(10_000), tenth(2000), tenth(50_000), tenth(last)).reached()
    assert rate.ratio is RATE
    assert rate.value == pytest.approx(last / 10_000)
    assert rate.enough is enough


@pytest.mark.parametrize(("last", "enough"), [(210, True), (211, False), (100, True)])
def test_memory_must_not_grow_after_the_second_tenth(last: float, enough: bool) -> None:
    """In the first one it may: pools and caches fill."""
    _, memory = endured(tenth(1, 50), tenth(1, 200), tenth(1, 500), tenth(1, last)).reached()
    assert memory.ratio is MEMORY
    assert memory.value == pytest.approx(last / 200)
    assert memory.enough is enough


def test_where_memory_is_not_known_the_rate_is_told() -> None:
    found = endured(*[tenth(10_000, None)] * TENTHS)
    assert [r.ratio for r in found.reached()] == [RATE]
    text = printed(found)
    assert "last tenth ÷ first tenth" in text
    assert "MiB" not in text


def test_every_tenth_is_told_with_rate_latency_and_memory() -> None:
    text = printed(endured(*(tenth(10_000 - 100 * n, 140 + n) for n in range(TENTHS))))
    lines = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    assert ["1", "10,000", "20.0 ms", "0.060", "140.0 MiB", "124.0 MiB"] in lines
    assert ["10", "9,100", "20.0 ms", "0.060", "149.0 MiB", "124.0 MiB"] in lines
    assert ["last tenth ÷ first tenth", "0.910", "≥ 0.9", "1", "✓"] in lines
    assert [f"{SERVE}, last tenth ÷ second tenth, memory", "1.06", "≤ 1.05", "1", "✗"] in lines
    assert "Tenths of 10,000 journals" in text


def test_wrong_books_have_no_figures() -> None:
    text = printed(endured(*[tenth(10_000)] * TENTHS, wrong=["a cent is missing"]))
    assert "a cent is missing" in text
    assert "÷" not in text
    assert "10,000" not in text


def test_the_figures_say_what_was_run_on_what() -> None:
    found = endured(*[tenth(10_000)] * TENTHS)
    text = endurance_figures(found, BenchPlan(scale=0.5), today=date(2026, 1, 2), commit="abc123")
    assert "2026-01-02 at commit abc123 with `paymesh bench endurance --scale 0.5 --write`" in text
    assert "on a processor, 2 cores, memory 4 GiB." in text
    assert "| last tenth ÷ first tenth | 1.00 | ≥ 0.9 | 1 | ✓ |" in text
    assert "\n### Tenths of 10,000 journals\n" in text


def test_memory_is_what_a_process_has_now() -> None:
    """64 MiB more are 64 MiB more; a process that has ended is an error, not nothing."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    program = "input()\nb = bytearray(b'x') * (64 << 20)\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True)\n{program}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        groups: Mapping[str, Any] = {"child": lambda: [child.pid], "us": lambda: [os.getpid()]}
        child.stdout.readline()
        before = resident_mib(groups)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        after = resident_mib(groups)
        child.communicate(b"\n")
    assert 60 < after["child"] - before["child"] < 80
    assert before["us"] > 10
    with pytest.raises(RuntimeError, match="has ended"):
        resident_mib({"child": lambda: [child.pid]})


@pytest.mark.parametrize(("wrong", "code"), [((), 0), (("a cent is missing",), 1)])
def test_its_figures_replace_only_its_own(
    wrong: Sequence[str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With right books; those of all stay, and so does their picture."""
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path))
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    written = tmp_path / "docs" / "BENCHMARKS.md"
    others = f"# Benchmarks\n{FIGURES.begin}some figures\n{FIGURES.end}words\n"
    written.write_text(f"{others}{ENDURANCE.begin}old\n{ENDURANCE.end}more words\n")
    found = endured(*[tenth(10_000)] * TENTHS, wrong=wrong)
    monkeypatch.setattr(benchmark, "endure", lambda *_, **__: found)
    done = CliRunner().invoke(app, ["bench", "endurance", "--write"])
    assert done.exit_code == code
    text = written.read_text()
    assert text.startswith(others)
    assert text.endswith("more words\n")
    assert ("Measured on" in text) is (code == 0)
    assert ("\nold\n" in text) is (code == 1)
    assert [file.name for file in written.parent.iterdir()] == [written.name]


def test_there_is_no_profile_of_endurance() -> None:
    done = CliRunner().invoke(app, ["bench", "endurance", "--profile"])
    assert done.exit_code == 1
    assert "--profile" in done.output


@pytest.mark.prove
def test_the_command_posts_ten_tenths_and_finds_right_books(own_home: Path, tmp_path: Path) -> None:
    """How fast it is on the machine that tests run on is not judged."""
    told = tmp_path / "told.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "paymesh_ops.cli.main", "bench", "endurance"),
            *("--scale", "0.004", "--json", str(told)),
        ],
        env={**os.environ, "PAYMESH_HOME": str(own_home)},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert RATE.name in done.stdout
    assert "Tenths of 4,000 journals" in done.stdout
    assert "4,000 journals" in showing.endurance(told, tmp_path).facts
    for number in range(1, TENTHS + 1):
        assert re.search(rf"^{number} +[\d,.]+ +[\d.]+ ms ", done.stdout, re.MULTILINE)
    if Path("/proc/self/status").exists():
        assert MEMORY.name in done.stdout
        assert len(re.findall(r"[\d.]+ MiB +[\d.]+ MiB", done.stdout)) == TENTHS
