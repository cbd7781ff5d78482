"""Keys as files, and the box that seals under the newest and opens under all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from paymesh.errors import Code
from paymesh.secretbox import KeyUnusable, SecretBox, Unopened, make_key, read_keys


def unusable(path: Path | None) -> str:
    with pytest.raises(KeyUnusable) as refusal:
        SecretBox(path)
    return str(refusal.value)


def test_the_newest_key_seals_and_all_open(folder: Path) -> None:
    """The newest is the last one by name."""
    old = SecretBox(folder)
    before = old.seal(b"DE01", belongs_to="ben_1")
    make_key(folder)
    both = SecretBox(folder)
    assert [key.name for key in both.keys] == ["secret.key", "secret_0002.key"]
    after = both.seal(b"DE01", belongs_to="ben_1")
    assert both.open(before, belongs_to="ben_1") == both.open(after, belongs_to="ben_1") == b"DE01"
    assert both.keys[0].open(after, belongs_to="ben_1") is None
    assert both.keys[1].open(after, belongs_to="ben_1") == b"DE01"


def test_one_file_is_a_key_as_well(folder: Path) -> None:
    assert SecretBox(folder / "secret.key").keys == SecretBox(folder).keys


def test_what_is_not_a_key_of_the_folder_is_left_alone(folder: Path) -> None:
    """Other names, hidden files, links that lead nowhere: as editors, copies and clusters leave."""
    for name in ("merchant.pem", "secret.key~", ".secret.key", ".secret_0002.key.1"):
        (folder / name).write_text("not a key")
    (folder / "gone.key").symlink_to(folder / "nowhere")
    assert [key.name for key in read_keys(folder)] == ["secret.key"]


def test_a_new_key_sorts_after_all_others_and_is_ours_alone(folder: Path) -> None:
    """Whatever the others are called; it never replaces one."""
    for expected in ("secret_0002.key", "secret_0003.key"):
        file = make_key(folder)
        assert (file.name, file.stat().st_mode & 0o777, file.stat().st_size) == (
            expected,
            0o600,
            32,
        )
    (folder / "zulu.key").write_bytes(bytes(32))
    assert make_key(folder).name == "zulu_0002.key"
    assert [key.name for key in read_keys(folder)][-1] == "zulu_0002.key"
    assert len({key.secret for key in read_keys(folder)}) == 5
    assert not list(folder.glob(".*"))


def test_each_fault_of_the_files_is_one_sentence_that_says_what_to_do(folder: Path) -> None:
    """Which file, what is wrong with it, and how it is mended."""
    assert unusable(None) == (
        "set PAYMESH_SECRET_KEY_FILE to a file of 32 random bytes, or to a folder of such files, "
        "named *.key"
    )
    missing = folder / "other.key"
    assert unusable(missing) == (
        f"no key in {missing} (PAYMESH_SECRET_KEY_FILE): put the one back that was there, from "
        "your copy; only new databases take a new one, of 32 random bytes"
    )
    (folder / "secret.key").write_bytes(b"short")
    assert unusable(folder) == (
        f"the key {folder / 'secret.key'} has 5 bytes instead of 32: put the right one there, "
        "from your copy"
    )
    (folder / "secret.key").unlink()
    assert unusable(folder) == (
        f"no key in {folder} (PAYMESH_SECRET_KEY_FILE): put the one back that was there, from "
        "your copy; only new databases take a new one, of 32 random bytes, named *.key"
    )
    (folder / "secret.key").mkdir()  # nobody can read it, not even root
    assert unusable(folder) == (
        f"the key {folder / 'secret.key'} cannot be read (Is a directory): let the user who runs "
        "the services read it"
    )


def test_a_key_that_has_just_come_opens_without_a_restart(folder: Path) -> None:
    """A box that knows only the old key looks once more before it gives up."""
    early = SecretBox(folder)
    make_key(folder)
    sealed = SecretBox(folder).seal(b"DE01", belongs_to="ben_1")
    assert early.open(sealed, belongs_to="ben_1") == b"DE01"


def test_what_no_key_opens_is_to_be_asked_again(folder: Path, tmp_path: Path) -> None:
    """Another key, owner or content, or no content: never a verdict about what is sealed."""
    box = SecretBox(folder)
    sealed = box.seal(b"DE01", belongs_to="ben_1")
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    make_key(strangers)
    for other, text, owner in (
        (SecretBox(strangers), sealed, "ben_1"),
        (box, sealed, "ben_2"),
        (box, sealed[:-1] + bytes([sealed[-1] ^ 1]), "ben_1"),
        (box, b"", "ben_1"),
    ):
        with pytest.raises(Unopened) as refusal:
            other.open(text, belongs_to=owner)
        assert (refusal.value.code, refusal.value.decided) == (Code.UNAVAILABLE, False)


def test_a_key_is_shown_by_a_short_id_only(folder: Path) -> None:
    [key] = read_keys(folder)
    assert re.fullmatch(r"[0-9a-f]{8}", key.id)
    assert key.secret.hex() not in repr(key)
    assert os.listdir(folder) == ["secret.key"]
