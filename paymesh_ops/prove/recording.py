"""What tests did, as pytest_plugin writes it down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Test:
    name: str
    outcome: str
    seconds: float
    properties: Mapping[str, Any]
    why: str

    __test__ = False  # pytest, this is none of yours


@dataclass(slots=True)
class Recorded:
    """What a record says so far."""

    expected: int = 0
    tests: list[Test] = field(default_factory=list)
    running: list[str] = field(default_factory=list)

    def count(self, outcome: str) -> int:
        return sum(test.outcome == outcome for test in self.tests)

    @property
    def bad(self) -> Sequence[Test]:
        return [test for test in self.tests if test.outcome in {"failed", "error"}]

    def properties(self, name: str) -> list[Any]:
        """Everything that tests recorded under a name."""
        return [test.properties[name] for test in self.tests if name in test.properties]


def read(file: Path) -> Recorded:
    """A record, also one that is still being written: its last line may lack its end."""
    found = Recorded()
    for text in file.read_text(encoding="utf-8").splitlines(keepends=True):
        if not text.endswith("\n"):
            break
        line = json.loads(text)
        if "tests" in line:
            found.expected = line["tests"]
        elif "begins" in line:
            found.running.append(line["begins"])
        else:
            found.tests.append(Test(**line))
            if line["name"] in found.running:  # not, if it was its teardown that failed
                found.running.remove(line["name"])
    return found
