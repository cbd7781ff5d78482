"""Detached signatures over raw bytes: RSA as WeChat Pay v3 signs, HMAC as Stripe signs.

Two families, both of which sign a time so that an old message cannot be played again for ever:

- channels: RSA-2048, SHA-256, PKCS #1 v1.5, base64. A callback or an answer signs
  `timestamp\\nnonce\\nbody\\n`; a request signs `METHOD\\npath\\ntimestamp\\nnonce\\nbody\\n`.
- notifications to merchants: HMAC-SHA256 over `timestamp.body`, in one header
  `t=<timestamp>,v1=<hex>`.

Verify the bytes that came over the wire, then parse: never the other way round. Nothing here
reads a clock or makes a nonce; times are Unix seconds and are passed in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SERIAL_HEADER = "Sandbox-Serial"
TIMESTAMP_HEADER = "Sandbox-Timestamp"
NONCE_HEADER = "Sandbox-Nonce"
SIGNATURE_HEADER = "Sandbox-Signature"

MAX_SKEW_S = 300
RSA_KEY_BITS = 2048

_SERIAL = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_NONCE = re.compile(r"[0-9A-Za-z_-]{8,64}")
_HMAC_HEX = re.compile(r"[0-9a-f]{64}")
_SIGNATURE_CHARS_MAX = 1024
_NOTIFICATION_HEADER_CHARS_MAX = 1024


class SignatureError(Exception):
    """The message is not known to come from whom it claims, or not from now."""


class MalformedSignature(SignatureError):
    """A part of the signature is missing or is not what the format allows."""


class StaleTimestamp(SignatureError):
    """Signed longer ago, or further in the future, than the allowed skew."""


class ForgedSignature(SignatureError):
    """The signature does not match the bytes, or its key is not one of ours."""


def generate_key_pair() -> tuple[bytes, bytes]:
    """A new RSA-2048 key: (private PEM as PKCS #8 without password, public PEM)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_KEY_BITS)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private_pem, _public_pem(key.public_key())


def serial_of(public_pem: bytes) -> str:
    """A name for a key that follows from the key alone: 32 hex digits of its SHA-256."""
    der = _load_public(public_pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()[:32]


class Signer:
    """Signs with one private key; `serial` tells the other side which public key to use."""

    def __init__(self, private_pem: bytes, serial: str = "") -> None:
        """Without a serial, the key has the one that follows from it (`serial_of`).

        Takes about 50 ms (the primes are checked): make one and keep it. Raises ValueError unless
        it is an RSA key of at least 2048 bits and a sound serial.
        """
        self._key = _load_private(private_pem)
        self.serial = serial or serial_of(_public_pem(self._key.public_key()))
        if not _SERIAL.fullmatch(self.serial):
            raise ValueError(f"not a serial: {serial!r}")

    def sign_message(self, *, timestamp: int, nonce: str, body: bytes) -> dict[str, str]:
        """Headers for a callback or an answer with exactly this body."""
        return self._headers(timestamp, nonce, _message(timestamp, nonce, body))

    def sign_request(
        self, *, method: str, path: str, timestamp: int, nonce: str, body: bytes
    ) -> dict[str, str]:
        """Headers for a request; `path` as it goes over the wire, query string included."""
        text = _request(method, path, timestamp, nonce, body)
        return self._headers(timestamp, nonce, text)

    def _headers(self, timestamp: int, nonce: str, text: bytes) -> dict[str, str]:
        if not _NONCE.fullmatch(nonce):
            raise ValueError("a nonce is 8 to 64 characters of [0-9A-Za-z_-]")
        signature = self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return {
            SERIAL_HEADER: self.serial,
            TIMESTAMP_HEADER: str(timestamp),
            NONCE_HEADER: nonce,
            SIGNATURE_HEADER: base64.b64encode(signature).decode("ascii"),
        }


class Verifier:
    """Verifies with the public keys it was given, by serial; so a key can be rotated."""

    def __init__(
        self, public_pem_by_serial: Mapping[str, bytes], max_skew_s: int = MAX_SKEW_S
    ) -> None:
        """Raises ValueError if a key is no RSA key of at least 2048 bits."""
        self._keys = {serial: _load_public(pem) for serial, pem in public_pem_by_serial.items()}
        self._max_skew_s = max_skew_s

    def verify_message(self, headers: Mapping[str, str], body: bytes, *, now_s: int) -> None:
        """Accept a callback or an answer, or raise a SignatureError. Header case is ignored."""
        serial, timestamp, nonce, signature = self._parts(headers, now_s)
        self._check(serial, signature, _message(timestamp, nonce, body))

    def verify_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, *, now_s: int
    ) -> None:
        """Accept a request, or raise a SignatureError. `path` includes the query string."""
        serial, timestamp, nonce, signature = self._parts(headers, now_s)
        self._check(serial, signature, _request(method, path, timestamp, nonce, body))

    def _parts(self, headers: Mapping[str, str], now_s: int) -> tuple[str, int, str, bytes]:
        lower = {name.lower(): value for name, value in headers.items()}
        serial = _part(lower, SERIAL_HEADER, _SERIAL)
        timestamp = int(_part(lower, TIMESTAMP_HEADER, _TIMESTAMP))
        nonce = _part(lower, NONCE_HEADER, _NONCE)
        encoded = lower.get(SIGNATURE_HEADER.lower(), "")
        if not 0 < len(encoded) <= _SIGNATURE_CHARS_MAX:
            raise MalformedSignature(f"{SIGNATURE_HEADER} is missing or too long")
        try:
            signature = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MalformedSignature(f"{SIGNATURE_HEADER} is not base64") from error
        # Time before RSA: an old message costs us nothing to refuse.
        _check_skew(timestamp, now_s, self._max_skew_s)
        return serial, timestamp, nonce, signature

    def _check(self, serial: str, signature: bytes, text: bytes) -> None:
        key = self._keys.get(serial)
        if key is None:
            raise ForgedSignature(f"no key with serial {serial}")
        try:
            key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise ForgedSignature("the signature does not match the bytes") from error


def sign_notification(secret: bytes, *, timestamp: int, body: bytes) -> str:
    """The header `t=<timestamp>,v1=<hex>` for a notification with exactly this body."""
    return f"t={timestamp},v1={_notification_hex(secret, timestamp, body)}"


def verify_notification(
    secret: bytes, *, header: str, body: bytes, now_s: int, max_skew_s: int = MAX_SKEW_S
) -> None:
    """Accept a notification, or raise a SignatureError.

    Several `v1` may stand in the header (while a secret is being rotated): one match is enough.
    Schemes other than v1 are ignored, so that a later one can be added.
    """
    if len(header) > _NOTIFICATION_HEADER_CHARS_MAX:
        raise MalformedSignature("the signature header is too long")
    pairs = [part.strip().partition("=") for part in header.split(",")]
    timestamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1" and _HMAC_HEX.fullmatch(value)]
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]) or not signatures:
        raise MalformedSignature("expected t=<seconds>,v1=<64 hex digits>")
    timestamp = int(timestamps[0])
    _check_skew(timestamp, now_s, max_skew_s)
    expected = _notification_hex(secret, timestamp, body)
    if not any(hmac.compare_digest(expected, value) for value in signatures):
        raise ForgedSignature("the signature does not match the bytes")


def _notification_hex(secret: bytes, timestamp: int, body: bytes) -> str:
    # An empty key would make the signature something that anybody can compute.
    if not secret:
        raise ValueError("the secret is empty")
    return hmac.new(secret, b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def _message(timestamp: int, nonce: str, body: bytes) -> bytes:
    return f"{timestamp}\n{nonce}\n".encode("ascii") + body + b"\n"


def _request(method: str, path: str, timestamp: int, nonce: str, body: bytes) -> bytes:
    return f"{method}\n{path}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def _part(lower: Mapping[str, str], header: str, allowed: re.Pattern[str]) -> str:
    value = lower.get(header.lower(), "")
    if not allowed.fullmatch(value):
        raise MalformedSignature(f"{header} is missing or malformed")
    return value


def _check_skew(timestamp: int, now_s: int, max_skew_s: int) -> None:
    if abs(now_s - timestamp) > max_skew_s:
        raise StaleTimestamp(f"signed {now_s - timestamp} s ago, allowed are {max_skew_s} s")


def _load_private(private_pem: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(private_pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < RSA_KEY_BITS:
        raise ValueError(f"not an RSA key of at least {RSA_KEY_BITS} bits")
    return key


def _load_public(public_pem: bytes) -> rsa.RSAPublicKey:
    key = serialization.load_pem_public_key(public_pem)
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_KEY_BITS:
        raise ValueError(f"not an RSA key of at least {RSA_KEY_BITS} bits")
    return key


def _public_pem(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
