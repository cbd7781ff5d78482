"""Ids: `<prefix>_` + 2 base32 characters (the bucket) + 26 (a uuid7), so any id finds its shard.

The 28 characters behind the prefix serve as our reference at channels. Ids of one chain share a
bucket: it comes from the merchant or the owning account, not from chance.
"""

from __future__ import annotations

import hashlib
import uuid
from base64 import b32encode

from uuid_utils import uuid7

BUCKETS = 1024
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_SORTABLE = str.maketrans(_ALPHABET.upper(), "".join(sorted(_ALPHABET)))
"""As text digits come before letters: with them first, ids sort as the numbers they stand for."""


def bucket_of(key: str) -> int:
    """The bucket (0 to 1023) of an owner or of any guard key: stable for ever."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:2], "big") % BUCKETS


def _text(bucket: int, payload: bytes) -> str:
    body = b32encode(payload).decode().rstrip("=").translate(_SORTABLE)
    return _ALPHABET[bucket // 32] + _ALPHABET[bucket % 32] + body


def new_id(prefix: str, *, bucket: int) -> str:
    """A new id; later ids of one bucket sort after earlier ones."""
    return f"{prefix}_{_text(bucket, uuid7().bytes)}"


def derived_id(prefix: str, *, bucket: int, key: str) -> str:
    """The id that always follows from `key`: for things that exist once per key."""
    return f"{prefix}_{_text(bucket, hashlib.sha256(key.encode()).digest()[:16])}"


def shard_of(any_id: str) -> int:
    """The bucket inside an id, or inside its 28 characters without prefix."""
    body = any_id.rsplit("_", 1)[-1]
    return _VALUE[body[0]] * 32 + _VALUE[body[1]]


def body_of(any_id: str) -> str:
    """The 28 characters behind the prefix."""
    return any_id.rsplit("_", 1)[-1]


def request_id_for(any_id: str, *, act: str) -> str:
    """The UUID under which `act` on `any_id` is always requested: a retry is the same request."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"paymesh:{any_id}:{act}"))
