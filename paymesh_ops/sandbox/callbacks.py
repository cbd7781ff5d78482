"""Delivers callbacks: signed, with the faults that the knobs ask for, until somebody says 2xx.

A callback keeps its id and its body on every try; timestamp, nonce and signature are new each time,
as a real channel does it. A try waits at most `timeout_s`; between tries stands the ladder, and
past its end the channel gives up. What is still owed when the process dies is owed at its next
start, so a callback comes at least once or is LOST by a fault.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog

from paymesh.signing import Signer
from paymesh_ops.sandbox.faults import Faults
from paymesh_ops.sandbox.state import Notice, Outcome
from paymesh_ops.sandbox.views import callback_body

LADDER_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0, 60.0)
"""Seconds between tries: about six minutes, so an outage of a minute heals by itself."""

STALE_BY_S = 3600
_ANSWER_BYTES_MAX = 4096

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallbackLimits:
    ladder_s: tuple[float, ...] = LADDER_S
    timeout_s: float = 5.0
    """A try that takes longer has failed."""
    in_flight_max: int = 128
    """Tries on the wire at once."""
    pending_max: int = 50_000
    """Callbacks that wait for a try; beyond it a new one stays owed until the next start."""


class Courier:
    """Owns the callbacks under way. Start it in the loop that uses it; stop it there."""

    def __init__(
        self,
        *,
        signer: Signer,
        faults: Faults,
        now_s: Callable[[], float],
        durable: Callable[[], Awaitable[None]],
        finished: Callable[[Notice, Outcome], None],
        limits: CallbackLimits,
    ) -> None:
        """`durable` returns when the event is on disk; `finished` is told when all is over."""
        self._signer = signer
        self._faults = faults
        self._now_s = now_s
        self._durable = durable
        self._finished = finished
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.in_flight_max)
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._limits.timeout_s),
            connector=aiohttp.TCPConnector(limit=self._limits.in_flight_max),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def stop(self) -> None:
        """Drop what is under way; it stays owed in the book."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def send(self, notice: Notice) -> None:
        """Deliver it in the background, with the faults of the moment."""
        faults = self._faults
        if faults.fires("callback", "lost"):
            self._finished(notice, Outcome.LOST)
            return
        off_by = 1 if faults.fires("callback", "wrong_amount") else 0
        body = json.dumps(callback_body(notice, amount_off_by=off_by)).encode()
        delay_s = faults.seconds("callback", "delay_ms") + faults.reorder_delay_s()
        copies = faults.copies()
        if len(self._tasks) + copies >= self._limits.pending_max:
            _log.warning("callback_not_sent", notice_id=notice.id, reason="too many pending")
            return
        self._spawn(self._deliver(notice, body, delay_s))
        for _ in range(copies):
            self._spawn(self._copy(notice, body, delay_s))

    async def replay(self, notice: Notice) -> int | None:
        """One try now, without the knobs. The HTTP status; None if there was no answer."""
        return await self._try(notice, json.dumps(callback_body(notice)).encode(), faulty=False)

    def _spawn(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(delivery)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("callback_broke", error=repr(error))

    async def _deliver(self, notice: Notice, body: bytes, delay_s: float) -> None:
        await self._durable()
        for wait_s in (delay_s, *self._limits.ladder_s):
            await asyncio.sleep(wait_s)
            status = await self._try(notice, body)
            if status is not None and 200 <= status < 300:
                self._finished(notice, Outcome.DELIVERED)
                return
        self._finished(notice, Outcome.GAVE_UP)

    async def _copy(self, notice: Notice, body: bytes, delay_s: float) -> None:
        await self._durable()
        await asyncio.sleep(delay_s)
        await self._try(notice, body)

    async def _try(self, notice: Notice, body: bytes, *, faulty: bool = True) -> int | None:
        if self._session is None:
            raise RuntimeError("the courier is not started")
        # A replay is a person's doing and must not wait behind a storm.
        slot: AbstractAsyncContextManager[None] = self._slots if faulty else nullcontext()
        async with slot:
            try:
                async with self._session.post(
                    notice.notify_url,
                    data=body,
                    headers=self._headers(body, faulty=faulty),
                    allow_redirects=False,
                ) as response:
                    # Read a little, so that the connection can be used again.
                    await response.content.read(_ANSWER_BYTES_MAX)
                    return response.status
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                _log.info("callback_unanswered", notice_id=notice.id, error=repr(error))
                return None

    def _headers(self, body: bytes, *, faulty: bool) -> dict[str, str]:
        timestamp = int(self._now_s())
        signed = body
        if faulty and self._faults.fires("callback", "stale"):
            timestamp -= STALE_BY_S
        if faulty and self._faults.fires("callback", "bad_signature"):
            signed = body + b" "
        headers = self._signer.sign_message(
            timestamp=timestamp, nonce=secrets.token_hex(16), body=signed
        )
        return {**headers, "Content-Type": "application/json"}
