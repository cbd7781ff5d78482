"""Takes the guards away one by one and expects a test to notice each: `make sabotage`.

In copies of the checkout, which itself is left alone. First all the tests that guards name must be
green in an untouched copy: one that is red anyway notices nothing. Then each must go red, by a
failed assertion or by waiting in vain, where its guard is gone. With names of guards: only these.
Each run has a PostgreSQL of its own, where the edit may be in the schema; they share a RabbitMQ.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path

from paymesh_ops.launch.servers import ensure_rabbitmq, stop_servers
from tests.sabotage.guard import Guard
from tests.sabotage.guards import GUARDS
from tests.sabotage.places import NoPlace, edited, node_of

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
LIMIT_S = 1200.0
"""Only for what hangs: a run takes seconds."""
STOP_S = 60.0
"""For a run that is over its limit to stop its servers."""
HARM = ("assert", "AssertionError", "Failed: ", "TimeoutError", "builtins.TimeoutError")
"""How the failures begin that tell of harm; others tell of a defect in test or edit."""


def copied(to: Path) -> None:
    """All files that git knows or would, as they are now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to / name)


def results(checkout: Path, tests: Sequence[str]) -> ET.Element:
    """What came of the tests there, in JUnit's words. Raises RuntimeError if they did not run."""
    report = checkout / "report.xml"
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *tests]
    path = os.pathsep.join([str(checkout), str(checkout / "gen")])
    run = subprocess.Popen(
        command,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = run.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            run.communicate(timeout=STOP_S)
        run.kill()
        raise RuntimeError(f"not done within {LIMIT_S:.0f} s") from None
    if run.returncode not in {0, 1}:
        raise RuntimeError(f"the tests could not run:\n{said[-2000:]}")
    return ET.parse(report).getroot()


def require_green(checkout: Path, tests: Sequence[str]) -> None:
    """Exits where a test is not green with all guards in their places."""
    try:
        cases = list(results(checkout, tests).iter("testcase"))
    except RuntimeError as error:
        sys.exit(str(error))
    bad = [f"{case.get('name')} ({_first(case[0])})" for case in cases if len(case)]
    ran = {case.get("name", "") for case in cases} | {
        case.get("name", "").partition("[")[0] for case in cases
    }
    bad += [test for test in tests if test.rpartition("::")[2] not in ran]
    if bad:
        sys.exit(f"not green with all guards in their places: {', '.join(bad)}")


def notice(guard: Guard, whole: Path, checkout: Path) -> str:
    """How its test notices that the guard is gone. Raises RuntimeError if it does not."""
    shutil.copytree(whole, checkout)
    for edit in guard.edits:
        path, text = edited(checkout, edit)
        path.write_text(text)
    found = results(checkout, [node_of(checkout, guard.test)])
    failures = [_first(failure) for failure in found.iter("failure")]
    if not failures:
        errors = [f"an error, no failed assertion: {_first(e)}" for e in found.iter("error")]
        raise RuntimeError(errors[0] if errors else "all is green without it")
    if not failures[0].startswith(HARM):
        raise RuntimeError(f"failed, but by no assertion: {failures[0]}")
    return failures[0]


def _first(problem: ET.Element) -> str:
    return problem.get("message", "").partition("\n")[0][:100]


@contextmanager
def a_broker(home: Path) -> Iterator[None]:
    """Named in the environment, for all runs of tests; each has vhosts of its own in it."""
    try:
        broker = ensure_rabbitmq(home)
        os.environ["PAYMESH_AMQP_URL"] = broker.amqp_url
        os.environ["PAYMESH_RABBITMQ_MANAGEMENT_URL"] = broker.management_url or ""
        yield
    finally:
        stop_servers(home)


def chosen(names: Sequence[str]) -> list[Guard]:
    """The guards of these names, or all. Exits where one has no place or no test any more."""
    if unknown := set(names) - {guard.name for guard in GUARDS}:
        sys.exit(f"no such guard: {', '.join(sorted(unknown))}")
    guards = [guard for guard in GUARDS if not names or guard.name in names]
    for guard in guards:
        try:
            node_of(ROOT, guard.test)
            for edit in guard.edits:
                edited(ROOT, edit)
        except NoPlace as error:
            sys.exit(f"the guard {guard.name} has no place, or no test, any more: {error}")
    return guards


def unnoticed(guards: Sequence[Guard], folder: Path) -> list[str]:
    """Takes each away; the names of those that no test noticed. Tells of each as it is known."""
    found = []
    whole = folder / "whole"
    copied(whole)
    began = time.monotonic()
    tests = sorted({node_of(whole, guard.test) for guard in guards})
    require_green(whole, tests)
    print(f"{len(tests)} tests are green with all guards in their places, {_since(began)}")
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        runs = {
            pool.submit(_tried, guard, whole, folder / str(number)): guard
            for number, guard in enumerate(guards)
        }
        for number, run in enumerate(as_completed(runs), start=1):
            guard = runs[run]
            seen, said, took = run.result()
            print(f"{number}/{len(guards)} without {guard.name}: {guard.harm}")
            print(f"  {'noticed' if seen else 'NOT NOTICED'} by {guard.test}, {took}")
            print(f"  {said}", flush=True)
            if not seen:
                found.append(guard.name)
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _tried(guard: Guard, whole: Path, checkout: Path) -> tuple[bool, str, str]:
    began = time.monotonic()
    try:
        said, seen = notice(guard, whole, checkout), True
    except RuntimeError as error:
        said, seen = str(error), False
    shutil.rmtree(checkout)
    return seen, said, _since(began)


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def main(names: Sequence[str]) -> None:
    began, guards = time.monotonic(), chosen(names)
    with tempfile.TemporaryDirectory(prefix="paymesh-sabotage-", dir="/var/tmp") as name:
        folder = Path(name)
        with a_broker(folder / "servers"):
            left = unnoticed(guards, folder)
    print(f"{len(guards) - len(left)} of {len(guards)} guards are noticed, {_since(began)}")
    if left:
        sys.exit(f"not noticed: {', '.join(sorted(left))}")


if __name__ == "__main__":
    main(sys.argv[1:])
