"""What is compared with: PostgreSQL's own benchmark, and a gRPC hop that does nothing."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psycopg

from paymesh.channel import DIRECT
from paymesh.db.migrate import ROOT
from paymesh.db.session import arguments
from paymesh_ops.bench import echo
from paymesh_ops.bench.cpu import Groups
from paymesh_ops.bench.load import called
from paymesh_ops.bench.measure import Done

TPCB_SCALE = 10
"""Branches: more than clients, so that they seldom meet on one row."""
TPCB_CLIENTS = 8
TPCB_DATABASE = "paymesh_bench_tpcb"
ECHO_CALLERS = 64
ECHO_BYTES = 256
_TRANSACTIONS = re.compile(r"number of transactions actually processed: (\d+)")
_TPS = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")


class Baseline:
    """Nothing to prepare, no books."""

    async def prepare(self) -> None:
        pass

    async def wrong(self) -> Sequence[str]:
        return ()


@dataclass
class TpcB(Baseline):
    """pgbench's TPC-B-like transaction, 8 clients, on the server that our services use."""

    bin_dir: Path
    admin_url: str
    groups: Groups
    seconds: float
    name: str = "pgbench TPC-B"
    unit: str = "transactions"

    def create_tables(self) -> None:
        """Blocking: a database with pgbench's tables."""
        with psycopg.connect(**arguments(self.admin_url), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {TPCB_DATABASE}")
            connection.execute(f"CREATE DATABASE {TPCB_DATABASE}")
        self._pgbench("-i", "-q", "-s", str(TPCB_SCALE))

    def _pgbench(self, *arguments: str) -> str:
        url = self.admin_url.rsplit("/", 1)[0] + f"/{TPCB_DATABASE}"
        done = subprocess.run(
            [self.bin_dir / "pgbench", *arguments, url],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=60 + self.seconds,
        )
        if done.returncode:
            raise RuntimeError(f"pgbench failed: {done.stderr[-500:]}")
        return done.stdout

    async def turn(self) -> Done:
        clients, seconds = str(TPCB_CLIENTS), str(max(1, round(self.seconds)))
        text = await asyncio.to_thread(self._pgbench, "-n", "-c", clients, "-j", "2", "-T", seconds)
        count, tps = _TRANSACTIONS.search(text), _TPS.search(text)
        if count is None or tps is None:
            raise RuntimeError(f"pgbench says: {text}")
        return Done(int(count[1]), int(count[1]) / float(tps[1]))


class Echo(Baseline):
    """A unary echo by 64 callers."""

    name, unit = "raw unary echo", "calls"

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Blocking: the server, in a process of its own."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "paymesh_ops.bench.echo"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    @property
    def groups(self) -> Groups:
        assert self._process is not None, "start() comes first"
        pid = self._process.pid
        return {"echo": lambda: [pid], "load": lambda: [os.getpid()]}

    async def turn(self) -> Done:
        target = f"127.0.0.1:{self._port}"
        async with grpc.aio.insecure_channel(target, options=[DIRECT]) as channel:
            method: Any = channel.unary_unary(echo.METHOD)
            body = os.urandom(ECHO_BYTES)
            await method(body)
            started = time.perf_counter()
            until = started + self._seconds

            def requests() -> Iterator[bytes]:
                while time.perf_counter() < until:
                    yield body

            latencies = await called(requests(), method, callers=ECHO_CALLERS)
            return Done(len(latencies), time.perf_counter() - started, latencies)
