"""Takes a guard away and expects the tests to notice: `make sabotage`.

Each patch of tests/sabotage/ is applied to a copy of the checkout, and the tests that its second
line names must go red there. Exit code 1 if one stays green. The checkout itself is left alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATCHES = sorted((ROOT / "tests" / "sabotage").glob("*.patch"))
MUST_GO_RED = "Must go red: "


def copied(to: Path) -> None:
    """All files that git knows, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to / name)


def applies(patch: Path, checkout: Path, *, check: bool) -> bool:
    command = ["git", "apply", *(["--check"] if check else []), str(patch)]
    # Outside a repository git applies to plain files.
    environment = {"GIT_CEILING_DIRECTORIES": str(checkout.parent), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=checkout, env=environment).returncode == 0


def tests_of(patch: Path) -> list[str]:
    line = patch.read_text().splitlines()[1]
    assert line.startswith(MUST_GO_RED), f"{patch.name} does not say which tests must go red"
    return line.removeprefix(MUST_GO_RED).split()


def goes_red(patch: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="paymesh-sabotage-") as folder:
        checkout = Path(folder)
        copied(checkout)
        if not applies(patch, checkout, check=False):
            sys.exit(f"{patch.name} does not apply any more: make it anew")
        command = [sys.executable, "-m", "pytest", "-q", "-x", *tests_of(patch)]
        run = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
        return run.returncode == 1  # 0: nobody noticed; others: the tests could not run


def main() -> None:
    survived = []
    for patch in PATCHES:
        print(f"{patch.stem}: {patch.read_text().splitlines()[0]}", flush=True)
        red = goes_red(patch)
        print("  noticed" if red else "  NOT NOTICED", flush=True)
        if not red:
            survived.append(patch.stem)
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
