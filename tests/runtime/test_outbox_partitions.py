"""The outbox has a partition a day, made ahead by the application role and dropped after a week."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

import psycopg
import pytest
from psycopg import errors

from tests.databases import Databases


@pytest.fixture(scope="module")
def urls(databases: Databases) -> tuple[str, str]:
    """(application role, owner) of a migrated trade database."""
    database = databases.new("trade")
    return database.app_url, database.owner_url


def partitions(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox'::regclass"
        )
        return {str(row[0]) for row in rows}


def today_of(url: str) -> date:
    """The database's."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()
    assert row is not None
    return cast(date, row[0])


def name_of(day: date) -> str:
    return f"outbox_{day:%Y%m%d}"


def test_the_application_makes_the_coming_days_and_drops_the_old(urls: tuple[str, str]) -> None:
    """A day with an unconfirmed event stays, however old it is."""
    app, owner = urls
    # Another day may begin meanwhile: no matter, for what is compared.
    today = today_of(owner)

    def after(days: int) -> date:
        return today + timedelta(days=days)

    with psycopg.connect(owner, autocommit=True) as connection:
        for days in (-9, -10):
            connection.execute(
                f"CREATE TABLE {name_of(after(days))} PARTITION OF outbox FOR VALUES "
                f"FROM ('{after(days)} 00:00+00') TO ('{after(days + 1)} 00:00+00')"
            )
        due = f"{after(-9)} 12:00+00"
        connection.execute("INSERT INTO outbox_due VALUES (1, 'evt', %s, %s)", (due, due))
    with psycopg.connect(app, autocommit=True) as connection:
        connection.execute("SELECT outbox_partitions(5, 7)")
        # The unconfirmed event of day -9 also keeps nothing older than itself.
        assert name_of(after(-10)) not in partitions(app)
        assert name_of(after(-9)) in partitions(app)
        assert {name_of(after(days)) for days in range(1, 6)} <= partitions(app)
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("DROP TABLE outbox_default")


def test_what_is_old_in_the_default_partition_goes_unless_it_is_still_due(
    urls: tuple[str, str],
) -> None:
    """It fell there on a day that had no partition yet."""
    app, owner = urls
    today = today_of(owner)
    columns = "'t','a',1,'S','b','m','o','s','p','LIVE','','', ''::bytea, true"
    with psycopg.connect(owner, autocommit=True) as connection:
        for name, days in (("old", 30), ("due", 30), ("young", 8)):
            at = f"{today - timedelta(days=days)} 12:00+00"
            connection.execute(f"INSERT INTO outbox SELECT 2, '{at}', '{name}', {columns}".encode())
        connection.execute("INSERT INTO outbox_due VALUES (2, 'due', now(), now())")
        found = "SELECT event_id FROM outbox_default WHERE shard_key = 2 ORDER BY 1"
        assert connection.execute(found).fetchall() == [("due",), ("old",), ("young",)]
        with psycopg.connect(app, autocommit=True) as application:
            application.execute("SELECT outbox_default_pruned(9, 100)")
            assert connection.execute(found).fetchall() == [("due",), ("young",)]
            connection.execute("DELETE FROM outbox_due WHERE shard_key = 2")
            application.execute("SELECT outbox_default_pruned(7, 1)")
            assert len(connection.execute(found).fetchall()) == 1


def test_events_of_today_lie_in_todays_partition(urls: tuple[str, str]) -> None:
    """So that a week's events go by dropping tables, not by deleting rows."""
    app, _ = urls
    columns = "'t','a',1,'S','b','m','o','s','p','LIVE','','', ''::bytea, false"
    with psycopg.connect(app, autocommit=True) as connection:
        connection.execute(f"INSERT INTO outbox SELECT 1, now(), 'evt_1', {columns}".encode())
        row = connection.execute(
            "SELECT tableoid::regclass::text, (occurred_at AT TIME ZONE 'UTC')::date FROM outbox"
        ).fetchone()
    assert row is not None
    assert row[0] == name_of(row[1])
