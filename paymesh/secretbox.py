"""Secrets at rest: AES-256-GCM under one key, bound to what they belong to."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12


class SecretBox:
    """Seals and opens small secrets. `belongs_to` (an id) must be the same at both ends."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the secret key has {len(key)} bytes, it must have {KEY_BYTES}")
        self._aes = AESGCM(key)
        self._fingerprint_key = hmac.digest(key, b"fingerprint", "sha256")

    @classmethod
    def from_file(cls, path: Path | None) -> SecretBox:
        """Raises ValueError, saying what to set, when there is no key."""
        if path is None:
            raise ValueError("set PAYMESH_SECRET_KEY_FILE to a file with 32 random bytes")
        return cls(path.read_bytes())

    def seal(self, secret: bytes, *, belongs_to: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, secret, belongs_to.encode())

    def open(self, sealed: bytes, *, belongs_to: str) -> bytes:
        """Raises cryptography.exceptions.InvalidTag for a wrong key, owner or content."""
        return self._aes.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], belongs_to.encode())

    def fingerprint(self, secret: bytes, *, belongs_to: str) -> str:
        """64 hex digits, the same for the same secret of the same owner: to compare without
        opening. Without the key nobody can try guesses on it, as on a plain hash."""
        text = belongs_to.encode() + b"\0" + secret
        return hmac.digest(self._fingerprint_key, text, "sha256").hex()
