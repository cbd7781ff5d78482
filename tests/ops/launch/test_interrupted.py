"""`up`, `down`, `demo` interrupted at any moment: a sentence, nothing lives, the next run works."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from paymesh_ops.launch.living import living
from tests.ops.launch.lives import (
    SOME_MOMENTS,
    assert_nothing_lives,
    begin,
    finish,
    interrupted,
    moment_of,
    run,
    runs,
    wait_for,
)

INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL


def assert_ended_well(words: str, number: signal.Signals, code: int, said: str) -> None:
    """One sentence and exit code 130; but in its own first milliseconds Python ends by itself:
    before it runs a line of ours, or at the second one, where it learns what a signal is."""
    if "Fatal Python error: init" in said or 'File "<string>", line 2' in said:
        return
    assert "Traceback" not in said, said
    if number is KILL:
        assert code in {0, -KILL}, said
    elif code == 130:
        assert said.count("interrupted; ") + said.count("was interrupted: ") == 1, said
    else:
        assert code in {0, -number}, f"{words}: {code} {said}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "moments"),
    [
        ("up", [(0.02, INT), (0.4, TERM), (4.0, INT), (3.0, KILL)]),
        ("demo", [(1.0, INT), (3.0, KILL), (4.0, TERM)]),
    ],
)
def test_a_command_that_is_interrupted_leaves_nothing_alive(
    mesh_home: Path, words: str, moments: list[tuple[float, signal.Signals]]
) -> None:
    """Early and late; what a killed one leaves, the next one finds: a supervisor that an `up` had
    started is nobody else's to end but `down`'s."""
    for after_s, number in moments:
        code, said = interrupted(begin(mesh_home, words), after_s, number)
        assert_ended_well(words, number, code, said)
        if number is not KILL and code != 0:
            assert_nothing_lives(mesh_home)
    runs(mesh_home, "down")
    assert_nothing_lives(mesh_home)


def sweep(
    home: Path,
    words: str,
    moments: Iterable[int],
    *,
    before: Callable[[], object] = lambda: None,
    after_kill: Callable[[], object] = lambda: None,
    after: Callable[[], object],
) -> None:
    """Interrupts the command at moments that are spread over its whole duration."""
    before()
    began = time.monotonic()
    runs(home, words)
    lasts_s = time.monotonic() - began
    after()
    for moment in moments:
        before()
        after_s, number = moment_of(moment, lasts_s)
        began = time.monotonic()
        code, said = interrupted(begin(home, words), after_s, number)
        if code == 0:  # the machine is less busy now
            lasts_s = time.monotonic() - began
        print(f"{words}: {number.name} after {after_s:.2f} of {lasts_s:.2f} s: {code}", flush=True)
        assert_ended_well(words, number, code, said)
        if number is KILL:
            after_kill()
        after()


@pytest.mark.prove
@SOME_MOMENTS
def test_up_is_interrupted_at_any_moment(mesh_home: Path, moments: range) -> None:
    """Nothing of it lives; after a kill -9 the next `up` works on what was left."""

    def after() -> None:
        if living(mesh_home).supervisors:  # it was over before its moment came
            runs(mesh_home, "down")
        assert_nothing_lives(mesh_home)

    def after_kill() -> None:
        runs(mesh_home, "up")
        runs(mesh_home, "down")

    sweep(mesh_home, "up", moments, after_kill=after_kill, after=after)
    runs(mesh_home, "up")
    runs(mesh_home, "down")


@pytest.mark.prove
@SOME_MOMENTS
def test_down_is_interrupted_at_any_moment(mesh_home: Path, moments: range) -> None:
    """The next `down` ends the rest."""

    def after() -> None:
        runs(mesh_home, "down")
        assert_nothing_lives(mesh_home)

    sweep(mesh_home, "down", moments, before=lambda: runs(mesh_home, "up"), after=after)


@pytest.mark.prove
@SOME_MOMENTS
def test_demo_is_interrupted_at_any_moment(mesh_home: Path, moments: range) -> None:
    """Nothing of it lives; after a kill -9 the next demo works on what was left."""

    def after() -> None:
        assert_nothing_lives(mesh_home)

    sweep(mesh_home, "demo", moments, after_kill=lambda: runs(mesh_home, "demo"), after=after)
    runs(mesh_home, "demo")


@pytest.mark.prove
@pytest.mark.parametrize("words", ["up", "demo", "down"])
@pytest.mark.parametrize("apart_s", [0.0, 1.0])
def test_two_at_once_are_one_and_a_sentence(mesh_home: Path, words: str, apart_s: float) -> None:
    """One does it; the other is told who is at work, or comes after it."""
    if words == "down":
        runs(mesh_home, "up")
    first = begin(mesh_home, words)
    time.sleep(apart_s)
    second = begin(mesh_home, words)
    ends = [finish(first), finish(second)]
    assert 0 in {code for code, _ in ends}, ends
    for code, said in ends:
        assert "Traceback" not in said
        assert code == 0 or f"`paymesh {words}` (process " in said, said
    assert len(living(mesh_home).supervisors) == (1 if words == "up" else 0)
    runs(mesh_home, "down")
    assert_nothing_lives(mesh_home)


@pytest.mark.prove
def test_a_purge_that_is_killed_is_finished_by_the_next_command(mesh_home: Path) -> None:
    """Whatever is left of the data, the next `up` and `down --purge` work."""
    for after_s in (0.5, 1.0, 2.0, 4.0, 6.0, 8.0):
        runs(mesh_home, "up")
        interrupted(begin(mesh_home, "down", "--purge"), after_s, KILL)
        runs(mesh_home, "up")
    code, said = run(mesh_home, "check", "--grace-s", "2")
    assert code == 0, said
    runs(mesh_home, "down", "--purge")
    wait_for("the home is removed", lambda: not mesh_home.exists())
    assert_nothing_lives(mesh_home)
