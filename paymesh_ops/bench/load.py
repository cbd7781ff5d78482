"""Callers that never rest, each sending its next request when the last one was answered; and
requests that arrive when they are due, whatever has become of those before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

R = TypeVar("R")

RPC_TIMEOUT_S = 30.0


async def called(
    requests: Iterable[R], call: Callable[[R], Awaitable[object]], *, callers: int
) -> list[float]:
    """All requests, `callers` at a time; each one's seconds. The first error ends it."""
    latencies: list[float] = []
    waiting = iter(requests)

    async def caller(mine: Iterator[R]) -> None:
        for request in mine:
            started = time.perf_counter()
            await call(request)
            latencies.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller(waiting))
    return latencies


async def paced(
    requests: Iterable[R], call: Callable[[R], Awaitable[object]], *, a_second: float
) -> list[float]:
    """All requests, so many a second at even intervals; each one's seconds since it was due.

    Nothing waits for an answer: what is slow is met by more requests, not by fewer. The first
    error ends it.
    """
    latencies: list[float] = []

    async def one(request: R, due: float) -> None:
        await call(request)
        latencies.append(time.perf_counter() - due)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number, request in enumerate(requests):
            due = started + number / a_second
            await asyncio.sleep(due - time.perf_counter())
            tasks.create_task(one(request, min(due, time.perf_counter())))  # timers may be early
    return latencies
