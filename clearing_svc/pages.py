"""Pages of journals: how far one goes, and where the next begins."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime

from clearing_svc.ledger.domain import Journal
from clearing_svc.queries import Posting as Found
from paymesh.errors import InvalidField

PAGE_ENTRIES_MAX = 10_000
"""Journals may be long: so much fits into one message."""


def page_of(found: Sequence[Found], size: int) -> Sequence[Found]:
    """The first ones: at most `size`, and at least one however long it is."""
    entries = 0
    for index, (_, of_journal) in enumerate(found[:size]):
        entries += len(of_journal)
        if index and entries > PAGE_ENTRIES_MAX:
            return found[:index]
    return found[:size]


def token_of(journal: Journal) -> str:
    position = f"{journal.posted_at.isoformat()} {journal.id}"
    return urlsafe_b64encode(position.encode()).decode()


def position_of(token: str) -> tuple[datetime, str]:
    """Where the last page ended. Raises InvalidField for a token that is not ours."""
    try:
        at, journal_id = urlsafe_b64decode(token.encode()).decode().split(" ")
        posted_at = datetime.fromisoformat(at)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("page_token", "is not from a ListJournals response") from error
    if posted_at.tzinfo is None or "\x00" in journal_id:
        raise InvalidField("page_token", "is not from a ListJournals response")
    return posted_at, journal_id
