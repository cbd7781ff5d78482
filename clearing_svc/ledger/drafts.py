"""Journals as asked for, and the ids that follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from clearing_svc.ledger.chart import Side
from paymesh.core import Guard
from paymesh.ids import BUCKETS, body_of, bucket_of, derived_id, id_of
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


class Line(NamedTuple):
    """An entry as asked for."""

    subject: str
    owner: str
    side: Side
    amount: Money
    reference: str = ""

    @property
    def account_id(self) -> str:
        """Follows from the others."""
        return account_id_of(self.subject, self.owner, self.amount.currency)


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
    template_version: int = 0
    """Of the template that gave it; 0: it is of no template. The digest is without it."""
    accounting_date: date | None = None
    """None: the first open day, or today if that is later."""
    reverses: str = ""
    """The id of the journal that it takes back."""
    guard: Guard = field(init=False, compare=False)
    """The journal's name; held by its digest."""

    def __post_init__(self) -> None:
        name = journal_guard(self.event_type, self.business_key)
        object.__setattr__(self, "guard", Guard(name.kind, name.key, self.digest))

    @property
    def id(self) -> str:
        """Follows from the name alone: one journal per event_type and business_key."""
        return self.guard.key


def journal_guard(event_type: str, business_key: str) -> Guard:
    """The name under which a journal is posted, by what it books: the journal's id."""
    return Guard("journal", journal_id_of(event_type, business_key))


def journal_id_of(event_type: str, business_key: str) -> str:
    """The one journal of a name. The shard is the name's own, so it is unique everywhere."""
    hash_ = hashlib.sha256(f"{event_type}{_SEPARATOR}{business_key}".encode()).digest()
    return id_of("jrn", bucket=(hash_[16] << 8 | hash_[17]) % BUCKETS, payload=hash_)


def entry_id_of(journal_id: str, line: int, account_id: str) -> str:
    """The id of a journal's line, in its account's shard: 120 bits of the journal's id, the line.

    A journal has fewer than 1024 lines, so two base32 characters name one.
    """
    shard, hash_ = body_of(account_id)[:2], body_of(journal_id)[2:26]
    return f"ent_{shard}{hash_}{_BASE32[line >> 5]}{_BASE32[line & 31]}"


def drafted(
    event_type: str,
    business_key: str,
    lines: Sequence[Line],
    *,
    accounting_date: date | None = None,
    reverses: str = "",
) -> JournalDraft:
    """A draft whose lines, and date if it names one, say themselves whether it is the same."""
    body: list[str | int] = [str(accounting_date or ""), reverses]
    for subject, owner, side, amount, reference in lines:
        body += subject, owner, 1 + (side is Side.CREDIT), amount.currency, amount.minor, reference
    return JournalDraft(
        event_type,
        business_key,
        tuple(lines),
        lines_digest(body),
        accounting_date=accounting_date,
        reverses=reverses,
    )


def lines_digest(body: list[str | int]) -> str:
    """A hash of an accounting date, the journal that is reversed, and of each line in order:
    subject, owner, side (1 debit, 2 credit), currency, minor units, reference."""
    return hashlib.sha256(ascii(body).encode()).hexdigest()


def digest_of(body: object) -> str:
    """A hash of plain JSON data."""
    return hashlib.sha256(_as_json(body).encode()).hexdigest()


_as_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
