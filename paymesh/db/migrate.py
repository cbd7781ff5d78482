"""Migrations: run by the owner role, one process at a time, to the newest of both branches.

The runtime's tables have a branch of their own (paymesh/db/versions); a service's migrations live
in `<service>/migrations` and depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script.revision import ResolutionError
from alembic.util import CommandError

from paymesh.db.session import arguments

ROOT = Path(__file__).resolve().parents[2]
MIGRATION_LOCK = 0x7061796D


def _config(service: str) -> Config:
    config = Config()
    here = Path(__file__).parent
    config.set_main_option("script_location", _literal(here))
    config.set_main_option("path_separator", "newline")
    versions = [here / "versions", ROOT / f"{service}_svc" / "migrations"]
    config.set_main_option("version_locations", "\n".join(map(_literal, versions)))
    return config


def _literal(path: Path) -> str:
    """For alembic, which would interpolate a percent sign."""
    return str(path).replace("%", "%%")


@contextmanager
def _connected(owner_url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        "postgresql+psycopg://",
        hide_parameters=True,
        poolclass=sa.NullPool,
        connect_args=arguments(owner_url),
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(sa.text(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})"))
            connection.commit()


class UnknownSchema(RuntimeError):
    """The database has a schema that no migration here leads on from; says what to do."""


def migrate(service: str, owner_url: str, *, app_role: str) -> None:
    """Brings a service's database to the newest schema; `app_role` gets its rights.

    Raises UnknownSchema.
    """
    config = _config(service)
    with _connected(owner_url) as connection:
        config.attributes["connection"] = connection
        config.attributes["app_role"] = app_role
        try:
            command.upgrade(config, "heads")
        except CommandError as error:
            if not isinstance(error.__cause__, ResolutionError):
                raise
            raise UnknownSchema(
                f"the database of {service} was made by another version of Paymesh, from which "
                f"nothing leads to this one (its schema is {error.__cause__.argument}). Go on with "
                "that version, take another PAYMESH_HOME, or remove the data: "
                "`paymesh down --purge`"
            ) from error


def differences(service: str, owner_url: str, metadata: sa.MetaData) -> list[object]:
    """How the database differs from the tables that the code declares: empty when true."""

    def ours(_object: object, name: str | None, type_: str, *_: object) -> bool:
        return not (
            type_ == "table"
            and str(name).startswith(("outbox_", "alembic_"))
            and name != "outbox_due"
        )

    with _connected(owner_url) as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        return list(compare_metadata(context, metadata))


def draft(service: str, owner_url: str, metadata: sa.MetaData, message: str) -> None:
    """Writes a new migration from what the code declares; for developers, to be read and edited."""
    config = _config(service)
    with _connected(owner_url) as connection:
        config.attributes["connection"] = connection
        config.attributes["metadata"] = metadata
        command.revision(
            config,
            message,
            autogenerate=True,
            head="base",
            depends_on="rt_0001",
            branch_label=service,
            rev_id=f"{service}_0001",
            version_path=str(ROOT / f"{service}_svc" / "migrations"),
        )
