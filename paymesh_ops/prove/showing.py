"""What each kind of step tells of what it did: from its result, or its log, to words and pictures.

Each reads files that a step wrote, and raises ValueError where they say nothing.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paymesh.failpoint import POINTS
from paymesh_ops.bench.recording import ratios_of, tables_of
from paymesh_ops.bench.tables import NO, YES, Table
from paymesh_ops.prove import pictures, recording
from paymesh_ops.prove.recording import Recorded

SLOWEST = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """`facts`: what it proved in numbers; `wrong`: what is wrong, a title and its text each."""

    facts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[str] = ()
    wrong: Sequence[tuple[str, str]] = ()


def tests(result: Path, _log: Path) -> Shown:
    """Any tests, and what they recorded as `proved`: numbers by name."""
    found = _recorded(result)
    numbers: Counter[str] = Counter()
    for proved in found.properties("proved"):
        numbers.update(proved)
    facts = [*_counts(found), *(f"{count:,} {what}" for what, count in numbers.items())]
    return Shown(facts, [_slowest(found)], wrong=_wrong(found))


def kills(result: Path, _log: Path) -> Shown:
    """Who died where: each test recorded `died`, its flow, its point and the processes."""
    found = _recorded(result)
    died: list[tuple[str, str, list[str]]] = [tuple(d) for d in found.properties("died")]
    by_flow = Counter({(flow, point): len(names) for flow, point, names in died})
    by_process = Counter((name, point) for _, point, names in died for name in names)
    flows = list(dict.fromkeys(flow for flow, _ in by_flow))
    names = sorted({name for name, _ in by_process})
    facts = [*_counts(found)]
    if died:
        facts.append(
            f"{by_process.total()} deaths of {len(names)} processes "
            f"at {len({p for _, p in by_process})} points in {len(flows)} flows"
        )
    drawn = [
        pictures.matrix("Deaths in each flow, by failpoint", by_flow, rows=flows, points=POINTS),
        pictures.matrix(
            "Deaths of each process, by failpoint", by_process, rows=names, points=POINTS
        ),
    ]
    return Shown(facts, pictures=drawn if died else (), wrong=_wrong(found))


def storm(result: Path, _log: Path) -> Shown:
    found = _read(result)
    faults: Mapping[str, Sequence[float]] = found["faults"]
    payments: Mapping[str, int] = found["payments"]
    flows: Mapping[str, int] = found["flows"]
    done = sum(count for what, count in flows.items() if what.endswith(": done"))
    hold = [i for i in found["invariants"] if not i["findings"]]
    facts = [
        f"{sum(flows.values()):,} flows, {done:,} of them as the customer wished",
        f"{sum(payments.values()):,} payments",
        *(f"{len(times)} × {kind}" for kind, times in sorted(faults.items())),
        f"{sum(found['channel_faults'].values()):,} faults of the channel",
        ", ".join(f"{what} {count:,}" for what, count in found["returns"].items()),
        f"drained {found['drain_s']:.0f} s after the last flow",
        f"{len(hold)} of {len(found['invariants'])} invariants hold",
    ]
    ours = [
        (kind, str(len(times)), f"{statistics.median(times):.1f} s", f"{max(times):.1f} s")
        for kind, times in sorted(faults.items())
    ]
    invariants = [
        (f"{i['number']}. {i['sentence']}", str(len(i["findings"])), NO if i["findings"] else YES)
        for i in found["invariants"]
    ]
    tables = [
        Table("Faults of ours", ("fault", "times", "back after: median", "longest"), ours),
        Table("The invariants, at rest", ("invariant", "found", ""), invariants),
        _counted("What customers saw", "flow", flows),
        _counted("How payments ended", "payment", payments),
        _counted("Faults of the channel", "fault", found["channel_faults"]),
    ]
    wrong = [
        (f"invariant {i['number']}: {i['sentence']}", "\n".join(i["findings"]))
        for i in found["invariants"]
        if i["findings"]
    ]
    wrong += [(f"still under way: {count} {what}", "") for what, count in found["left"].items()]
    wrong += [(f"parked: {count} in {what}", "") for what, count in found["parked"].items()]
    return Shown(facts, tables, wrong=wrong)


def bench(result: Path, _log: Path) -> Shown:
    found = _read(result)
    ratios = ratios_of(found)
    enough = sum(ratio.enough for ratio in ratios)
    facts = [f"{enough} of {len(ratios)} ratios reach their must", *_books(found)]
    return Shown(facts, tables_of(found), [pictures.ratios(ratios)], _wrong_books(found))


def endurance(result: Path, _log: Path) -> Shown:
    found = _read(result)
    tenths: Sequence[Mapping[str, Any]] = found["tenths"]
    if not tenths:
        return Shown(_books(found), wrong=_wrong_books(found))
    first, last = tenths[0]["rate"], tenths[-1]["rate"]
    facts = [
        f"{sum(tenth['count'] for tenth in tenths):,} journals",
        f"first tenth {first:,.0f} a second, last {last:,.0f}",
        *(
            f"{name}: {tenths[0]['resident_mib'][name]:.0f} to {mib:.0f} MiB"
            for name, mib in tenths[-1]["resident_mib"].items()
        ),
        *_books(found),
    ]
    rates = [(str(n), tenth["rate"], f"{tenth['rate']:,.0f}") for n, tenth in enumerate(tenths, 1)]
    drawn = [pictures.ratios(ratios_of(found)), pictures.columns("Journals a second", rates)]
    return Shown(facts, tables_of(found), drawn)


_GUARD = re.compile(
    r"^\d+/(?P<all>\d+) without (.+?): (.+)\n  (noticed|NOT NOTICED) by (.+), \d+ s$", re.MULTILINE
)


def sabotage(_result: Path, log: Path) -> Shown:
    """Its log names each guard, what happens without it, and the test that noticed."""
    found = _GUARD.findall(log.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise ValueError("no guard was taken away")
    there = int(found[0][0])
    rows = [
        (name, harm, test, YES if verdict == "noticed" else NO)
        for _, name, harm, verdict, test in found
    ]
    missed = [row for row in rows if row[-1] == NO]
    table = Table("Guards that were taken away", ("guard", "without it", "noticed by", ""), rows)
    facts = [f"{len(rows) - len(missed)} of {there} guards are missed when they are gone"]
    wrong = [(f"nobody noticed that {name} was gone", harm) for name, harm, *_ in missed]
    if len(rows) < there:
        wrong.append((f"{there - len(rows)} guards were not taken away", ""))
    return Shown(facts, [table], wrong=wrong)


def _read(result: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def _recorded(result: Path) -> Recorded:
    found = recording.read(result)
    if not found.tests and not found.expected:
        raise ValueError("no test was found")
    return found


def _counts(found: Recorded) -> Sequence[str]:
    names = {test.name for test in found.tests}
    counts = {
        "failed": len(found.bad),
        "skipped": found.count("skipped"),
        "not run": max(0, found.expected - len(names)),
    }
    others = [f"{count:,} {what}" for what, count in counts.items() if count]
    return [f"{found.count('passed'):,} tests passed", *others]


def _wrong(found: Recorded) -> Sequence[tuple[str, str]]:
    wrong = [(test.name, test.why) for test in found.bad]
    return wrong + [(f"{name} had not ended", "") for name in found.running]


def _slowest(found: Recorded) -> Table:
    ordered = sorted(found.tests, key=lambda test: -test.seconds)[:SLOWEST]
    rows = [(test.name.removeprefix("tests/"), f"{test.seconds:.1f} s") for test in ordered]
    return Table("The slowest tests", ("test", "took"), rows)


def _counted(title: str, what: str, counts: Mapping[str, int]) -> Table:
    return Table(title, (what, "times"), [(k, f"{v:,}") for k, v in sorted(counts.items())])


def _books(found: Mapping[str, Any]) -> Sequence[str]:
    return ["the books are WRONG" if found["wrong"] else "the books are right"]


def _wrong_books(found: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    return [("the books are wrong", "\n".join(found["wrong"]))] if found["wrong"] else []
