"""Secrets at rest: AES-256-GCM, bound to what they belong to, under keys that can be changed.

Keys are files of 32 random bytes: one, or a folder of them. Sorted by name the last one is the
newest: it seals, and each of them opens. Which one sealed something is not written down; AES-GCM
authenticates, so only that one opens it.
"""

from __future__ import annotations

import hmac
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paymesh import metrics
from paymesh.errors import Unavailable

KEY_BYTES = 32
_NONCE_BYTES = 12
FRESH_S = 30.0
"""A box seals only if it was told at most so long ago which keys there are."""

log = structlog.get_logger()


class KeyUnusable(RuntimeError):
    """Keys are missing, or are not the ones: one sentence says which, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    """Of its file."""
    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """What may be shown of it."""
        return hmac.digest(self.secret, b"id", "sha256")[:4].hex()

    @property
    def fingerprint_key(self) -> bytes:
        """What fingerprints were made with before databases had a probe."""
        return hmac.digest(self.secret, b"fingerprint", "sha256")

    def seal(self, secret: bytes, *, belongs_to: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, secret, belongs_to.encode())

    def open(self, sealed: bytes, *, belongs_to: str) -> bytes | None:
        """None for another key, owner or content."""
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self.secret).decrypt(nonce, text, belongs_to.encode())
        except (InvalidTag, ValueError):  # ValueError: shorter than a nonce
            return None


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """Where a service keeps what it seals: each row's belongs to the row's id."""

    table: str
    column: str


def read_keys(path: Path | None) -> tuple[Key, ...]:
    """The keys of a file, or of the files *.key of a folder, the newest last. Raises KeyUnusable"""
    if path is None:
        raise KeyUnusable(
            "set PAYMESH_SECRET_KEY_FILE to a file of 32 random bytes, or to a folder of such "
            "files, named *.key"
        )
    keys = []
    for file in key_files(path) if path.is_dir() else [path]:
        try:
            key = Key(file.name, file.read_bytes())
        except FileNotFoundError:
            continue  # taken away since we looked
        except OSError as error:
            raise KeyUnusable(
                f"the key {file} cannot be read ({error.strerror}): let the user who runs the "
                "services read it"
            ) from error
        if len(key.secret) != KEY_BYTES:
            raise KeyUnusable(
                f"the key {file} has {len(key.secret)} bytes instead of {KEY_BYTES}: put the right "
                "one there, from your copy"
            )
        keys.append(key)
    if not keys:
        raise KeyUnusable(
            f"no key in {path} (PAYMESH_SECRET_KEY_FILE): put the one back that was there, from "
            f"your copy; only new databases take a new one, of {KEY_BYTES} random bytes"
            + (", named *.key" if path.is_dir() else "")
        )
    return tuple(keys)


def key_files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.glob("*.key") if not f.name.startswith("."))


def make_key(folder: Path) -> Path:
    """A new key in a folder, its newest. It is whole, on the disk and only ours to read before
    anybody sees it: what is sealed under it must not be able to outlive it.

    Raises FileExistsError if somebody else has just made one.
    """
    file = folder / _next_name([f.name for f in key_files(folder)])
    whole = folder / f".{file.name}.{os.getpid()}"
    whole.unlink(missing_ok=True)
    with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(os.urandom(KEY_BYTES))
        out.flush()
        os.fsync(out.fileno())
    try:
        file.hardlink_to(whole)  # unlike a rename it never replaces a key
    finally:
        whole.unlink()
    sync_folder(folder)
    return file


def sync_folder(folder: Path) -> None:
    """Makes durable which files there are."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _next_name(names: Sequence[str]) -> str:
    """secret.key, secret_0002.key, …: it sorts after all that are there."""
    if not names:
        return "secret.key"
    stem = names[-1].removesuffix(".key")
    counted = re.fullmatch(r"(.*)_(\d{4})", stem)
    return f"{counted[1]}_{int(counted[2]) + 1:04}.key" if counted else f"{stem}_0002.key"


class Unopened(Unavailable):
    """No key opens it (yet). That says nothing about what was to be done: it is asked again."""


class SecretBox:
    """Seals and opens small secrets. `belongs_to` (an id) must be the same at both ends.

    It knows the keys that were there when it was made, until `use` tells it others; whoever keeps
    the database's probe does (paymesh.keyprobe).
    """

    def __init__(self, path: Path | None) -> None:
        """Raises KeyUnusable."""
        self.path = path
        self.keys = read_keys(path)
        self._fingerprint_key: bytes | None = None
        self._fresh_until = time.monotonic() + FRESH_S
        self._unusable = ""

    def use(self, keys: Sequence[Key], *, fingerprint_key: bytes | None = None) -> None:
        """These are the keys now, and they are the database's."""
        if self._unusable:
            log.warning("keys.usable_again", keys=str(self.path))
        self.keys, self._unusable = tuple(keys), ""
        self._fingerprint_key = fingerprint_key or self._fingerprint_key
        self._fresh_until = time.monotonic() + FRESH_S
        metrics.KEYS_UNUSABLE.set(0)

    def refuse(self, why: str) -> None:
        """Seals no more until `use`: what is not on the disk any more must not seal anything."""
        if why != self._unusable:
            log.error("keys.unusable", error=why)
        self._unusable = why
        metrics.KEYS_UNUSABLE.set(1)

    def seal(self, secret: bytes, *, belongs_to: str) -> bytes:
        """Raises Unavailable while the keys are not what they should be."""
        if self._unusable or time.monotonic() > self._fresh_until:
            raise Unavailable("nothing can be encrypted now, operators were alerted; ask again")
        return self.keys[-1].seal(secret, belongs_to=belongs_to)

    def open(self, sealed: bytes, *, belongs_to: str) -> bytes:
        """Raises Unopened if no key does, not even one that has just been put there."""
        opened = open_with(self.keys, sealed, belongs_to=belongs_to)
        if opened is not None:
            return opened[1]
        why = ""
        try:
            opened = open_with(read_keys(self.path), sealed, belongs_to=belongs_to)
        except KeyUnusable as error:
            why = f": {error}"
        if opened is not None:
            return opened[1]
        metrics.SECRETS_UNOPENED.inc()
        log.error(
            "secret.unopened",
            belongs_to=belongs_to,
            keys=str(self.path),
            error=f"put the key that sealed it back among the keys{why}",
        )
        raise Unopened(f"no key opens what belongs to {belongs_to}; it is tried again")

    def fingerprint(self, secret: bytes, *, belongs_to: str) -> str:
        """64 hex digits, the same for the same secret of the same owner, whatever key seals: to
        compare without opening. Nobody can try guesses on it, as on a plain hash."""
        assert self._fingerprint_key is not None, "the database's probe comes first"
        text = belongs_to.encode() + b"\0" + secret
        return hmac.digest(self._fingerprint_key, text, "sha256").hex()


def open_with(keys: Sequence[Key], sealed: bytes, *, belongs_to: str) -> tuple[Key, bytes] | None:
    """The key that opens it, and what it is; None if none does. The newest is tried first."""
    for key in reversed(keys):
        opened = key.open(sealed, belongs_to=belongs_to)
        if opened is not None:
            return key, opened
    return None
