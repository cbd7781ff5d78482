"""docs/ANATOMY.md: every place that it names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.test_docs import ROOT

PAGE = ROOT / "docs" / "ANATOMY.md"
PLACES = re.findall(r"`([a-z_/0-9]+\.py)` `([A-Za-z_.]+)`", PAGE.read_text())


def names_of(path: Path) -> set[str]:
    """Functions, classes, their methods, and what is assigned."""
    return set(_names(ast.parse(path.read_text()), ""))


def _names(parent: ast.AST, within: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{within}{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from _names(node, f"{node.name}.")
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def test_every_place_of_the_anatomy_is_there() -> None:
    assert len(PLACES) > 40
    missing = [(path, name) for path, name in PLACES if name not in names_of(ROOT / path)]
    assert missing == []


def test_every_step_has_a_place_and_there_are_ten_questions() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    steps = [row for row in rows if not re.match(r"\| (step|question) \|", row)]
    assert [row for row in steps if not re.search(r"`[a-z_/0-9]+\.py` `", row)] == []
    questions = PAGE.read_text().split("## Ten questions")[1]
    assert questions.count("\n| ") - 1 == 10
