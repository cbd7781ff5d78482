"""A database that the operator made becomes the same as one that `make up` makes."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from paymesh.db.migrate import ROOT, migrate
from paymesh_ops.launch import provision

pytestmark = pytest.mark.slow

SERVICE = "gateway"
OWNER, APP = f"paymesh_{SERVICE}_owner", f"paymesh_{SERVICE}_app"

RIGHTS = """
    SELECT n.nspname || '.' || c.relname, array(SELECT unnest(c.relacl)::text ORDER BY 1)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'
    UNION ALL SELECT 'default ' || defaclobjtype::text, array(SELECT unnest(defaclacl)::text
    ORDER BY 1) FROM pg_default_acl
    UNION ALL SELECT 'database', array(SELECT unnest(datacl)::text ORDER BY 1)
    FROM pg_database WHERE datname = current_database()
    ORDER BY 1, 2
"""
ENTRY = """
    SELECT rolname, has_database_privilege(oid, current_database(), 'CONNECT'),
    has_schema_privilege(oid, 'public', 'USAGE'), has_schema_privilege(oid, 'public', 'CREATE')
    FROM pg_roles WHERE rolname LIKE 'paymesh%' ORDER BY 1
"""


@pytest.fixture
def names(admin_url: str) -> Iterator[tuple[str, str]]:
    """(the operator's database, ours)"""
    found = tuple(f"{kind}_{secrets.token_hex(4)}" for kind in ("operators", "ours"))
    yield found[0], found[1]
    provision.drop_databases(admin_url, found)


def _query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def _grant(owner_url: str) -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "k8s/base/prepare/grants.py"), SERVICE],
        env=os.environ | {f"PAYMESH_{SERVICE.upper()}_OWNER_URL": owner_url},
        timeout=300,
        check=True,
    )


def test_the_owner_gives_the_rights_that_we_give_on_one_machine(
    admin_url: str, passwords: dict[str, str], names: tuple[str, str]
) -> None:
    """The operator makes a database with its owner and no more; grants, twice, then migrate."""
    operators, ours = names

    def url(role: str, database: str) -> str:
        return provision.url_for(admin_url, role=role, password=passwords[role], database=database)

    def as_admin(database: str) -> str:
        return make_url(admin_url).set(database=database).render_as_string(hide_password=False)

    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(operators), sql.Identifier(OWNER)
            )
        )
    _grant(url(OWNER, operators))
    _grant(url(OWNER, operators))
    provision.create_database(admin_url, SERVICE, database=ours)
    for database in names:
        migrate(SERVICE, url(OWNER, database), app_role=APP)

    for rights in (RIGHTS, ENTRY):
        found = _query(as_admin(operators), rights)
        assert len(found) >= len(provision.ROLES)
        assert found == _query(as_admin(ours), rights)
    [table] = _query(url(APP, operators), "SELECT to_regclass('outbox_due')::text")
    assert table == ("outbox_due",)
