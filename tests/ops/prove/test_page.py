"""What is said of a proof: on a terminal, in lines, and on a page that needs no other file."""

from __future__ import annotations

import fcntl
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from paymesh.db.migrate import ROOT
from paymesh_ops.bench import recording as bench_recording
from paymesh_ops.bench.endurance import SERVE, Endured, Tenth
from paymesh_ops.bench.measure import Done, Measured, Sample
from paymesh_ops.bench.plan import BenchPlan
from paymesh_ops.bench.ratios import HOT, TPCB, UNIFORM
from paymesh_ops.bench.run import Outcome
from paymesh_ops.cli.main import app
from paymesh_ops.prove import showing
from paymesh_ops.prove.display import display, print_summary
from paymesh_ops.prove.page import page, write
from paymesh_ops.prove.progress import Far, far
from paymesh_ops.prove.report import impersonal
from paymesh_ops.prove.run import Ended, Proof, Verdict
from paymesh_ops.prove.showing import Shown
from paymesh_ops.prove.steps import HOUR_S, STEPS, Step, chosen

BY_NAME = {step.name: step for step in STEPS}
MACHINE = {"CPU": "a processor, 2 cores", "memory": "4 GiB"}


def proof(*ended: Ended, folder: Path = Path("nowhere")) -> Proof:
    begun = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Proof(begun, "abc123", MACHINE, 7, folder, ended)


def ended(name: str, verdict: Verdict = Verdict.PROVEN, **changes: Any) -> Ended:
    log = Path("nowhere.log")
    return replace(Ended(BY_NAME[name], verdict, 65, 600, log=log), **changes)


def recorded(*lines: Mapping[str, Any], to: Path) -> Path:
    to.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return to


def passed(name: str, **properties: Any) -> Mapping[str, Any]:
    return {"name": name, "outcome": "passed", "seconds": 1, "properties": properties, "why": ""}


# The steps


def test_the_limits_of_all_steps_are_an_hour_together() -> None:
    assert sum(step.limit_s for step in STEPS) <= HOUR_S
    for step in STEPS:
        assert step.usual_s < step.limit_s
        assert step.proves.endswith(".")


def test_every_file_that_a_step_names_exists() -> None:
    named = {word.removeprefix("--ignore=") for step in STEPS for word in step.command}
    files = {word for word in named if word.endswith(".py") and not word.startswith("/")}
    assert len(files) >= 3
    assert [name for name in files if not (ROOT / name).is_file()] == []


OURS = [step for step in STEPS if "paymesh_ops.cli.main" in step.command]


@pytest.mark.parametrize("step", OURS, ids=lambda step: step.name)
def test_a_command_of_ours_takes_the_options_that_it_is_given(step: Step, tmp_path: Path) -> None:
    words = step.words(seed=1, result=tmp_path / "result")
    ours = words[words.index("paymesh_ops.cli.main") + 1 :]
    said = CliRunner().invoke(app, [*ours, "--help"])
    assert said.exit_code == 0, said.output


def test_steps_are_chosen_by_name_and_run_in_their_order() -> None:
    assert chosen([]) == list(STEPS)
    assert [step.name for step in chosen(["storm", "kills"])] == ["kills", "storm"]
    with pytest.raises(ValueError, match="no step fly; there are kills, "):
        chosen(["fly"])


def test_the_command_says_which_steps_there_are(tmp_path: Path) -> None:
    """And proves nothing: the folder of proofs stays as it is."""
    done = CliRunner().invoke(app, ["prove", "fly"], env={"PAYMESH_HOME": str(tmp_path)})
    assert done.exit_code == 1
    assert "kills" in done.output
    assert list(tmp_path.iterdir()) == []


def test_two_proofs_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the second one begins nothing."""
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path))
    (tmp_path / "prove").mkdir()
    with (tmp_path / "prove" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = CliRunner().invoke(app, ["prove", "kills"])
    assert done.exit_code == 1
    assert "running here already" in done.output
    assert "steps" not in done.output


# What a step tells


def test_kills_are_told_by_flow_and_by_process(tmp_path: Path) -> None:
    record = recorded(
        {"tests": 2},
        passed("a", died=("purchase", "bus.after_publish", ["pay-work", "trade-work"])),
        passed("b", died=("refund", "shell.before_commit", ["pay-work"])),
        to=tmp_path / "record",
    )
    shown = showing.kills(record, tmp_path / "log")
    assert list(shown.facts) == [
        "2 tests passed",
        "3 deaths of 2 processes at 2 points in 2 flows",
    ]
    by_flow, by_process = shown.pictures
    assert "purchase at bus.after_publish: 2; refund at shell.before_commit: 1" in by_flow
    assert "pay-work at shell.before_commit: 1" in by_process


def test_of_a_record_without_its_end_what_is_there_counts(tmp_path: Path) -> None:
    record = recorded({"tests": 3}, {"begins": "a"}, passed("a"), {"begins": "b"},
                      to=tmp_path / "record")  # fmt: skip
    with record.open("a") as out:
        out.write('{"name": "b", "outc')
    shown = showing.tests(record, tmp_path / "log")
    assert list(shown.facts) == ["1 tests passed", "2 not run"]
    assert [title for title, _ in shown.wrong] == ["b had not ended"]


def test_a_storm_tells_payments_kills_and_invariants(tmp_path: Path) -> None:
    result = tmp_path / "storm.json"
    invariants = [
        {"number": 1, "sentence": "Every journal balances.", "findings": []},
        {"number": 2, "sentence": "Every balance is a sum.", "findings": ["a cent is missing"]},
    ]
    found = {
        "seed": 7, "passed": False, "load_s": 600, "drain_s": 88.6,
        "flows": {"purchase: done": 2999, "purchase: the customer left": 1},
        "payments": {"PURCHASE SUCCEEDED": 3100}, "returns": {"diverted": 4},
        "parked": {"dead.q": 1},
        "faults": {"service killed": [1.0, 3.0], "broker killed": [5.0]},
        "channel_faults": {"callback lost": 40}, "left": {"holds": 2}, "invariants": invariants,
    }  # fmt: skip
    result.write_text(json.dumps(found))
    shown = showing.storm(result, tmp_path / "log")
    said = "; ".join(shown.facts)
    assert "3,000 flows, 2,999 of them as the customer wished; 3,100 payments" in said
    assert "2 × service killed" in said
    assert "diverted 4" in said
    assert "1 of 2 invariants hold" in said
    assert [title for title, _ in shown.wrong] == [
        "invariant 2: Every balance is a sum.",
        "still under way: 2 holds",
        "parked: 1 in dead.q",
    ]


def measured(name: str, rate: float) -> Measured:
    return Measured(name, "things", [Sample(Done(1000, 1000 / rate), {"a-serve": 2.0})])


def test_a_benchmark_tells_its_ratios_beside_must_and_goal(tmp_path: Path) -> None:
    """As the bars of the documents; right books are a part of it."""
    found = {m.name: m for m in (measured(TPCB, 1000), measured(UNIFORM, 6000), measured(HOT, 900))}
    result = tmp_path / "bench.json"
    outcome = Outcome(found, MACHINE, {})
    bench_recording.write(result, bench_recording.of_outcome(outcome, BenchPlan()))
    shown = showing.bench(result, tmp_path / "log")
    assert list(shown.facts) == ["1 of 2 ratios reach their must", "the books are right"]
    assert "6.00 (must ≥ 5, goal 9)" in shown.pictures[0]
    assert [table.title for table in shown.tables][:2] == ["Ratios", "Rates"]
    wrong = replace(found[HOT], wrong=["a cent is missing"])
    outcome = Outcome({**found, HOT: wrong}, MACHINE, {})
    bench_recording.write(result, bench_recording.of_outcome(outcome, BenchPlan()))
    shown = showing.bench(result, tmp_path / "log")
    assert "a cent is missing" in shown.wrong[0][1]


def test_endurance_tells_its_first_and_last_tenth(tmp_path: Path) -> None:
    tenths = [
        Tenth(Sample(Done(1000, 1000 / (1000 - n), [0.02]), {SERVE: 0.05}), {SERVE: 140.0 + n})
        for n in range(10)
    ]
    result = tmp_path / "endurance.json"
    endured = Endured(tenths, (), MACHINE)
    bench_recording.write(result, bench_recording.of_endured(endured, BenchPlan()))
    shown = showing.endurance(result, tmp_path / "log")
    assert list(shown.facts) == [
        "10,000 journals",
        "first tenth 1,000 a second, last 991",
        "clearing-serve: 140 to 149 MiB",
        "the books are right",
    ]


def test_sabotage_tells_which_tests_noticed_which_guard(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "1/2 without inbox, read first: an event fails, for ever\n"
        "  noticed by test_an_event_is_handled[memory], 9 s\n  assert 1 == 2\n"
        "2/2 without confirms: what the broker did not take counts\n"
        "  NOT NOTICED by test_nack_is_a_failure, 7 s\n  all is green without it\n"
    )
    shown = showing.sabotage(tmp_path / "none", log)
    assert not [title for title, _ in shown.wrong if "not taken away" in title]
    assert list(shown.facts) == ["1 of 2 guards are missed when they are gone"]
    [table] = shown.tables
    assert table.rows[0][:3] == (
        "inbox, read first",
        "an event fails, for ever",
        "test_an_event_is_handled[memory]",
    )
    assert [title for title, _ in shown.wrong] == ["nobody noticed that confirms was gone"]
    log.write_text("2/3 without a CHECK: harm\n  noticed by test_it[a = 1-b], 3 s\n  why\n")
    shown = showing.sabotage(tmp_path / "none", log)
    assert shown.tables[0].rows[0][2] == "test_it[a = 1-b]"
    assert [title for title, _ in shown.wrong] == ["2 guards were not taken away"]
    log.write_text("what is this\n")
    with pytest.raises(ValueError, match="no guard"):
        showing.sabotage(tmp_path / "none", log)


# How far it is


def test_many_tests_say_how_far_a_step_is_few_do_not(tmp_path: Path) -> None:
    record, log = tmp_path / "record", tmp_path / "log"
    step = replace(BY_NAME["kills"], usual_s=100)
    done = [passed(str(n)) for n in range(20)]
    recorded({"tests": 40}, *done, {"begins": "tests/a/test_x.py::test_y"}, to=record)
    seen = far(step, 30, record, log)
    assert (seen.part, seen.rest_s) == (0.5, 30)
    assert seen.says == "20 of 40 tests  test_x.py::test_y"
    assert far(step, 60, record, log).rest_s == 40
    assert far(step, 130, record, log).rest_s == 130
    recorded({"tests": 2}, passed("0"), to=record)
    assert far(step, 30, record, log).rest_s == 70


def test_what_has_no_tests_says_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("prepares …\n12 of 3000 flows started\n")
    step = replace(BY_NAME["storm"], usual_s=100)
    seen = far(step, 120, tmp_path / "none", log)
    assert (seen.part, seen.rest_s, seen.says) == (0.99, 0, "12 of 3000 flows started")


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_names_the_step_what_it_says_and_what_is_left(terminal: bool) -> None:
    console = Console(width=150, force_terminal=terminal, record=True)
    steps = [replace(BY_NAME["kills"], usual_s=100), replace(BY_NAME["storm"], usual_s=60)]
    with console.capture() as captured, display(console, steps) as shown:
        shown.begins(steps[0])
        if not terminal:
            vars(shown)["_said"] = 0.0
        shown.is_at(steps[0], Far(10, 0.1, 90, "3 of 65 tests"))
        shown.is_at(steps[0], Far(11, 0.1, 89, "4 of 65 tests"))
        shown.ended(ended("kills", shown=Shown(["65 tests passed"])))
    text = captured.get()
    assert "3 of 65 tests" in text
    assert "2:30" in text  # 90 s, and 60 s of what waits
    assert "65 tests passed" in text
    assert ("4 of 65" in text) is terminal  # a line now and then is enough


# The page


class Tags(HTMLParser):
    """Counts elements, and what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br", "rect", "path"}:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"href", "src"}:
                self.links.append(value or "")
            if name == "id":
                self.ids.add(value or "")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_says_everything_and_needs_no_other_file() -> None:
    """Verdicts, numbers, machine, commit, date, seed, and the command that repeats it."""
    steps = [
        ended("kills", shown=Shown(["65 tests passed <now>"])),
        ended("storm", Verdict.LEFT_OUT, log=None, why="interrupted"),
    ]
    text = page(proof(*steps))
    tags = Tags(text)
    assert tags.open == []
    assert {link.removeprefix("#") for link in tags.links} <= tags.ids
    for said in (
        "1 of 2 steps proven", "65 tests passed &lt;now&gt;", "1:05 of 10:00", "interrupted",
        "a processor, 2 cores", "abc123", "2026-01-02 03:04 UTC", "prefers-color-scheme: dark",
        "@media print", ".venv/bin/paymesh prove kills storm --seed 7",
        BY_NAME["storm"].proves,
    ):  # fmt: skip
        assert said in text


def test_a_failure_stands_before_the_details_with_the_end_of_its_log(tmp_path: Path) -> None:
    """Without what tells whose machine it was; and how it is repeated."""
    log = tmp_path / "kills.log"
    host = socket.gethostname()
    log.write_text(f"\x1b[31mred\x1b[0m in {ROOT}/tests/x.py on {host}\nthe last line\n")
    wrong = [("tests/x.py::test_y", f"assert 1 == 2, {ROOT}/tests/x.py")]
    red = ended("kills", Verdict.RED, why="exit code 1", log=log, shown=Shown(wrong=wrong))
    text = page(proof(red))
    assert Tags(text).open == []
    assert text.index("the last line") < text.index(escape(BY_NAME["kills"].proves))
    assert "assert 1 == 2, tests/x.py" in text
    assert "red in tests/x.py on" in text
    assert str(ROOT) not in text
    assert not re.search(rf"\b{re.escape(host)}\b", text) or host == "localhost"
    assert ".venv/bin/paymesh prove kills --seed 7" in text


def test_the_summary_on_a_terminal_says_the_same() -> None:
    console = Console(width=120)
    red = ended("storm", Verdict.RED, why="exit code 1", shown=Shown(wrong=[("a hold", "")]))
    with console.capture() as captured:
        print_summary(console, proof(ended("kills", shown=Shown(["65 tests passed"])), red))
    text = captured.get()
    for said in ("65 tests passed", "exit code 1", "a hold", "1 of 2 steps proven", "--seed 7"):
        assert said in text


def test_the_page_is_written_into_the_folder_of_its_proof(tmp_path: Path) -> None:
    file = write(proof(ended("kills"), folder=tmp_path))
    assert file.parent == tmp_path
    assert file.read_text() == page(proof(ended("kills"), folder=tmp_path))


def test_folders_of_ours_are_told_as_they_are_in_the_checkout() -> None:
    assert impersonal(f"{ROOT}/tests and {ROOT}") == "tests and ."
    assert impersonal(f"{Path.home()}/x") == "~/x"
