"""Whom a payout goes to: sealed before it is written, opened only to be told to the channel."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from paymesh.secretbox import SecretBox


@dataclass(frozen=True, slots=True)
class Payee:
    account_no: str = field(repr=False)
    account_name: str = field(repr=False)


class Payees:
    """Seals and opens payees under the service's key, each bound to its order."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def seal(self, payee: Payee, *, order_id: str) -> bytes:
        return self._box.seal(_bytes_of(payee), belongs_to=order_id)

    def open(self, sealed: bytes, *, order_id: str) -> Payee:
        """Raises paymesh.secretbox.Unopened if it was sealed otherwise."""
        return Payee(*json.loads(self._box.open(sealed, belongs_to=order_id)))

    def digest(self, payee: Payee, *, order_id: str) -> str:
        """The same for the same payee of the same order, and good for nothing else."""
        return self._box.fingerprint(_bytes_of(payee), belongs_to=order_id)


def _bytes_of(payee: Payee) -> bytes:
    return json.dumps([payee.account_no, payee.account_name]).encode()
