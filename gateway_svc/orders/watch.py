"""Credentials watched by streams: all of a process's watchers share one query per 100 ms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import structlog

from gateway_svc.orders.model import ChannelOrder, OrderView
from paymesh.errors import Overloaded
from paymesh.store.port import Store, Unreachable
from paymesh.store.rowtypes import Aggregate

log = structlog.get_logger()

POLL_S = 0.1
WATCHERS_MAX = 5000
WATCH_MAX_S = 60.0
"""No stream lives longer, whatever its caller would wait; it may watch again."""


class Watcher:
    """Polls the orders that somebody watches and tells each watcher of every new version."""

    def __init__(self, store: Store, orders: Aggregate[OrderView]) -> None:
        self._store, self._orders = store, orders
        self._queues: dict[str, set[asyncio.Queue[ChannelOrder]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def watch(self, order: ChannelOrder, *, limit_s: float) -> AsyncIterator[ChannelOrder]:
        """The order now and at each change, at most so long. Raises Overloaded."""
        if sum(map(len, self._queues.values())) >= WATCHERS_MAX:
            raise Overloaded("too many credentials are watched; poll GetCredential instead")
        queue: asyncio.Queue[ChannelOrder] = asyncio.Queue()
        self._queues.setdefault(order.id, set()).add(queue)
        if self._task is None:
            self._task = asyncio.create_task(self._poll())
        version, end = 0, time.monotonic() + min(limit_s, WATCH_MAX_S)
        try:
            while True:
                if order.version > version:
                    version = order.version
                    yield order
                order = await asyncio.wait_for(queue.get(), end - time.monotonic())
        except TimeoutError:
            return
        finally:
            watching = self._queues[order.id]
            watching.discard(queue)
            if not watching:
                del self._queues[order.id]

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            if not self._queues:
                continue
            try:
                views = await self._store.load(self._orders, sorted(self._queues))
            except Unreachable as error:
                log.warning("watch.unreachable", error=str(error))
                continue
            except Exception:  # the one task of all watchers must outlive a defect
                log.exception("watch.defect")
                continue
            for key, view in views.items():
                for queue in self._queues.get(key, ()):
                    if view.order is not None:
                        queue.put_nowait(view.order)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
