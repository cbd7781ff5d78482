"""What README and docs/ say exists: commands, links, paths, tests, fields of the contracts."""

from __future__ import annotations

import ast
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from paymesh.failpoint import POINTS
from paymesh.settings import known_names
from paymesh_ops.check.runner import INVARIANTS
from paymesh_ops.cli.main import app

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
DOCS = (README, *(ROOT / page for page in PAGES), *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")

doc = pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path, *languages: str) -> Iterator[str]:
    for language, body in FENCE.findall(path.read_text()):
        if language in languages:
            yield body


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


TOOLS = {
    "docker": {"build"},
    "kind": {"create", "load"},
    "kubectl": {
        *("apply", "create", "exec", "get", "label", "patch", "port-forward", "rollout", "wait")
    },
}
"""What a document may tell people to run beside ours: tools that they have, by their verbs."""


def problem(line: str) -> str:
    """What is wrong with one command line of a document; empty when nothing is."""
    pipeline = line.removeprefix("$ ").split(" | ")
    return next((found for command in pipeline if (found := _problem_of(command))), "")


def _problem_of(command: str) -> str:
    words = shlex.split(command, comments=True)
    if not words:
        return ""
    if words[0] == "make":
        return "" if set(words[1:]) <= targets() else f"no such target: {command}"
    if words[0] in {"paymesh", ".venv/bin/paymesh"}:
        return _problem_of_paymesh(words[1:])
    if words[0] == ".venv/bin/python":
        return "" if (ROOT / words[1]).is_file() else f"no such script: {command}"
    if words[0] in TOOLS:
        return _problem_of_tool(words)
    return f"not a command that we know: {command}"


def _problem_of_tool(words: list[str]) -> str:
    if words[1] not in TOOLS[words[0]]:
        return f"{words[0]} is not told to {words[1]}"
    named = [path for flag, path in pairwise(words) if flag in {"-f", "-k"} and path != "-"]
    missing = [path for path in named if not (ROOT / path).exists()]
    return f"no such path: {missing}" if missing else ""


def _problem_of_paymesh(words: list[str]) -> str:
    command: Any = typer.main.get_command(app)
    while words and (commands := getattr(command, "commands", None)) is not None:
        if words[0] not in commands:
            return f"paymesh has no command {words[0]}"
        command, words = commands[words[0]], words[1:]
    if getattr(command, "commands", None) is not None:
        return f"{command.name} wants a subcommand"
    known = {option for parameter in command.params for option in parameter.opts}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"{command.name} has no {unknown}" if unknown else ""


@doc
def test_every_command_exists(path: Path) -> None:
    """In fenced sh and console blocks, and in `make …` and `paymesh …` of the text."""
    lines = [line for body in blocks(path, "sh", "console") for line in body.splitlines()]
    prose = FENCE.sub("", path.read_text())
    lines += re.findall(r"`(make [a-z-]+|(?:\.venv/bin/)?paymesh [a-z][^`]*)`", prose)
    assert [found for line in lines if (found := problem(line))] == []


@pytest.mark.parametrize("line", ["make coffee", "paymesh fly", "paymesh topology", "rm -rf /",
                                  "paymesh down --all", "kubectl apply -k k8s/nowhere",
                                  "kubectl dance", ".venv/bin/python k8s/nothing.py",
                                  "paymesh check | rm -rf /"])  # fmt: skip
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    assert problem(line)


@doc
def test_every_link_resolves(path: Path) -> None:
    prose = FENCE.sub("", path.read_text())
    relative = [link for link in LINK.findall(prose) if not link.startswith(("http", "#"))]
    missing = [link for link in relative if not (path.parent / link.split("#")[0]).exists()]
    assert missing == []


def test_every_path_of_the_folder_table_exists() -> None:
    table = README.read_text().split("## Where things are")[1].split("\n## ")[0]
    paths = [path for row in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
             for path in re.findall(r"`([^`]+)`", row)]  # fmt: skip
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).is_dir()] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.svg")), ids=lambda path: path.name)
def test_pictures_are_svg_with_a_title(path: Path) -> None:
    root = ET.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert "prefers-color-scheme: dark" in path.read_text()


def test_the_example_compiles_and_its_fields_exist() -> None:
    """Messages with their fields, enum values, and methods of stubs."""
    [example] = blocks(README, "python")
    tree = ast.parse(example)
    compile(tree, "README.md", "exec")
    modules = {
        name.name: import_module(f"{node.module}.{name.name}")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("payments.")
        for name in node.names
    }
    messages = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            assert module is None or hasattr(module, node.attr), ast.unparse(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            module = modules.get(owner.id) if isinstance(owner, ast.Name) else None
            descriptor = getattr(getattr(module, node.func.attr, None), "DESCRIPTOR", None)
            if descriptor is not None:
                messages += 1
                used = {keyword.arg for keyword in node.keywords}
                assert used <= set(descriptor.fields_by_name), ast.unparse(node)
    assert messages >= 6


def test_methods_of_the_example_exist() -> None:
    [example] = blocks(README, "python")
    services = {
        "merchants": ("trade", "merchant_service", "MerchantService"),
        "trades": ("trade", "trade_service", "TradeService"),
        "gateway": ("gateway", "channel_service", "ChannelService"),
    }
    calls = re.findall(rf"\b({'|'.join(services)})\.([A-Z]\w+)\(", example)
    assert len(calls) >= 5
    for stub, method in calls:
        area, module, service = services[stub]
        file = import_module(f"payments.{area}.v1.{module}_pb2").DESCRIPTOR
        assert method in file.services_by_name[service].methods_by_name


@cache
def names_of_tests() -> frozenset[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        found.update(re.findall(r"def (test_\w+)", path.read_text()))
    return frozenset(found)


def test_every_test_that_reliability_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "RELIABILITY.md").read_text()))
    assert len(named) > 30
    assert named - names_of_tests() == set()


def test_reliability_names_every_invariant_and_failpoint() -> None:
    text = (ROOT / "docs" / "RELIABILITY.md").read_text()
    numbers = {int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert numbers == {invariant.number for invariant in INVARIANTS}
    assert [point for point in POINTS if f"`{point}`" not in text] == []


def test_operations_names_every_setting_and_metric() -> None:
    """And no other."""
    text = (ROOT / "docs" / "OPERATIONS.md").read_text()
    named = set(re.findall(r"`(PAYMESH_[A-Z_]+)`", text))
    assert named == known_names()
    source = (ROOT / "paymesh" / "metrics.py").read_text()
    metrics = set(re.findall(r'"(payments_[a-z_]+)"', source))
    told = {name.removesuffix("_total") for name in re.findall(r"`(payments_[a-z_]+)`", text)}
    assert told == metrics


def test_decisions_are_short_and_listed() -> None:
    folder = ROOT / "docs" / "adr"
    decisions = sorted(folder.glob("0*.md"))
    listed = (folder / "README.md").read_text()
    for path in decisions:
        text = path.read_text()
        assert len(text.splitlines()) <= 25, path.name
        parts = ("**Context.**", "**Decision.**", "**Why.**", "**Cost.**")
        assert [part for part in parts if part not in text] == [], path.name
        assert path.name in listed
    assert len(decisions) >= 8


def test_the_glossary_says_where_each_word_stands_and_has_it_once() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$",
        (ROOT / "docs" / "GLOSSARY.md").read_text(),
        re.MULTILINE,
    )
    words = [word for word, _ in rows if word not in {"word", "---"}]
    assert len(words) > 40
    assert sorted(set(words)) == sorted(words)
    missing = [
        p for _, where in rows for p in re.findall(r"`([^`]+)`", where) if not (ROOT / p).exists()
    ]
    assert missing == []
