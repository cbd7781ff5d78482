"""Sealing anew, beside others who write the same rows, and stopped anywhere."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from paymesh.secretbox import make_key, open_with, read_keys
from paymesh_ops.cli.keys import SEALED, app
from tests.keys.keys_world import Database, silent, started_once


def numbers(count: int) -> list[str]:
    return [f"DE{secrets.randbelow(10**12):012}" for _ in range(count)]


def test_every_sealed_column_is_sealed_anew() -> None:
    """A column that somebody adds is noticed."""
    for service in ("trade", "pay", "gateway", "clearing"):
        metadata = import_module(f"{service}_svc.store").metadata
        found = {
            (table.name, column.name)
            for table in metadata.tables.values()
            for column in table.columns
            if column.name.startswith("sealed_") and column.name != "sealed_at"
        }
        assert found == {(s.table, s.column) for name, s in SEALED.items() if name == service}


def test_all_rows_are_sealed_anew_and_nothing_else_changes(
    database: Database, folder: Path
) -> None:
    """In windows; not their versions, and no event is written."""
    told: list[str] = []
    [old] = read_keys(folder)
    known = numbers(2500)
    ids = database.add(old, known)
    make_key(folder)
    keys = read_keys(folder)
    assert database.vault.reseal(keys, told.append) == {old: 2500}
    assert told == [f"pay: {n} rows of beneficiary" for n in ("1,000", "2,000", "2,500")]
    assert database.vault.look(keys, silent) == {keys[1]: 2500}
    sealed = database.sealed()
    opened = {id_: keys[1].open(sealed[id_], belongs_to=id_) for id_ in ids}
    assert opened == {id_: no.encode() for id_, no in zip(ids, known, strict=True)}
    assert database.query("SELECT DISTINCT version FROM beneficiary") == [(1,)]
    assert database.query("SELECT count(*) FROM outbox") == [(0,)]


def test_a_row_that_no_key_opens_is_counted_and_left_as_it_is(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    [stranger] = read_keys(make_key(tmp_path))
    database.add(stranger, ["DE01"])
    before = database.sealed()
    make_key(folder)
    assert database.vault.reseal(read_keys(folder), silent) == {None: 1}
    assert database.sealed() == before


def test_a_row_that_is_locked_is_not_waited_for(database: Database, folder: Path) -> None:
    """The next pass finds it."""
    [old] = read_keys(folder)
    held, free = database.add(old, ["DE01", "DE02"])
    make_key(folder)
    keys = read_keys(folder)
    with psycopg.connect(database.admin_url) as other:
        other.execute("SELECT FROM beneficiary WHERE id = %s FOR NO KEY UPDATE", (held,))
        assert database.vault.reseal(keys, silent) == {old: 2}
        assert database.vault.look(keys, silent) == {old: 1, keys[1]: 1}
    assert database.vault.reseal(keys, silent) == {old: 1, keys[1]: 1}
    assert database.vault.look(keys, silent) == {keys[1]: 2}
    assert keys[1].open(database.sealed()[free], belongs_to=free) == b"DE02"


def test_whoever_writes_a_row_meanwhile_wins(database: Database, folder: Path) -> None:
    """Each row ends with the last secret that was written, whichever key sealed it."""
    [old] = read_keys(folder)
    ids = database.add(old, numbers(20))
    make_key(folder)
    keys = read_keys(folder)
    last: dict[str, bytes] = {}
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(database.app_url, autocommit=True) as connection:
            while not stop.is_set():
                id_, secret = secrets.choice(ids), secrets.token_hex(8).encode()
                connection.execute(
                    "UPDATE beneficiary SET sealed_account_no = %s WHERE id = %s",
                    (secrets.choice(keys).seal(secret, belongs_to=id_), id_),
                )
                last[id_] = secret

    writer = threading.Thread(target=write)
    writer.start()
    until = time.monotonic() + 2
    passes = 0
    while time.monotonic() < until or passes < 20 or len(last) < len(ids):
        database.vault.reseal(keys, silent)
        passes += 1
    stop.set()
    writer.join()
    while database.vault.reseal(keys, silent)[old]:
        pass
    sealed = database.sealed()
    assert {id_: keys[1].open(sealed[id_], belongs_to=id_) for id_ in ids} == last


def environment(database: Database, folder: Path) -> dict[str, str]:
    """What tells the command about this database and these keys, and no others."""
    return {"PAYMESH_PAY_DATABASE_URL": database.app_url, "PAYMESH_SECRET_KEY_FILE": str(folder)}


def command(database: Database, folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code of `paymesh keys …`, and what it says."""
    done = CliRunner().invoke(app, arguments, env=environment(database, folder))
    return done.exit_code, done.output


@pytest.mark.slow
def test_a_rotation_that_is_killed_anywhere_is_finished_by_the_next(
    database: Database, folder: Path
) -> None:
    """One new key in all. The new one alone opens everything then."""
    [old] = read_keys(folder)
    known = numbers(6000)
    ids = database.add(old, known)
    started_once(database, folder)

    def anew() -> int:
        keys = read_keys(folder)
        return database.vault.look(keys, silent)[keys[-1]] if len(keys) > 1 else 0

    for reached in (lambda: len(read_keys(folder)) == 2, lambda: anew() > 0):
        running = subprocess.Popen(
            [sys.executable, "-m", "paymesh_ops.cli.main", "keys", "rotate"],
            env={**os.environ, **environment(database, folder)},
            stdout=subprocess.DEVNULL,
        )
        while running.poll() is None and not reached():
            time.sleep(0.01)
        running.kill()
        running.wait()
    code, text = command(database, folder, "rotate")
    assert code == 0, text
    keys = read_keys(folder)
    assert f"all is sealed by secret_0002.key ({keys[1].id}): 6,000 of pay" in text
    assert "secret.key opens nothing any more in these databases" in text
    assert database.vault.look(keys, silent) == {keys[1]: 6000}
    sealed = database.sealed()
    opened = [keys[1].open(sealed[id_], belongs_to=id_) for id_ in ids]
    assert opened == [no.encode() for no in known]
    (folder / old.name).unlink()
    code, text = command(database, folder, "status")
    assert (code, "6,000 and the probe" in text) == (0, True), text


def test_commands_refuse_in_a_sentence(database: Database, folder: Path) -> None:
    """Before anything is changed; and what is lost is counted, with exit code 1."""
    code, text = command(database, folder, "rotate")
    assert code == 1
    assert f"no key in {folder} opens the probe of pay" in text
    started_once(database, folder)
    code, text = command(database, folder / "secret.key", "rotate")
    assert (code, "must be a folder of keys" in text) == (1, True), text
    code, text = command(database, folder, "rotate", "--drop-old")
    assert (code, "set PAYMESH_…_DATABASE_URL of trade, pay, gateway" in text) == (1, True), text
    assert [key.name for key in read_keys(folder)] == ["secret.key"]
    stranger = folder.parent / "stranger"
    stranger.mkdir()
    database.add(read_keys(make_key(stranger))[0], ["DE01"])
    code, text = command(database, folder, "reseal")
    assert (code, "no key opens 1 rows" in text) == (1, True), text
    (key,) = read_keys(folder)
    assert open_with([key], database.query("SELECT sealed FROM key_probe")[0][0],
                     belongs_to="key_probe:pay") is not None  # fmt: skip
