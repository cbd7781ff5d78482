"""The probe in a service's database: who has not its key does not start, and seals nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from paymesh.errors import Unavailable
from paymesh.keyprobe import KeyProbe
from paymesh.metrics import KEYS_UNUSABLE
from paymesh.secretbox import KeyUnusable, make_key, read_keys
from paymesh.store.postgres import PostgresStore
from tests.keys.keys_world import Database, process, silent, until


def foreign(folder: Path, database: Database) -> str:
    return (
        f"no key in {folder} (PAYMESH_SECRET_KEY_FILE) opens what the database {database.name} "
        "keeps: put the key that was used before back as one more *.key there, from your copy; a "
        "new one cannot replace it (docs/OPERATIONS.md, Keys)"
    )


async def refusal(probe: KeyProbe) -> str:
    with pytest.raises(KeyUnusable) as error:
        await probe.open()
    await probe.close()
    return str(error.value)


async def test_several_processes_at_once_make_one_probe(
    store: PostgresStore, database: Database, folder: Path
) -> None:
    """All have the same fingerprints, and so has one that comes later."""
    started = [process(store, folder) for _ in range(8)]
    await asyncio.gather(*(probe.open() for _, probe in started))
    started.append(process(store, folder))
    await started[-1][1].open()
    assert len({box.fingerprint(b"DE01", belongs_to="ann") for box, _ in started}) == 1
    assert database.query("SELECT count(*) FROM key_probe") == [(1,)]
    for _, probe in started:
        await probe.close()


async def test_of_two_keys_at_once_on_a_new_database_one_wins(
    store: PostgresStore, folder: Path, tmp_path: Path
) -> None:
    """Who has the other key does not start."""
    other = tmp_path / "other"
    other.mkdir()
    make_key(other)
    started = [process(store, path) for path in (folder, other) * 4]
    ends = await asyncio.gather(*(p.open() for _, p in started), return_exceptions=True)
    by_path = {
        path: {type(end) for (box, _), end in zip(started, ends, strict=True) if box.path == path}
        for path in (folder, other)
    }
    assert by_path[folder] != by_path[other]
    assert by_path[folder] | by_path[other] == {KeyUnusable, type(None)}
    for _, probe in started:
        await probe.close()


async def test_who_has_another_key_does_not_start(
    store: PostgresStore, database: Database, folder: Path
) -> None:
    """Nor who lost it and made a new one. With the old key beside the new one all is well."""
    _, probe = process(store, folder)
    await probe.open()
    await probe.close()
    lost = (folder / "secret.key").rename(folder / "kept-elsewhere")
    make_key(folder)
    assert await refusal(process(store, folder)[1]) == foreign(folder, database)
    lost.rename(folder / "before.key")
    _, probe = process(store, folder)
    await probe.open()
    await probe.close()


async def test_a_database_from_before_takes_only_a_key_that_opens_what_it_keeps(
    store: PostgresStore, database: Database, folder: Path
) -> None:
    """An upgrade must not bless a wrong key. Fingerprints stay what they were."""
    [right] = read_keys(folder)
    database.add(right, ["DE01"])
    (folder / "secret.key").rename(folder / "kept-elsewhere")
    make_key(folder)
    assert await refusal(process(store, folder)[1]) == foreign(folder, database)
    assert database.query("SELECT count(*) FROM key_probe") == [(0,)]
    (folder / "kept-elsewhere").rename(folder / "a.key")
    box, probe = process(store, folder)
    await probe.open()
    before = box.fingerprint(b"DE01", belongs_to="ann")
    await probe.close()
    box.use(box.keys, fingerprint_key=right.fingerprint_key)
    assert box.fingerprint(b"DE01", belongs_to="ann") == before


async def test_a_database_without_the_table_says_what_to_run(
    store: PostgresStore, database: Database, folder: Path
) -> None:
    database.query("DROP TABLE key_probe")
    assert await refusal(process(store, folder)[1]) == (
        f"the database {database.name} has an older schema: run `python -m pay_svc migrate` first"
    )


async def test_a_new_key_is_taken_up_while_running(store: PostgresStore, folder: Path) -> None:
    box, probe = process(store, folder)
    await probe.open()
    new = read_keys(make_key(folder))[0]
    await until("it seals with the new key", lambda: box.keys[-1] == new)
    assert new.open(box.seal(b"DE01", belongs_to="ben_1"), belongs_to="ben_1") == b"DE01"
    await probe.close()


async def test_a_key_that_is_lost_while_running_seals_nothing_more(
    store: PostgresStore, folder: Path
) -> None:
    """What is not on the disk any more must not seal anything; it still opens. Operators hear of
    it, and when it is back, all is well."""
    box, probe = process(store, folder)
    await probe.open()
    sealed = box.seal(b"DE01", belongs_to="ben_1")

    def seals() -> bool:
        try:
            box.seal(b"DE01", belongs_to="ben_1")
        except Unavailable:
            return False
        return True

    with structlog.testing.capture_logs() as logs:
        (folder / "secret.key").rename(folder / "kept-elsewhere")
        await until("it seals nothing", lambda: not seals())
        assert KEYS_UNUSABLE._value.get() == 1
        assert box.open(sealed, belongs_to="ben_1") == b"DE01"
        (folder / "kept-elsewhere").rename(folder / "secret.key")
        await until("it seals", seals)
        assert KEYS_UNUSABLE._value.get() == 0
        # Another one in its place is no better.
        right = (folder / "secret.key").rename(folder / "kept-elsewhere")
        make_key(folder)
        await until("it seals nothing", lambda: not seals())
        assert box.open(sealed, belongs_to="ben_1") == b"DE01"
        right.replace(folder / "secret.key")
        await until("it seals", seals)
    told = [line["error"] for line in logs if line["event"] == "keys.unusable"]
    assert [text.split(":")[0] for text in told] == [
        f"no key in {folder} (PAYMESH_SECRET_KEY_FILE)",
        f"no key in {folder} (PAYMESH_SECRET_KEY_FILE) opens what the database "
        f"{(await _name(store))} keeps",
    ]
    await probe.close()


async def _name(store: PostgresStore) -> str:
    async with store.snapshot() as connection:
        return connection.info.dbname


async def test_a_rotation_is_followed_to_the_end_by_who_was_idle(
    store: PostgresStore, database: Database, folder: Path
) -> None:
    """Old key, both, new key: each step is taken up, and fingerprints stay."""
    box, probe = process(store, folder)
    await probe.open()
    before = box.fingerprint(b"DE01", belongs_to="ann")
    make_key(folder)
    keys = read_keys(folder)
    database.vault.reseal(keys, silent)
    database.vault.reseal_probe(keys)
    (folder / "secret.key").unlink()
    await until("it knows only the new key", lambda: box.keys == keys[1:])
    box.seal(b"DE01", belongs_to="ben_1")
    assert box.fingerprint(b"DE01", belongs_to="ann") == before
    await probe.close()
    box, probe = process(store, folder)
    await probe.open()
    assert box.fingerprint(b"DE01", belongs_to="ann") == before
    await probe.close()
