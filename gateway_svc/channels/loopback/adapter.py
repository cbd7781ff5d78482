"""The channel `loopback`: no wire and no payer. An order pays itself as soon as it is announced.

For measuring what the mesh itself can do, never with real money. It keeps nothing durable: what a
process knew is gone with it, and an order that is announced again is called back again.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

import structlog

from gateway_svc.callbacks.handling import Refusal
from gateway_svc.channels.port import (
    Callback,
    CallbackKind,
    ChannelResult,
    PayoutOrder,
    PrepayOrder,
    PrepayResult,
    RefundOrder,
    Verb,
)
from gateway_svc.orders.model import ReportedState
from paymesh.clock import Clock
from paymesh.signing import SignatureError

log = structlog.get_logger()

Keep = Callable[[str, Callback, bytes], Awaitable[None]]
"""Takes a verified callback of a channel, with its body. Raises Refusal."""

ORDERS_MAX = 5000
"""So many of the latest orders a process can be asked about."""
CALLBACKS_MAX = 5000
"""So many callbacks may be under way; beyond it an order is not announced."""
TELL_AGAIN_AFTER_S = (0.1, 0.5, 2.0, 5.0)

_NOT_KNOWN = ChannelResult(
    state=ReportedState.UNKNOWN, reason="the loopback channel only calls back"
)
_NOT_OFFERED = ChannelResult(state=ReportedState.FAILED, reason="NOT_OFFERED")


class LoopbackChannel:
    """Implements `Channel`. `bind` it to what takes callbacks before the first order."""

    name = "loopback"
    verbs = frozenset({Verb.PREPAY, Verb.QUERY, Verb.CLOSE})

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._keep: Keep | None = None
        self._paid: OrderedDict[str, ChannelResult] = OrderedDict()
        self._telling: set[asyncio.Task[None]] = set()

    def bind(self, keep: Keep) -> None:
        """Where the callbacks go; set once, when their use case exists."""
        self._keep = keep

    async def start(self) -> None:
        log.warning("loopback.offered", note="it pays every order by itself, without money")

    async def stop(self) -> None:
        """Drops what is not told yet."""
        telling = list(self._telling)
        if telling:
            log.warning("loopback.dropped", callbacks=len(telling))
        for task in telling:
            task.cancel()
        await asyncio.gather(*telling, return_exceptions=True)

    async def prepay(self, order: PrepayOrder) -> PrepayResult:
        """The order is paid; its callback comes when this has returned."""
        assert self._keep is not None, "bind() comes first"
        if len(self._telling) >= CALLBACKS_MAX:
            return PrepayResult(state=ReportedState.UNKNOWN, reason="BUSY")
        callback = self._pay(order)
        task = asyncio.create_task(self._tell(self._keep, callback, body_of(callback)))
        self._telling.add(task)
        task.add_done_callback(self._callback_ended)
        return PrepayResult(
            state=ReportedState.AWAITING_PAYER,
            channel_credential={"prepay_id": f"lpb_{order.request_no}"},
        )

    async def query(self, request_no: str) -> ChannelResult:
        return self._paid.get(request_no, _NOT_KNOWN)

    async def close(self, request_no: str) -> ChannelResult:
        """Always too late: what is announced is paid."""
        return await self.query(request_no)

    async def refund(self, order: RefundOrder) -> ChannelResult:
        return _NOT_OFFERED

    async def query_refund(self, refund_no: str, request_no: str) -> ChannelResult:
        return _NOT_OFFERED

    async def payout(self, order: PayoutOrder) -> ChannelResult:
        return _NOT_OFFERED

    async def query_payout(self, payout_no: str) -> ChannelResult:
        return _NOT_OFFERED

    def verify_callback(self, raw: bytes, headers: Mapping[str, str], now_s: int) -> Callback:
        """Refuses everything: this channel has no key, so nobody speaks for it over HTTP."""
        raise SignatureError("the loopback channel does not call back over HTTP")

    def _pay(self, order: PrepayOrder) -> Callback:
        """The callback of the paid order; the same when it was paid here before."""
        result = self._paid.setdefault(
            order.request_no,
            ChannelResult(
                state=ReportedState.SUCCEEDED,
                amount_minor=order.amount_minor,
                currency=order.currency,
                channel_txn_id=f"lpb_{order.request_no}",
                occurred_at=self._clock.now(),
            ),
        )
        if len(self._paid) > ORDERS_MAX:
            self._paid.popitem(last=False)
        return Callback(
            id=f"evt_{order.request_no}",
            kind=CallbackKind.COLLECT,
            request_no=order.request_no,
            result=result,
        )

    async def _tell(self, keep: Keep, callback: Callback, raw: bytes) -> None:
        """Calls back until it is taken; after the last pause asking is left to the resolver."""
        for pause_s in (*TELL_AGAIN_AFTER_S, None):
            try:
                await keep(self.name, callback, raw)
                return
            except Refusal as refusal:
                if refusal.status != 503 or pause_s is None:
                    log.warning(
                        "loopback.gave_up", request_no=callback.request_no, reason=refusal.reason
                    )
                    return
            await self._clock.sleep(pause_s)

    def _callback_ended(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("loopback.defect", exc_info=error)


def body_of(callback: Callback) -> bytes:
    """What the callback's body would be."""
    result = callback.result
    assert result.occurred_at is not None
    body = {
        "id": callback.id,
        "request_no": callback.request_no,
        "state": result.state.value,
        "amount_minor": result.amount_minor,
        "currency": result.currency,
        "channel_txn_id": result.channel_txn_id,
        "occurred_at": result.occurred_at.isoformat(),
    }
    return json.dumps(body).encode()
