"""The coalescer: concurrent calls of one remote method travel as one BatchX message.

One per (method, traffic, deadline class). It lingers only if the last batch held more than one; at
most two batches are in flight; every item keeps its own context, deadline and result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from paymesh.batcher import Batcher, BatchLimits
from paymesh.channel import invoke
from paymesh.clock import Clock
from paymesh.context import Call, Context, DeadlineClass, Traffic
from paymesh.errors import DeadlinePassed, PaymentError
from paymesh.status import from_status
from paymesh.telemetry import batch_span, traceparent
from paymesh.wire import call_to

Outcome = Message | PaymentError

ITEMS_MAX = 200
"""Every field is bounded by the contract, an item to about 4 KiB: a full message stays far below
the 4 MiB that a server takes."""


EFFECT_CALL_S = 5.0


def call_for(
    context: Context, clock: Clock, *, deadline_class: DeadlineClass = DeadlineClass.INTERACTIVE
) -> Call:
    """A call that nobody asked us for: an effect's."""
    return Call(
        context=context,
        deadline=clock.monotonic() + EFFECT_CALL_S,
        traceparent=traceparent(),
        deadline_class=deadline_class,
    )


class Coalescer:
    """Calls a stub's BatchX method; gives each caller its own response or refusal.

    `request` is the BatchXRequest, whose `items` have a call_context and a request.
    """

    def __init__(
        self,
        method: Any,
        request: type[Any],
        *,
        caller: str,
        clock: Clock,
        limits: BatchLimits = BatchLimits(items_max=ITEMS_MAX, linger_max_s=0.005),
    ) -> None:
        self._method, self._request = method, request
        self._caller, self._clock, self._limits = caller, clock, limits
        self._lanes: dict[
            tuple[Traffic, DeadlineClass], Batcher[tuple[Call, Message], Outcome]
        ] = {}

    async def call(self, call: Call, request: Message) -> Any:
        """The response. Raises the item's refusal, or the transport's (Unavailable, …)."""
        lane = self._lanes.get((call.context.traffic, call.deadline_class))
        if lane is None:
            lane = Batcher(self._process, clock=self._clock, limits=self._limits)
            self._lanes[(call.context.traffic, call.deadline_class)] = lane
        outcome = await lane.submit((call, request))
        if isinstance(outcome, PaymentError):
            raise outcome
        return outcome

    async def _process(self, entries: Sequence[tuple[Call, Message]]) -> Sequence[Outcome]:
        now = time.monotonic()
        live = [i for i, (call, _) in enumerate(entries) if call.deadline > now]
        outcomes: list[Outcome] = [
            DeadlinePassed("the deadline passed before the call was sent") for _ in entries
        ]
        if not live:
            return outcomes
        message = self._request(
            items=[
                {
                    "call_context": call_to(entries[i][0], now=now, caller=self._caller),
                    "request": entries[i][1],
                }
                for i in live
            ]
        )
        longest_s = max(entries[i][0].deadline for i in live) - now
        try:
            with batch_span(
                f"{self._request.DESCRIPTOR.name} send", [entries[i][0].traceparent for i in live]
            ):
                response = await invoke(self._method, message, longest_s)
        except PaymentError as error:
            for i in live:
                outcomes[i] = error
            return outcomes
        for i, result in zip(live, response.results, strict=True):
            if result.WhichOneof("result") == "error":
                outcomes[i] = from_status(result.error)
            else:
                outcomes[i] = result.response
        return outcomes

    async def close(self) -> None:
        for lane in self._lanes.values():
            await lane.close()
