"""Journals as asked for, and the ids that follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from clearing_svc.ledger.chart import Side
from paymesh.core import Guard
from paymesh.ids import body_of, bucket_of, derived_id
from paymesh.money import Money

_SEPARATOR = "\x1f"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


@lru_cache(maxsize=50_000)  # pure, and a busy ledger meets the same accounts again and again
def account_id_of(subject: str, owner: str, currency: str) -> str:
    """The one account of a subject, an owner and a currency."""
    key = _SEPARATOR.join((subject, owner, currency))
    return derived_id("acc", bucket=bucket_of(owner), key=key)


@dataclass(frozen=True, slots=True)
class AccountRef:
    """Names one account together with a currency."""

    subject: str
    owner: str


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as asked for."""

    subject: str
    owner: str
    side: Side
    amount: Money
    reference: str = ""
    account_id: str = field(init=False, compare=False)
    """Follows from the others."""

    def __post_init__(self) -> None:
        account_id = account_id_of(self.subject, self.owner, self.amount.currency)
        object.__setattr__(self, "account_id", account_id)


@dataclass(frozen=True, slots=True)
class Draw:
    """A debit of what a hold has. On which accounts, the hold says when the journal is posted."""

    hold_id: str
    amount: Money
    sources: tuple[AccountRef, ...]
    """The accounts on which the hold may lie: they must be loaded before that is known."""

    @property
    def account_ids(self) -> tuple[str, ...]:
        return tuple(account_id_of(s.subject, s.owner, self.amount.currency) for s in self.sources)


@dataclass(frozen=True, slots=True)
class JournalDraft:
    """A journal as asked for. `digest` tells whether two of one name are the same journal."""

    event_type: str
    business_key: str
    lines: tuple[Line, ...]
    """Without those that `draw` will give."""
    digest: str
    draw: Draw | None = None
    guard: Guard = field(init=False, compare=False)
    """One journal per event_type and business_key; its owner is the journal's id."""

    def __post_init__(self) -> None:
        name = journal_guard(self.event_type, self.business_key)
        # The name's own bucket: so the journal's unique key is unique everywhere, in one shard.
        # The digest is in the id: a taken name is held by the same journal or by another one.
        key = name.key + _SEPARATOR + self.digest
        owner = derived_id("jrn", bucket=bucket_of(name.key), key=key)
        object.__setattr__(self, "guard", Guard(name.kind, name.key, owner))


def journal_guard(event_type: str, business_key: str) -> Guard:
    """The name under which a journal is posted, by what it books."""
    return Guard("journal", event_type + _SEPARATOR + business_key)


def entry_id_of(journal_id: str, line: int, account_id: str) -> str:
    """The id of a journal's line, in its account's shard: 120 bits of the journal's id, the line.

    A journal has fewer than 1024 lines, so two base32 characters name one.
    """
    shard, hash_ = body_of(account_id)[:2], body_of(journal_id)[2:26]
    return f"ent_{shard}{hash_}{_BASE32[line >> 5]}{_BASE32[line & 31]}"


def drafted(event_type: str, business_key: str, lines: Sequence[Line]) -> JournalDraft:
    """A draft whose lines themselves say whether it is the same."""
    body = [
        [x.subject, x.owner, x.side, x.amount.currency, x.amount.minor, x.reference] for x in lines
    ]
    return JournalDraft(event_type, business_key, tuple(lines), digest_of(body))


def digest_of(body: object) -> str:
    """A hash of plain JSON data."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
