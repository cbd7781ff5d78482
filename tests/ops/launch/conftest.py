"""Homes of meshes that are started by the command itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from paymesh_ops.launch.living import end_all


@pytest.fixture(scope="module")
def mesh_home() -> Iterator[Path]:
    """A PAYMESH_HOME for this file; what is left there is ended."""
    with tempfile.TemporaryDirectory(prefix="paymesh-up-", dir="/var/tmp") as name:
        home = Path(name) / "home"
        home.mkdir()
        for folder in (home, home.parent):
            folder.chmod(0o755)  # as root, PostgreSQL runs as nobody
        yield home
        for folder in (home, home / "demo"):
            end_all(folder)
