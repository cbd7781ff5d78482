"""What was measured, as JSON for programs: figures, and the tables as words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paymesh_ops.bench.endurance import Endured
from paymesh_ops.bench.plan import BenchPlan
from paymesh_ops.bench.ratios import Compared, Ratio, Reached, reached
from paymesh_ops.bench.run import Outcome
from paymesh_ops.bench.tables import Table, endurance_tables, profile_tables, tables

Record = Mapping[str, Any]
"""`ratios`, `tables`, `machine`, `scale`, and what is `wrong` with the books."""


def write(file: Path, record: Record) -> None:
    file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def of_outcome(outcome: Outcome, plan: BenchPlan) -> Record:
    shown = [*tables(outcome.measured), *profile_tables(outcome.profiles)]
    wrong = [f"{m.name}: {what}" for m in outcome.measured.values() for what in m.wrong]
    return {
        **_record(reached(outcome.measured), shown, wrong, outcome.machine, plan),
        "runs": plan.runs,
    }


def of_endured(endured: Endured, plan: BenchPlan) -> Record:
    """Also the `tenths`: how many, how fast, and MiB by process."""
    right = not endured.wrong
    tenths = [
        {
            "count": tenth.sample.done.count,
            "rate": tenth.sample.rate,
            "resident_mib": dict(tenth.resident_mib),
        }
        for tenth in endured.tenths
    ]
    found = _record(
        endured.reached() if right else [],
        endurance_tables(endured),
        endured.wrong,
        endured.machine,
        plan,
    )
    return {**found, "tenths": tenths if right else []}


def ratios_of(record: Record) -> Sequence[Reached]:
    """The ratios of a record that was read again."""
    return [
        Reached(Ratio(**{**r["ratio"], "compared": Compared(r["ratio"]["compared"])}), r["value"])
        for r in record["ratios"]
    ]


def tables_of(record: Record) -> Sequence[Table]:
    return [Table(**table) for table in record["tables"]]


def _record(
    ratios: Sequence[Reached],
    shown: Sequence[Table],
    wrong: Sequence[str],
    machine: Mapping[str, str],
    plan: BenchPlan,
) -> Record:
    return {
        "scale": plan.scale,
        "machine": dict(machine),
        "ratios": [
            {"ratio": {**asdict(r.ratio), "compared": r.ratio.compared.value}, "value": r.value}
            for r in ratios
        ],
        "tables": [asdict(table) for table in shown],
        "wrong": list(wrong),
    }
