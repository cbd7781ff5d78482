"""`make release` says what keeps a checkout from being released."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.docs.test_docs import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import release

TODAY = date(2027, 2, 28)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a release is made of, as it is here."""
    for name in ("pyproject.toml", "CHANGELOG.md", *release.NAMES_THE_IMAGE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def changelog(root: Path, text: str) -> list[str]:
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n{text}")
    return release.problems_of_changelog(root, TODAY)


def test_one_version_is_named_everywhere(checkout: Path) -> None:
    assert release.problems_of_versions(ROOT) == []
    text = (checkout / "pyproject.toml").read_text()
    version = release.version_of(checkout)
    (checkout / "pyproject.toml").write_text(text.replace(f'"{version}"', '"7.8.9"', 1))
    found = release.problems_of_versions(checkout)
    assert found == [f"{name} names {version}, not 7.8.9" for name in release.NAMES_THE_IMAGE]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("## [Unreleased]\n\n## [0.1.0] - 2027-02-28\n\n- news\n", ""),
        ("## [Unreleased]\n\n- news\n", "begins with ['Unreleased']"),
        ("## [Unreleased]\n\n## [0.0.9] - 2027-02-28\n", "not with Unreleased and 0.1.0"),
        ("## [Unreleased]\n\n- more\n\n## [0.1.0] - 2027-02-28\n", "what is Unreleased belongs"),
        ("## [Unreleased]\n\n## [0.1.0]\n", "has no date: ## [0.1.0] - 2027-02-28"),
        ("## [Unreleased]\n\n## [0.1.0] - soon\n", "has no date"),
        ("## [Unreleased]\n\n## [0.1.0] - 2027-03-01\n", "is yet to come"),
    ],
)
def test_a_release_has_a_dated_section_and_nothing_waits(
    checkout: Path, text: str, said: str
) -> None:
    found = changelog(checkout, text)
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_what_is_committed_is_released_and_once(checkout: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=checkout, check=True, capture_output=True)

    git("init")
    assert release.problems_of_git(checkout) == ["there are changes that are not committed"]
    git("add", ".")
    git("commit", "-m", "all")
    assert release.problems_of_git(checkout) == []
    git("tag", "v0.1.0")
    assert len(release.problems_of_git(checkout)) == 1
