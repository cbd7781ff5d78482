"""Databases of tests: on the run's one PostgreSQL, migrated once a run and copied from then on."""

from __future__ import annotations

import fcntl
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from sqlalchemy import make_url

from paymesh.db.migrate import migrate
from paymesh_ops.launch.provision import READER, SERVICES, create_database, drop_databases, url_for


@dataclass(frozen=True)
class Database:
    """One database, by the URLs of those who may enter it."""

    name: str
    admin_url: str
    owner_url: str
    app_url: str

    def execute(self, statement: str, *parameters: object) -> None:
        self.query(statement, *parameters)

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """As superuser, in a connection of its own."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def begins(self, day: date) -> None:
        """The books' first day is not after this one."""
        self.execute("UPDATE books SET first_day = least(first_day, %s)", day)

    def waiting(self) -> int:
        """How many of its sessions wait for a lock."""
        [[count]] = self.query(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
        return int(count)


_OLDER_ELSEWHERE = """
    SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted
    AND datname <> current_database() AND age(transactionid) > age(%s::xid)
"""


def others_have_ended(url: str) -> None:
    """Waits for all older transactions of other databases: they belong to other tests, and who asks
    PostgreSQL for the oldest one that has not ended is told of the whole server's."""
    give_up_at = time.monotonic() + 60
    with psycopg.connect(url, autocommit=True) as connection:
        now = connection.execute("SELECT pg_current_xact_id()::xid::text").fetchone()
        # PostgreSQL tells nobody when a transaction ends, so it is asked, for a minute at most.
        while connection.execute(_OLDER_ELSEWHERE, now).rowcount:
            assert time.monotonic() < give_up_at, "other tests have transactions of a minute"
            time.sleep(0.01)


D = TypeVar("D", bound=Database)


@contextmanager
def locked(home: Path, name: str) -> Iterator[None]:
    """One worker of the run at a time."""
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def database_of(
    admin_url: str,
    passwords: Mapping[str, str],
    service: str,
    name: str,
    kind: Callable[[str, str, str, str], D],
) -> D:
    """By its name on the server of `admin_url`."""
    owner, app = f"paymesh_{service}_owner", f"paymesh_{service}_app"
    return kind(
        name,
        make_url(admin_url).set(database=name).render_as_string(hide_password=False),
        *(
            url_for(admin_url, role=role, password=passwords[role], database=name)
            for role in (owner, app)
        ),
    )


@dataclass
class Databases:
    """Makes the databases of one worker; their names begin with the run's and the worker's."""

    home: Path
    admin_url: str
    passwords: Mapping[str, str]
    run: str
    worker: str
    names: list[str] = field(default_factory=list)

    def new(
        self,
        service: str,
        kind: Callable[[str, str, str, str], D] = Database,
        *,
        migrated: bool = True,
    ) -> D:
        """A database of its own: with the newest schema, or with none."""
        name = f"{self.prefix()}{service}"
        self._make(service, name, migrated=migrated)
        return database_of(self.admin_url, self.passwords, service, name, kind)

    @contextmanager
    def lent(
        self,
        service: str,
        kind: Callable[[str, str, str, str], D] = Database,
    ) -> Iterator[D]:
        """A migrated database for a while."""
        database = self.new(service, kind)
        yield database
        drop_databases(self.admin_url, [self.names.pop(self.names.index(database.name))])

    def four(self) -> str:
        """All services' databases, as `prepare(…, prefix=…)` would make them; their prefix."""
        prefix = self.prefix()
        for service in SERVICES:
            self._make(service, f"{prefix}{service}", migrated=True)
        return prefix

    def prefix(self) -> str:
        """What nobody else's names begin with."""
        return f"{self.run}_{self.worker}_{secrets.token_hex(4)}_"

    def drop(self) -> None:
        drop_databases(self.admin_url, self.names)

    def _make(self, service: str, name: str, *, migrated: bool) -> None:
        self.names.append(name)
        if migrated:
            self._copy(service, name)
        else:
            create_database(self.admin_url, service, database=name)

    def _copy(self, service: str, name: str) -> None:
        """Of the template's files: a fifth of the time that the log of all its pages would take."""
        template = self._template(service)
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            for statement in (
                f"CREATE DATABASE {name} OWNER paymesh_{service}_owner TEMPLATE {template} "
                "STRATEGY file_copy",
                f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
                f"GRANT CONNECT ON DATABASE {name} TO paymesh_{service}_app, {READER}",
            ):
                connection.execute(statement.encode())

    def _template(self, service: str) -> str:
        name = f"{self.run}_template_{service}"
        made = self.home / name
        with locked(self.home, name):
            if not made.exists():
                create_database(self.admin_url, service, database=name)
                template = database_of(self.admin_url, self.passwords, service, name, Database)
                migrate(service, template.owner_url, app_role=f"paymesh_{service}_app")
                made.touch()
        return name
