"""Figures as tables of words, for terminals and documents alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paymesh_ops.bench.endurance import Endured
from paymesh_ops.bench.measure import Measured
from paymesh_ops.bench.profiling import AREAS, OTHER, Profile
from paymesh_ops.bench.ratios import Reached, reached

YES, NO = "✓", "✗"
_AROUND = ("PostgreSQL", "RabbitMQ", "load")
"""What is told after the processes that are measured."""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(measured: Mapping[str, Measured]) -> Sequence[Table]:
    """Ratios, rates, CPU time. What left wrong books has no figure in them."""
    found = (_ratios(reached(measured)), _rates(measured), _cpu(measured))
    return [table for table in found if table.rows]


def endurance_tables(endured: Endured) -> Sequence[Table]:
    """Ratios, and each tenth. What left wrong books has no figure."""
    if endured.wrong:
        return []
    journals = sum(tenth.sample.done.count for tenth in endured.tenths)
    processes = list(endured.tenths[0].resident_mib)
    rows = [
        (
            str(number),
            _number(tenth.sample.rate),
            _latency(tenth.sample.p99_ms),
            _ms(sum(tenth.sample.cpu_ms.values()) if tenth.sample.cpu_ms else None),
            *(f"{tenth.resident_mib[process]:.1f} MiB" for process in processes),
        )
        for number, tenth in enumerate(endured.tenths, 1)
    ]
    memory = (f"memory of {process}" for process in processes)
    columns = ("tenth", "a second", "p99 of a call", "CPU ms for each one", *memory)
    return [_ratios(endured.reached()), Table(f"Tenths of {journals:,} journals", columns, rows)]


def _ratios(found: Sequence[Reached]) -> Table:
    rows = [
        (r.ratio.name, str(r), r.ratio.bound, f"{r.ratio.goal:g}", YES if r.enough else NO)
        for r in found
    ]
    return Table("Ratios", ("ratio", "measured", "must", "goal", ""), rows)


def _rates(measured: Mapping[str, Measured]) -> Table:
    columns = ("trial", "a second", "slowest to fastest", "p99 of a call")
    return Table("Rates", columns, [_rate(found) for found in measured.values()])


def _rate(found: Measured) -> Sequence[str]:
    if found.wrong:
        return (found.name, "books are wrong", "", "")
    slowest, fastest = found.spread
    return (
        found.name,
        f"{_number(found.rate)} {found.unit}",
        f"{_number(slowest)} to {_number(fastest)}",
        _latency(found.p99_ms),
    )


def _latency(p99_ms: float | None) -> str:
    return "" if p99_ms is None else f"{p99_ms:.1f} ms"


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _cpu(measured: Mapping[str, Measured]) -> Table:
    """Of the median turn. A column for each trial, a row for each process that any of them had."""
    costs = {
        found.name: found.median.cpu_ms
        for found in measured.values()
        if not found.wrong and found.median.cpu_ms
    }
    found = dict.fromkeys(name for cpu_ms in costs.values() for name in cpu_ms)
    names = [*(n for n in found if n not in _AROUND), *(n for n in _AROUND if n in found)]
    rows = [(name, *(_ms(cpu_ms.get(name)) for cpu_ms in costs.values())) for name in names]
    total = ("all", *(_ms(sum(cpu_ms.values())) for cpu_ms in costs.values()))
    columns = ("process", *costs)
    return Table("CPU milliseconds for each one", columns, [*rows, total] if rows else [])


def profile_tables(profiles: Mapping[str, Sequence[Profile]]) -> Sequence[Table]:
    """What our processes spent their CPU time on, by trial, if that was looked into.

    A column sums to what they took under the profiler, which slows them down.
    """
    costs: dict[str, Counter[str]] = {}
    for name, found in profiles.items():
        costs[name] = Counter()
        for profile in found:
            if profile.process not in _AROUND:
                costs[name].update(profile.areas)
    areas = [*(area for area, _ in AREAS), OTHER]
    rows = [(area, *(_ms(cost.get(area)) for cost in costs.values())) for area in areas]
    columns = ("what the code is for", *costs)
    return [Table("Where the milliseconds of our processes go", columns, rows)] if costs else []


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
