"""What both clients need: what a refusal means."""

from __future__ import annotations

from paymesh.errors import Refused


def verdict_of(refusal: Refused) -> str:
    """The reason of a refusal for good. Anything else is raised: it is asked again."""
    if not refusal.final:
        raise refusal
    return refusal.reason
