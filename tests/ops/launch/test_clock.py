"""The suite's clock: what it starts lives at the time that it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paymesh.db.migrate import ROOT

pytestmark = pytest.mark.slow

ASKS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import psycopg
from paymesh_ops.launch.postgres import start_postgres, stop_postgres
server = start_postgres(Path(sys.argv[1]))
try:
    with psycopg.connect(server.url) as connection:
        [theirs] = connection.execute("SELECT now()").fetchone()
    print(theirs.date(), datetime.now(UTC).date())
finally:
    stop_postgres(server.directory)
"""


def test_our_processes_and_postgresql_live_at_the_time_that_is_given(own_home: Path) -> None:
    """As root, too, where PostgreSQL runs as another user."""
    outside = {k: v for k, v in os.environ.items() if "FAKE" not in k and k != "LD_PRELOAD"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.clock", "2028-02-29T12:00:00"),
            *(sys.executable, "-c", ASKS, str(own_home / "postgres")),
        ],
        cwd=ROOT,
        env={**outside, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.split() == ["2028-02-29", "2028-02-29"], done.stderr
