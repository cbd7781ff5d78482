"""HTTP callbacks of channels: verified on the raw bytes, durable, then answered.

The order of checks is the order of their price: channel, rate, encoding, size, signature, content.
Only what is committed is answered 2xx; whatever the channel does not hear 2xx for comes again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway_svc.channels.port import (
    CALLBACK_BYTES_MAX,
    Channel,
    UnreadableCallback,
)
from gateway_svc.channels.port import Callback as Verified
from gateway_svc.orders.channel_calls import moved_of
from gateway_svc.orders.model import Callback, Report, ReportedState
from paymesh import metrics
from paymesh.clock import Clock
from paymesh.context import Call, Context
from paymesh.errors import TRANSIENT, PaymentError
from paymesh.ids import bucket_of, derived_id
from paymesh.items import Item, Outcome
from paymesh.signing import MalformedSignature, SignatureError, StaleTimestamp
from paymesh.store.port import MessageKey

log = structlog.get_logger()

DECIDE_LIMIT_S = 4.0
"""WeChat, the strictest, waits five seconds."""


REQUEST_NO = re.compile(r"[a-z2-7]{28}")


class Refusal(Exception):
    """An answer other than 2xx: nothing was written."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class Callbacks:
    """The ingress as an ASGI application."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        submit: Callable[[Item], Awaitable[Outcome]],
        *,
        clock: Clock,
        per_second_max: int,
        channel_per_second_max: int,
    ) -> None:
        """`per_second_max` for one source of one channel; the other for all its sources."""
        self._channels, self._submit, self._clock = channels, submit, clock
        self._rate = RateLimitItemPerSecond(per_second_max)
        self._channel_rate = RateLimitItemPerSecond(channel_per_second_max)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self.app = Starlette(
            routes=[
                Route("/callbacks/{channel}", self._receive, methods=["POST"]),
                Route("/health", self._health),
            ]
        )

    async def _health(self, request: Request) -> JSONResponse:
        return JSONResponse({"status": "SERVING"})

    async def _receive(self, request: Request) -> JSONResponse:
        name = request.path_params["channel"]
        # Anybody chooses the path: only names that we know may become labels.
        label = name if name in self._channels else "unknown"
        try:
            await self._take(name, request)
        except Refusal as refusal:
            metrics.CALLBACKS.labels(label, refusal.reason).inc()
            log.warning("callback.refused", channel=name[:32], reason=refusal.reason)
            body = {"code": "FAIL", "reason": refusal.reason, "message": refusal.message}
            return JSONResponse(body, status_code=refusal.status)
        metrics.CALLBACKS.labels(label, "taken").inc()
        return JSONResponse({"code": "SUCCESS"})

    async def _take(self, name: str, request: Request) -> None:
        channel = self._channels.get(name)
        if channel is None:
            raise Refusal(404, "CHANNEL_NOT_OFFERED", f"no channel {name!r}")
        source = request.client.host if request.client else "?"
        # The source first: one that asks too much must not use its channel's share up.
        if not (
            await self._limiter.hit(self._rate, name, source)
            and await self._limiter.hit(self._channel_rate, name)
        ):
            raise Refusal(429, "OVERLOADED", "too many callbacks; send it again later")
        if request.headers.get("content-encoding"):
            raise Refusal(415, "ENCODED", "send the body without Content-Encoding")
        raw = await _body(request)
        try:
            now_s = int(self._clock.now().timestamp())
            verified = channel.verify_callback(raw, request.headers, now_s)
        except StaleTimestamp as error:
            raise Refusal(401, "STALE_TIMESTAMP", str(error)) from error
        except MalformedSignature as error:
            raise Refusal(401, "MALFORMED_SIGNATURE", str(error)) from error
        except SignatureError as error:
            raise Refusal(401, "FORGED_SIGNATURE", str(error)) from error
        except UnreadableCallback as error:
            raise Refusal(400, "UNREADABLE", str(error)) from error
        if not REQUEST_NO.fullmatch(verified.request_no):
            raise Refusal(400, "NOT_OURS", f"{verified.request_no[:64]!r} is no number of ours")
        await self.keep(name, verified, raw)

    async def keep(self, name: str, verified: Verified, raw: bytes) -> None:
        """Decides and commits; a callback that was taken before is simply taken again.

        Raises Refusal: 503 if it may be taken later, 409 if never.
        """
        item = Item(
            command=report_of_callback(name, verified, raw, self._clock),
            call=Call(
                context=Context(business_id=""),
                deadline=self._clock.monotonic() + DECIDE_LIMIT_S,
            ),
            claim=MessageKey(f"callback.{name}", verified.id),
        )
        outcome: Outcome
        try:
            outcome = await self._submit(item)
        except PaymentError as error:  # it was not even queued
            outcome = error
        if isinstance(outcome, PaymentError):
            later = outcome.code in TRANSIENT
            raise Refusal(503 if later else 409, outcome.reason, outcome.message)


def report_of_callback(name: str, verified: Verified, raw: bytes, clock: Clock) -> Report:
    result = verified.result
    callback = Callback(
        id=derived_id("cbk", bucket=bucket_of(verified.request_no), key=f"{name}:{verified.id}"),
        context=Context(business_id=""),
        version=1,
        channel=name,
        callback_id=verified.id,
        request_no=verified.request_no,
        reported=result.state.value,
        body_sha256=hashlib.sha256(raw).hexdigest(),
        matched=False,
        received_at=clock.now(),
    )
    return Report(
        context=callback.context,
        request_no=verified.request_no,
        reported=result.state,
        moved=moved_of(result) if result.state is ReportedState.SUCCEEDED else None,
        channel_txn_id=result.channel_txn_id or "",
        occurred_at=result.occurred_at,
        reason=result.reason,
        callback=callback,
        callback_kind=verified.kind.value,
    )


async def _body(request: Request) -> bytes:
    """The raw body. Refuses at the first byte too many, without reading on."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > CALLBACK_BYTES_MAX:
        raise Refusal(413, "TOO_LARGE", f"a callback has at most {CALLBACK_BYTES_MAX} bytes")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > CALLBACK_BYTES_MAX:
            raise Refusal(413, "TOO_LARGE", f"a callback has at most {CALLBACK_BYTES_MAX} bytes")
    return bytes(raw)
