"""How connections begin: what the server, a role and the environment say about values is not
asked, and a password may have any character."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import psycopg
import pytest
from psycopg.rows import tuple_row
from sqlalchemy import text

from paymesh.db.engine import create_engine
from paymesh.db.migrate import migrate
from paymesh.db.session import arguments, parse
from paymesh_ops.check.snapshots import connected
from paymesh_ops.launch import provision
from paymesh_ops.launch.postgres import PostgresServer
from tests.databases import Databases

ODD = "a@b/c:d%20e f?g#h+ü"
HOSTILE = {
    "DateStyle": "'SQL, DMY'", "TimeZone": "'Asia/Kolkata'", "search_path": "decoy, public",
    "default_transaction_isolation": "'serializable'", "default_transaction_read_only": "on",
    "IntervalStyle": "'sql_standard'", "bytea_output": "'escape'", "extra_float_digits": "-15",
    "client_encoding": "'LATIN1'", "standard_conforming_strings": "off", "array_nulls": "off",
    "transform_null_equals": "on", "statement_timeout": "'1ms'", "synchronous_commit": "off",
    "default_transaction_deferrable": "on", "xmloption": "'document'",
}  # fmt: skip
VARIABLES = {
    "PGOPTIONS": "-c TimeZone=Asia/Kolkata -c search_path=decoy", "PGTZ": "Asia/Kolkata",
    "PGDATESTYLE": "SQL, DMY", "PGCLIENTENCODING": "LATIN1", "PGHOSTADDR": "192.0.2.1",
    "PGSERVICE": "nowhere", "PGUSER": "nobody", "PGTARGETSESSIONATTRS": "standby",
}  # fmt: skip
QUESTION = """
    SELECT n.value, n.value::text, '\\x00ff'::bytea::text, 0.1::float8::text,
        '1 day'::interval::text, '{NULL}'::text[], now() > now() - interval '1 s',
        current_setting('transaction_isolation'), current_setting('synchronous_commit'),
        'a\\b', NULL = NULL
    FROM numbers n
"""
AT = datetime(2026, 2, 1, 12, tzinfo=UTC)
ANSWER = (
    *(AT, "2026-02-01 12:00:00+00", "\\x00ff", "0.1", "1 day", [None], True),
    *("read committed", "on", "a\\b", None),
)


def hostile(admin: psycopg.Connection[object], database: str) -> None:
    """The database, and each role in it, have settings that change what statements mean."""
    for whom in (
        f"DATABASE {database}",
        *(f"ROLE {role} IN DATABASE {database}" for role in (*provision.ROLES, "postgres")),
    ):
        for name, value in HOSTILE.items():
            admin.execute(f"ALTER {whom} SET {name} = {value}".encode())


@pytest.fixture
def misled(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database in which everything is set otherwise, and an environment that says so too."""
    database = databases.new("trade", migrated=False)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA decoy")
        for schema, value in (("decoy", "1999-01-01"), ("public", AT.isoformat())):
            admin.execute(f"CREATE TABLE {schema}.numbers (value timestamptz)".encode())
            admin.execute(f"INSERT INTO {schema}.numbers VALUES ('{value}')".encode())
        hostile(admin, database.name)
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    return database.admin_url


async def test_what_a_value_is_does_not_depend_on_where_it_is_asked(misled: str) -> None:
    """By the services' engine, by the check's connection, and by a plain one."""
    engine = create_engine(misled, pool=1)
    async with engine.connect() as connection:
        found = await connection.execute(text(QUESTION.replace(":", r"\:")))
        assert tuple(found.one()) == ANSWER
    await engine.dispose()
    reading = await connected("trade", misled)
    rows = reading.cursor(row_factory=tuple_row)
    isolated = tuple("repeatable read" if v == "read committed" else v for v in ANSWER)
    assert await (await rows.execute(QUESTION.encode())).fetchall() == [isolated]
    await reading.close()
    with psycopg.connect(**arguments(misled)) as plain:
        assert plain.execute(QUESTION.encode()).fetchone() == ANSWER
        assert plain.info.encoding == "utf-8"


def test_migrations_make_their_tables_where_they_belong(misled: str) -> None:
    """As the owner, whatever search_path the owner has; a second time it finds them."""
    owner = parse(misled).set(username="paymesh_trade_owner").render_as_string(False)
    for _ in range(2):
        migrate("trade", owner, app_role="paymesh_trade_app")
    with psycopg.connect(**arguments(misled)) as plain:
        found = plain.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'trade'")
        assert found.fetchall() == [("public",)]


@pytest.fixture
def locked(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an administrator who needs his password."""
    name = f"odd_{secrets.token_hex(3)}"
    rules = postgres.directory / "data" / "pg_hba.conf"
    before = rules.read_text()
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(
            psycopg.sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(
                psycopg.sql.Identifier(name), psycopg.sql.Literal(ODD)
            )
        )
        rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{before}")
        admin.execute("SELECT pg_reload_conf()")
        yield f"postgresql://{name}:{quote(ODD, safe='')}@127.0.0.1:{postgres.port}/postgres"
        rules.write_text(before)
        admin.execute("SELECT pg_reload_conf()")


async def test_a_password_may_have_any_character(locked: str) -> None:
    """Percent-encoded in the URL: for psycopg, SQLAlchemy, migrations, and URLs made from it."""
    wrong = locked.replace("%40", "%41")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**arguments(wrong))
    user = str(parse(locked).username)
    name = f"odd_{secrets.token_hex(3)}"
    provision.create_database(locked, "trade", database=name)
    inside = provision.url_for(locked, role=user, password=ODD, database=name)
    migrate("trade", inside, app_role="paymesh_trade_app")
    engine = create_engine(inside, pool=1)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM trade"))).scalar() == 0
    await engine.dispose()
    await (await connected("trade", inside)).close()
    provision.drop_databases(locked, [name])
