"""What it was measured on: enough to compare, nothing that tells whose machine it is."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pika
import psycopg

from paymesh.db.migrate import ROOT
from paymesh.db.session import arguments

_GIT_TIMEOUT_S = 10.0


def machine(postgres_url: str, amqp_url: str) -> Mapping[str, str]:
    """The machine and the versions by name, in the order in which they are told."""
    return {
        **hardware(),
        "PostgreSQL": _postgres(postgres_url),
        "RabbitMQ": _rabbitmq(amqp_url),
        "Python": platform.python_version(),
    }


def hardware() -> Mapping[str, str]:
    """The machine alone."""
    return {
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def commit() -> str:
    """The commit that is checked out, and whether files differ from it; empty outside of git."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + (" with uncommitted changes" if head and _git("status", "--porcelain") else "")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S
        )
    except OSError:  # no git here
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", _text(file), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory() -> str:
    found = re.search(r"^MemTotal:\s+(\d+) kB$", _text(Path("/proc/meminfo")), re.MULTILINE)
    return f"{int(found[1]) / 1024**2:.0f} GiB" if found else "not known"


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _postgres(url: str) -> str:
    with psycopg.connect(**arguments(url)) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    return str(row[0])


def _rabbitmq(amqp_url: str) -> str:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        version = connection._impl.server_properties["version"]
    return version.decode() if isinstance(version, bytes) else str(version)
