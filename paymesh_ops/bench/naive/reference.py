"""Starts and stops the reference, and looks at its books."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import psycopg
from sqlalchemy import create_engine, make_url

from paymesh.channel import DIRECT
from paymesh.db.migrate import ROOT
from paymesh.db.session import arguments
from paymesh_ops.bench.naive.bus import declare, remove
from paymesh_ops.bench.naive.clearing import fee_of
from paymesh_ops.bench.naive.models import TABLES, Base
from paymesh_ops.launch.home import kept_ports
from paymesh_ops.launch.processes import tail
from paymesh_ops.launch.provision import drop_databases

DATABASES = {service: f"paymesh_naive_{service}" for service in TABLES}
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0

_UNBALANCED = """
    SELECT journal.id FROM journal LEFT JOIN entry ON entry.journal_id = journal.id
    GROUP BY journal.id HAVING count(entry.amount) <> 2 OR sum(entry.amount) <> 0
"""
_WRONG_BALANCES = """
    SELECT coalesce(account.id, account_id)
    FROM account
    FULL JOIN (SELECT account_id, sum(amount) AS total FROM entry GROUP BY account_id) AS sums
        ON sums.account_id = account.id
    WHERE account.balance IS DISTINCT FROM total
"""
_BOOKED = """
    SELECT journal.kind, journal.payment_id, sum(entry.amount) FILTER (WHERE entry.amount > 0)
    FROM journal LEFT JOIN entry ON entry.journal_id = journal.id GROUP BY journal.id
"""


class Naive:
    """The four processes. Their logs are in `home`; `admin_url` may create databases."""

    def __init__(self, home: Path, *, admin_url: str, amqp_url: str) -> None:
        self._home, self._admin_url, self._amqp_url = home, admin_url, amqp_url
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = kept_ports(home / "naive-ports.json", list(TABLES))
        self._targets = {service: f"127.0.0.1:{port}" for service, port in ports.items()}
        self.trade_target = self._targets["trade"]

    @property
    def pids(self) -> dict[str, int]:
        """By service."""
        return {service: process.pid for service, process in self._processes.items()}

    def start(self) -> None:
        """Blocking: databases and queues made anew, four processes, until each answers."""
        try:
            declare(self._amqp_url)
            self._create_databases()
            for service in TABLES:
                self._spawn(service)
            for service in TABLES:
                self._wait_until_it_answers(service)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """SIGTERM, then kill; queues and databases removed."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        drop_databases(self._admin_url, DATABASES.values())
        remove(self._amqp_url)

    def booked(self) -> int:
        """Journals of paid trades so far."""
        [[count]] = self._rows("clearing", "SELECT count(*) FROM journal WHERE kind = 'PAID'")
        return int(count)

    def wrong(self) -> list[str]:
        """What is wrong with its books once it is at rest, in words. Empty is right."""
        trades = self._rows("trade", "SELECT id, state, paid_payment_id, amount FROM trade")
        paid = [(payment, amount) for _, state, payment, amount in trades if state == "PAID"]
        expected = {(kind, *it) for kind in ("COLLECTED", "PAID") for it in paid}
        expected |= {("FEE", payment, fee_of(amount)) for payment, amount in paid if fee_of(amount)}
        booked = set(self._rows("clearing", _BOOKED))
        findings = {
            "journals without two entries that balance": self._rows("clearing", _UNBALANCED),
            "balances that are not the sum of entries": self._rows("clearing", _WRONG_BALANCES),
            "trades that are not PAID": [row for row in trades if row[1] != "PAID"],
            "journals missing of paid trades": expected - booked,
            "journals that no paid trade explains": booked - expected,
        }
        return [
            f"{what}: {len(found)}, such as {':'.join(min(found)[:2])}"
            for what, found in findings.items()
            if found
        ]

    def _create_databases(self) -> None:
        drop_databases(self._admin_url, DATABASES.values())
        with psycopg.connect(**arguments(self._admin_url), autocommit=True) as connection:
            for database in DATABASES.values():
                connection.execute(f"CREATE DATABASE {database}".encode())
        for service, names in TABLES.items():
            engine = create_engine(self._url(service, "postgresql+psycopg"))
            Base.metadata.create_all(engine, [Base.metadata.tables[name] for name in names])
            engine.dispose()

    def _url(self, service: str, driver: str = "postgresql") -> str:
        url = make_url(self._admin_url).set(drivername=driver, database=DATABASES[service])
        return url.render_as_string(hide_password=False)

    def _log(self, service: str) -> Path:
        return self._home / f"naive-{service}.log"

    def _spawn(self, service: str) -> None:
        environment = {
            **os.environ,
            "NAIVE_DATABASE_URL": self._url(service, "postgresql+psycopg"),
            "NAIVE_AMQP_URL": self._amqp_url,
            "NAIVE_LISTEN": self._targets[service],
            "NAIVE_PAY_TARGET": self._targets["pay"],
            "NAIVE_GATEWAY_TARGET": self._targets["gateway"],
        }
        with self._log(service).open("wb") as log:
            self._processes[service] = subprocess.Popen(
                [sys.executable, "-m", "paymesh_ops.bench.naive", service],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_until_it_answers(self, service: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        with grpc.insecure_channel(self._targets[service], options=[DIRECT]) as channel:
            ready = grpc.channel_ready_future(channel)
            while self._processes[service].poll() is None and time.monotonic() < deadline:
                try:
                    ready.result(0.2)
                    return
                except grpc.FutureTimeoutError:
                    continue
        raise RuntimeError(
            f"naive {service} is not ready; its log ends: {tail(self._log(service))}"
        )

    def _rows(self, service: str, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**arguments(self._url(service))) as connection:
            return connection.execute(sql.encode()).fetchall()
