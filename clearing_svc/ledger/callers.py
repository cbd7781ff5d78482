"""What callers may post: nothing under the name of what the ledger books of itself, and nothing on
accounts that only the ledger works on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.drafts import Line
from clearing_svc.ledger.facts import EVENTS
from paymesh.errors import InvalidField
from paymesh.text import problem

REVERSAL = "ledger.reversal"
MOVED_ON = "ledger.returns/moved"
LEG = "/leg-"
"""In the names of the journals of a split journal's legs."""
OF_HOLDS = "hld_"
"""How the references of the debits begin that take from holds."""
_OWN = frozenset({*EVENTS, REVERSAL, MOVED_ON.partition("/")[0]})


@lru_cache(maxsize=10_000)  # callers have few event types
def is_reserved(event_type: str) -> bool:
    """Whether a journal of this name could stand in the way of one that the ledger will post: of a
    business event's, which would be parked then, of a reversal or of a leg."""
    return event_type.partition("/")[0] in _OWN or LEG in event_type


def problem_of_reference(text: str) -> str:
    """Why a caller's entry cannot have it; empty: it can."""
    if text.startswith(OF_HOLDS):
        return "begins as the name of a hold does: PostHold is what takes from one"
    return problem(text, names=False)


def require_callers_own(
    event_type: str, business_key: str, lines: Iterable[Line], chart: Chart
) -> None:
    """Raises InvalidField. The subjects of the lines are in the chart."""
    if is_reserved(event_type):
        raise InvalidField(
            "event_type", "is kept for what the ledger books of itself: choose a name of your own"
        )
    for name, text in (("event_type", event_type), ("business_key", business_key)):
        if why := problem(text, names=False):
            raise InvalidField(name, why)
    for index, line in enumerate(lines):
        if why := problem(line.owner, names=False):
            raise InvalidField(f"entries[{index}].owner", why)
        if why := problem_of_reference(line.reference):
            raise InvalidField(f"entries[{index}].reference", why)
        if chart[line.subject].is_system:
            raise InvalidField(
                f"entries[{index}].subject",
                f"{line.subject} takes entries of business events and split journals only",
            )
