"""What is in a row is in no log: not in a message, not in a traceback, not in the server's own."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from structlog.testing import capture_logs

from paymesh.db.errors import error_text
from paymesh.shell import Shell
from paymesh_ops.launch.postgres import PostgresServer
from tests.runtime.world import Database, create
from trade_svc.trades.model import TradeView

SECRET = "0 Elm Street, Ada"
NO_NUMBER = "Ada's mother"
"""The server's own log quotes what is not of its type; ours does not."""
NOISY = f"""
import asyncio, logging, sys
import psycopg, structlog
from sqlalchemy import text
from paymesh import log as logs
from paymesh.db.engine import create_engine
from paymesh.store.port import Rejected
from paymesh.store.postgres import PostgresStore

SECRET, url = {SECRET!r}, sys.argv[1]
INSERT = "INSERT INTO secrets VALUES ({{}}, {{}})"
logs.start("trade-serve")
log = structlog.get_logger()
engine = create_engine(url, pool=2)

async def raw(minor):
    async with PostgresStore(engine).writing() as connection:
        await connection.execute(INSERT.format("%s", "%s"), (SECRET, minor))

async def through_sqlalchemy(minor):
    async with engine.connect() as connection:
        await connection.execute(text(INSERT.format(":a", ":b")), {{"a": SECRET, "b": minor}})

async def main():
    asyncio.get_running_loop().set_exception_handler(logs.tell_of_task)
    for way in (raw, through_sqlalchemy):
        for minor in (1, -1, {NO_NUMBER!r}):
            try:
                await way(minor)
            except Exception as error:
                log.exception("one")
                log.error("two", exc_info=error, error=str(error) if way is raw else "")
                logging.getLogger("library").exception("three: %s", error)
                try:
                    raise RuntimeError("around it") from error
                except RuntimeError:
                    log.exception("four")
                try:
                    raise ExceptionGroup("many", [error])
                except ExceptionGroup as group:
                    log.error("five", exc_info=group)
    task = asyncio.create_task(through_sqlalchemy(1))
    await asyncio.sleep(0.5)
    del task
    import gc; gc.collect()
    await through_sqlalchemy(1)

asyncio.run(main())
"""


def server_log(server: PostgresServer) -> str:
    return (server.directory / "server.log").read_text(errors="replace")


@pytest.fixture
def secrets_table(database: Database) -> Database:
    database.query("CREATE TABLE secrets (name text PRIMARY KEY, minor bigint CHECK (minor > 0))")
    database.query("GRANT ALL ON secrets TO PUBLIC")
    database.query("INSERT INTO secrets VALUES (%s, 1)", SECRET)
    return database


def test_no_row_is_told_by_any_log(secrets_table: Database, postgres: PostgresServer) -> None:
    """23505, 23514 and 22P02, raw and through SQLAlchemy: alone, as a cause, in a group, by a
    library, by a task that nobody awaits, and uncaught. State and constraint are told."""
    done = subprocess.run(
        [sys.executable, "-c", NOISY, secrets_table.app_url],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    for told_ in ("23505: duplicate key", "23514: new row", "secrets_minor_check", "secrets_pkey",
                  "library three", "around it", "many", "Task exception was never retrieved",
                  "Traceback"):  # fmt: skip
        assert told_ in done.stderr, done.stderr
    assert "22P02" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert NO_NUMBER not in done.stdout + done.stderr
    said = server_log(postgres)
    assert "secrets_minor_check" in said
    assert SECRET not in said


async def test_an_unsaved_item_says_why_but_not_what(
    shell: Shell[TradeView], database: Database, postgres: PostgresServer
) -> None:
    """A row that a CHECK refuses is a payer's: the constraint is enough to find the defect."""
    with capture_logs() as logs:
        await shell.process([create("worthless", minor=0, subject=SECRET)])
    [unsaved] = [line for line in logs if line["event"] == "item.unsaved"]
    assert unsaved["error"].startswith("23514: new row for relation")
    assert "constraint" in unsaved["error"]
    assert SECRET not in str(logs)
    assert SECRET not in server_log(postgres)


def test_an_error_is_told_with_what_it_is_about(secrets_table: Database) -> None:
    with psycopg.connect(secrets_table.admin_url) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("INSERT INTO secrets VALUES (%s, 2)", (SECRET,))
        assert SECRET in str(caught.value)
        assert error_text(caught.value) == (
            "23505: duplicate key value violates unique constraint "
            '"secrets_pkey" (constraint secrets_pkey, table secrets)'
        )
