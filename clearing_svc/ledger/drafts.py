"""Journals as asked for, and the ids that follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from clearing_svc.ledger.chart import Side
from paymesh.core import Guard
from paymesh.ids import bucket_of, derived_id
from paymesh.money import Money

_SEPARATOR = "\x1f"


@lru_cache(maxsize=50_000)  # pure, and a busy ledger meets the same accounts again and again
def account_id_of(subject: str, owner: str, currency: str) -> str:
    """The one account of a subject, an owner and a currency."""
    key = _SEPARATOR.join((subject, owner, currency))
    return derived_id("acc", bucket=bucket_of(owner), key=key)


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as asked for."""

    subject: str
    owner: str
    side: Side
    amount: Money
    reference: str = ""

    @property
    def account_id(self) -> str:
        return account_id_of(self.subject, self.owner, self.amount.currency)


@dataclass(frozen=True, slots=True)
class JournalDraft:
    """A journal as asked for. `digest` tells whether two of one name are the same journal."""

    event_type: str
    business_key: str
    lines: tuple[Line, ...]
    digest: str

    @property
    def guard(self) -> Guard:
        """One journal per event_type and business_key; the journal's id carries the digest."""
        key = self.event_type + _SEPARATOR + self.business_key
        # The name's own bucket: so the journal's unique key is unique everywhere, in one shard.
        owner = derived_id("jrn", bucket=bucket_of(key), key=key + _SEPARATOR + self.digest)
        return Guard("journal", key, owner)


def drafted(event_type: str, business_key: str, lines: Sequence[Line]) -> JournalDraft:
    """A draft whose lines themselves say whether it is the same."""
    body = [[x.subject, x.owner, x.side, x.amount.currency, x.amount.minor, x.reference]
            for x in lines]  # fmt: skip
    return JournalDraft(event_type, business_key, tuple(lines), digest_of(body))


def digest_of(body: object) -> str:
    """A hash of plain JSON data."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
