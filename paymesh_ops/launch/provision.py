"""Databases and roles: per service one database, an owner that migrates, an application that can't.

`Credentials` hold the roles' passwords; they are made once and kept by whoever runs the mesh.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from pathlib import Path

import psycopg
from psycopg import sql

from paymesh.db.migrate import MIGRATION_LOCK, migrate
from paymesh.db.session import arguments, parse
from paymesh.settings import SERVICES as SERVICES
from paymesh_ops.launch.home import write_atomically

READER = "paymesh_reader"
ROLES = (
    *(f"paymesh_{service}_{kind}" for service in SERVICES for kind in ("owner", "app")),
    READER,
)


def credentials(path: Path) -> dict[str, str]:
    """The roles' passwords from a file that only we can read; made at the first call."""
    if not path.exists():
        made = json.dumps({role: secrets.token_urlsafe(24) for role in ROLES})
        write_atomically(path, made, mode=0o600)
    return dict(json.loads(path.read_text()))


def url_for(admin_url: str, *, role: str, password: str, database: str) -> str:
    url = parse(admin_url).set(username=role, password=password, database=database)
    # SQLAlchemy leaves a space as it is.
    return url.render_as_string(hide_password=False).replace(" ", "%20")


def create_roles(admin_url: str, passwords: dict[str, str]) -> None:
    """Makes the roles, or gives them these passwords. Any number may do so at once."""
    with psycopg.connect(**arguments(admin_url), autocommit=True) as connection:
        # Roles belong to the server, and PostgreSQL refuses to alter one twice at once.
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        for role, password in passwords.items():
            exists = connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)
            ).fetchone()
            verb = sql.SQL("ALTER" if exists else "CREATE")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                    verb, sql.Identifier(role), sql.Literal(password)
                )
            )


def create_database(admin_url: str, service: str, *, database: str) -> None:
    """Makes a service's database unless it exists.

    It is made aside and gets its name last: one that was cut short is made anew.
    """
    owner, app = (sql.Identifier(f"paymesh_{service}_{kind}") for kind in ("owner", "app"))
    aside = f"{database}_new"
    name = sql.Identifier(aside)
    with psycopg.connect(**arguments(admin_url), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
        if found.fetchone():
            return
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        # The server may be somebody's whose administrator is no superuser: be a member first.
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(
                name, app, sql.Identifier(READER)
            )
        )
    _give_rights(admin_url, aside, owner=owner, app=app)
    with psycopg.connect(**arguments(admin_url), autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(name, sql.Identifier(database))
        )


def _give_rights(
    admin_url: str, database: str, *, owner: sql.Identifier, app: sql.Identifier
) -> None:
    """The owner makes tables, the application uses them, the reader reads them."""
    inside = {**arguments(admin_url), "dbname": database}
    with psycopg.connect(**inside, autocommit=True) as connection:
        for statement in (
            "ALTER SCHEMA public OWNER TO {owner}",
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            "GRANT USAGE ON SCHEMA public TO {app}, {reader}",
            "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public "
            "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
            "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public "
            "GRANT SELECT ON TABLES TO {reader}",
        ):
            connection.execute(
                sql.SQL(statement).format(owner=owner, app=app, reader=sql.Identifier(READER))
            )


def remember_sandbox(admin_url: str, database: str, book: str) -> None:
    """Writes on a database with which book of a sandbox it is used, once: `check` compares."""
    with psycopg.connect(**arguments(admin_url), autocommit=True) as connection:
        found = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
            (database,),
        ).fetchone()
        if found == (None,):
            comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
            connection.execute(
                comment.format(sql.Identifier(database), sql.Literal(f"sandbox {book}"))
            )


def drop_databases(admin_url: str, databases: Iterable[str]) -> None:
    with psycopg.connect(**arguments(admin_url), autocommit=True) as connection:
        for database in databases:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
            )


def provision(
    admin_url: str, passwords: dict[str, str], *, prefix: str = "paymesh_"
) -> dict[str, str]:
    """Roles, databases and schemas of all services. Gives the databases' names by service."""
    create_roles(admin_url, passwords)
    databases = {}
    for service in SERVICES:
        database, owner = f"{prefix}{service}", f"paymesh_{service}_owner"
        create_database(admin_url, service, database=database)
        owner_url = url_for(admin_url, role=owner, password=passwords[owner], database=database)
        migrate(service, owner_url, app_role=f"paymesh_{service}_app")
        databases[service] = database
    return databases
