"""Runs a command as if it were another time: `python -m tests.clock 2027-12-31T23:59:50 pytest`.

Everything that it starts has that clock and it goes on from there: our processes, PostgreSQL (which
decides what time it is), all but the broker. Durations stay what they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

LIBRARY = Path("vendor", "libfaketime", "src", "libfaketime.so.1")


def shifted(library: Path, start: datetime) -> dict[str, str]:
    """The environment in which it is `start` (UTC) now."""
    ahead_s = round((start - datetime.now(UTC)).total_seconds())
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{ahead_s:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def main() -> None:
    start = datetime.fromisoformat(sys.argv[1]).replace(tzinfo=UTC)
    package = find_spec("libfaketime")
    assert package is not None
    assert package.origin is not None
    with tempfile.TemporaryDirectory(prefix="paymesh-clock-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        library = shutil.copy(Path(package.origin).parent / LIBRARY, folder)
        environment = os.environ | shifted(library, start)
        sys.exit(subprocess.run(sys.argv[2:], env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
