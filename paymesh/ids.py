"""Ids: `<prefix>_` + 2 base32 characters (the bucket) + 26 (a uuid7), so any id finds its shard.

The 28 characters behind the prefix serve as our reference at channels. Ids of one chain share a
bucket: it comes from the merchant or the owning account, not from chance.
"""

from __future__ import annotations

import hashlib
import uuid

from uuid_utils import uuid7

BUCKETS = 1024
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_SORTED = sorted(_ALPHABET)
"""As text digits come before letters: with them first, ids sort as the numbers they stand for."""
_SORTED_PAIRS = [first + second for first in _SORTED for second in _SORTED]
_SORTED_TRIPLES = [pair + third for pair in _SORTED_PAIRS for third in _SORTED]
_BUCKETS = [first + second for first in _ALPHABET for second in _ALPHABET]


def bucket_of(key: str) -> int:
    """The bucket (0 to 1023) of an owner or of any guard key: stable for ever."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:2], "big") % BUCKETS


def id_of(prefix: str, *, bucket: int, payload: bytes) -> str:
    """The bucket, then the first 16 bytes as base32: 128 bits and two zeros are 26 letters."""
    return f"{prefix}_{_text(bucket, payload)}"


def _text(bucket: int, payload: bytes) -> str:
    high, low = int.from_bytes(payload[:8], "big"), int.from_bytes(payload[8:16], "big")
    three = _SORTED_TRIPLES
    return (
        f"{_BUCKETS[bucket]}{three[high >> 49]}{three[high >> 34 & 32767]}"
        f"{three[high >> 19 & 32767]}{three[high >> 4 & 32767]}"
        f"{three[(high & 15) << 11 | low >> 53]}{three[low >> 38 & 32767]}"
        f"{three[low >> 23 & 32767]}{three[low >> 8 & 32767]}{_SORTED_PAIRS[(low & 255) << 2]}"
    )


def new_id(prefix: str, *, bucket: int) -> str:
    """A new id; later ids of one bucket sort after earlier ones."""
    return id_of(prefix, bucket=bucket, payload=uuid7().bytes)


def derived_id(prefix: str, *, bucket: int, key: str) -> str:
    """The id that always follows from `key`: for things that exist once per key."""
    return id_of(prefix, bucket=bucket, payload=hashlib.sha256(key.encode()).digest())


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
