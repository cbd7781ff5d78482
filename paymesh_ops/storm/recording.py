"""The storm's outcome as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paymesh_ops.storm.run import Outcome


def write(file: Path, outcome: Outcome) -> None:
    file.write_text(json.dumps(of_outcome(outcome), indent=1, ensure_ascii=False) + "\n")


def of_outcome(outcome: Outcome) -> Mapping[str, Any]:
    """Counts by name; `faults` has each one's recovery time in seconds, `invariants` the titles of
    what each found."""
    return {
        "seed": outcome.plan.seed,
        "passed": outcome.passed,
        "load_s": outcome.load_s,
        "drain_s": outcome.drain_s,
        "flows": dict(outcome.tally),
        "payments": dict(outcome.payments),
        "returns": dict(outcome.returns),
        "parked": dict(outcome.parked),
        "faults": {kind.value: times for kind, times in outcome.faults.items()},
        "channel_faults": dict(outcome.channel_faults),
        "left": dict(outcome.left),
        "invariants": [
            {
                "number": result.number,
                "sentence": result.sentence,
                "findings": [finding.title for finding in result.findings],
            }
            for result in outcome.report
        ],
    }
