"""Says what keeps this checkout from being released, or how it is tagged: `make release`.

It changes nothing. A release is a version in pyproject.toml, the same one wherever an image is
named, a dated section of its own in CHANGELOG.md, and a contract that is frozen as it is now.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES_THE_IMAGE = (
    "Dockerfile",
    "docs/KUBERNETES.md",
    "k8s/base/kustomization.yaml",
    "k8s/overlays/dev/sandbox/sandbox.yaml",
)
_IMAGE = re.compile(r"(?:paymesh:|newTag: )(\d+\.\d+\.\d+)")
_SECTION = re.compile(r"^## \[(.+?)\](?: - (\S+))?$", re.MULTILINE)


def version_of(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def problems_of_versions(root: Path) -> list[str]:
    """Where another version is named than pyproject.toml's, or none."""
    version, found = version_of(root), []
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(f"pyproject.toml: {version} is no version like 1.2.3")
    for name in NAMES_THE_IMAGE:
        named = set(_IMAGE.findall((root / name).read_text())) or {"no version"}
        found += [f"{name} names {other}, not {version}" for other in sorted(named - {version})]
    return found


def problems_of_changelog(root: Path, today: date) -> list[str]:
    text, version = (root / "CHANGELOG.md").read_text(), version_of(root)
    sections = list(_SECTION.finditer(text))
    names = [section[1] for section in sections]
    if names[:2] != ["Unreleased", version]:
        return [f"CHANGELOG.md begins with {names[:2]}, not with Unreleased and {version}"]
    found = []
    if text[sections[0].end() : sections[1].start()].strip():
        found.append(f"CHANGELOG.md: what is Unreleased belongs to {version}")
    try:
        released = date.fromisoformat(sections[1][2] or "")
    except ValueError:
        return [*found, f"CHANGELOG.md: {version} has no date: ## [{version}] - {today}"]
    if released > today:
        found.append(f"CHANGELOG.md: {released} is yet to come")
    return found


def problems_of_contract(root: Path) -> list[str]:
    """Whether protos/baseline.binpb is today's contract."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "built.binpb"
        buf = [root / ".venv/bin/buf", "build", "--exclude-source-info"]
        subprocess.run([*buf, "--path", "protos/payments", "-o", built], cwd=root, check=True)
        same = built.read_bytes() == (root / "protos/baseline.binpb").read_bytes()
    return [] if same else ["the contract is not frozen as it is: make contract-release, commit"]


def problems_of_git(root: Path) -> list[str]:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)
        return done.stdout.decode().strip()

    found = []
    if git("status", "--porcelain"):
        found.append("there are changes that are not committed")
    if git("tag", "--list", f"v{version_of(root)}"):
        found.append(f"v{version_of(root)} was released: raise the version in pyproject.toml")
    return found


def main() -> int:
    today = datetime.now(UTC).date()
    found = [
        *problems_of_versions(ROOT),
        *problems_of_changelog(ROOT, today),
        *problems_of_contract(ROOT),
        *problems_of_git(ROOT),
    ]
    for problem in found:
        print(f"- {problem}")
    if found:
        return 1
    version = version_of(ROOT)
    print(f"{version} can be released: git tag -a v{version} -m {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
