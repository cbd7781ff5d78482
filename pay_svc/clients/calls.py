"""What both clients need: a call of our own, and what a refusal means."""

from __future__ import annotations

from paymesh import telemetry
from paymesh.clock import Clock
from paymesh.context import Call, Context
from paymesh.errors import Refused

CALL_TIMEOUT_S = 5.0


def call_for(context: Context, clock: Clock) -> Call:
    """A call that nobody asked us for: an effect's."""
    return Call(
        context=context,
        deadline=clock.monotonic() + CALL_TIMEOUT_S,
        traceparent=telemetry.traceparent(),
    )


def verdict_of(refusal: Refused) -> str:
    """The reason of a refusal for good. Anything else is raised: it is asked again."""
    if not refusal.final:
        raise refusal
    return refusal.reason
