"""Acts: what was done to an account or a journal other than by posting, kept with its why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from paymesh.context import Context
from paymesh.ids import derived_id, shard_of


@dataclass(frozen=True, slots=True)
class Act:
    """Insert-only."""

    id: str
    context: Context
    """Of the chain in which it was asked for."""
    about: str
    """The id of the account or the journal."""
    what: str
    """The account's new status or mode, or REVERSED."""
    why: str
    """In the words of who asked; empty: nobody was asked why."""
    acted_at: datetime


def act(about: str, version: int, what: str, why: str, *, context: Context, at: datetime) -> Act:
    """`version`: the one that `about` has now; an act gives it one of its own."""
    id_ = derived_id("act", bucket=shard_of(about), key=f"{about} {version}")
    return Act(id_, context, about, what, why, at)
