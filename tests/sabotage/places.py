"""Where a guard stands: found by name in the source as it is now, so that code may move.

A place is "package:Qualified.name": a function, a class, or a name that is assigned, anywhere below
the package (or in the module). In migrations it may also be the name of a constraint. What is
replaced there is source, of which only white space does not matter; it must be there exactly once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


class NoPlace(Exception):
    """Nothing, or not one thing alone, is where it was said to be."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In `place` the source `replace` becomes `by`."""

    place: str
    replace: str
    by: str = "pass"


@dataclass(frozen=True, slots=True)
class Found:
    path: Path
    start: int
    end: int


def find(root: Path, edit: Edit) -> Found:
    """The one place in the checkout `root`. Raises NoPlace, saying what is wrong."""
    package, _, name = edit.place.partition(":")
    regions = [
        (path, start, text)
        for path in _sources(root, package)
        for start, text in _named(path.read_text(), name)
    ]
    if not regions:
        raise NoPlace(f"nothing below {package} is called {name} any more")
    found = {
        Found(path, start + match.start(), start + match.end())
        for path, start, text in regions
        for match in _pattern(edit.replace).finditer(text)
    }
    if len(found) != 1:
        raise NoPlace(f"{edit.place} has {len(found)} times, not once: {edit.replace}")
    return found.pop()


def edited(root: Path, edit: Edit) -> tuple[Path, str]:
    """The file with the edit, and its new text, which compiles. Raises NoPlace."""
    found = find(root, edit)
    text = found.path.read_text()
    text = text[: found.start] + edit.by + text[found.end :]
    try:
        compile(text, str(found.path), "exec")
    except SyntaxError as error:
        raise NoPlace(f"{edit.place} is no Python with {edit.by!r}: {error}") from error
    return found.path, text


def node_of(root: Path, test: str) -> str:
    """The test for pytest, with its file. Raises NoPlace."""
    name = re.split(r"\[|::", test)[0]
    definition = re.compile(rf"^(?:async def|def|class) {name}\b", re.MULTILINE)
    files = [p for p in (root / "tests").rglob("test_*.py") if definition.search(p.read_text())]
    if len(files) != 1:
        raise NoPlace(f"{len(files)} files have a test {name}, not one")
    return f"{files[0].relative_to(root)}::{test}"


def _sources(root: Path, package: str) -> list[Path]:
    path = root.joinpath(*package.split("."))
    module = path.with_suffix(".py")
    return [module] if module.is_file() else sorted(path.rglob("*.py"))


def _pattern(source: str) -> re.Pattern[str]:
    pieces = re.findall(r"\w+|[^\w\s]", source)
    whole = [rf"\b{piece}\b" if piece[0].isidentifier() else re.escape(piece) for piece in pieces]
    return re.compile(r"\s*".join(whole))


def _named(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Where each thing of that name begins, and its source."""
    if name.rpartition(".")[2] not in text:
        return
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:  # columns are counted in bytes
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    for node in _nodes(_parsed(text), "", name):
        start = offset(node.lineno, node.col_offset)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        yield start, text[start : offset(node.end_lineno, node.end_col_offset)]


@lru_cache(maxsize=200)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _nodes(parent: ast.AST, within: str, name: str) -> Iterator[ast.stmt | ast.expr]:
    for node in ast.iter_child_nodes(parent):
        inner = within
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{within}{node.name}."
            if within + node.name == name:
                yield node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and within + t.id == name for t in targets):
                yield node
        elif isinstance(node, ast.Call):
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(isinstance(v, ast.Constant) and v.value == name for v in values):
                yield node
        yield from _nodes(node, inner, name)
