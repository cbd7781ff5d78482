"""What the behaviours in test_bus_contract.py need of a bus, and a handler that remembers."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from paymesh.bus.dead import DeadLetters
from paymesh.bus.inprocess import InProcessBus, InProcessLimits
from paymesh.bus.port import HANDLED, Bus, Delivery, Message, Verdict
from paymesh.bus.rabbitmq import RabbitBus, RabbitLimits
from paymesh.bus.rabbitmq.dead import RabbitDeadLetters
from paymesh.bus.topology import DEAD_QUEUE_PREFIX, Topology, apply
from paymesh.http import open_url

DEFINITIONS = Path(__file__).parents[2] / "rabbitmq" / "definitions.json"
TIME_SCALE = 0.0001
"""The five rungs of most queues together take 0.4 s instead of 72 minutes."""
DELIVERY_LIMIT = 6
"""Instead of 100, so that poison gets there within a test."""
PATIENCE_S = 60.0

Answer = Callable[[Delivery], Verdict]


def topology_for_tests() -> Topology:
    """The real one, with short delays and a low delivery limit."""
    real = Topology.load(DEFINITIONS).scaled(TIME_SCALE)
    return replace(
        real,
        queues=tuple(
            replace(queue, arguments={**queue.arguments, "x-delivery-limit": DELIVERY_LIMIT})
            if queue.name in real.consumer_queues
            else queue
            for queue in real.queues
        ),
    )


def message(number: int, routing_key: str = "pay.payment.paid") -> Message:
    headers: dict[str, str | int | bytes] = {
        "payments-context-bin": b"\x00\xff",
        "traceparent": "00-ab-cd-01",
        "version": 3,
    }
    return Message(f"evt_{number}", routing_key, f"body {number}".encode(), headers)


class Seen:
    """A handler that remembers what it got and answers as it is told."""

    def __init__(self, answer: Answer = lambda _delivery: HANDLED) -> None:
        self.answer = answer
        self.batches: list[list[Delivery]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.under_way_most = 0
        self._changed = asyncio.Condition()

    async def __call__(self, deliveries: Sequence[Delivery]) -> Sequence[Verdict]:
        self.under_way += 1
        self.under_way_most = max(self.under_way_most, self.under_way)
        try:
            async with self._changed:
                self.batches.append(list(deliveries))
                self._changed.notify_all()
            await self.gate.wait()
            return [self.answer(delivery) for delivery in deliveries]
        finally:
            self.under_way -= 1

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery for batch in self.batches for delivery in batch]

    @property
    def ids(self) -> list[str]:
        return [delivery.message.id for delivery in self.deliveries]

    async def until(self, count: int) -> list[Delivery]:
        """Waits until so many deliveries have come; all of them."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.deliveries) >= count)
        return self.deliveries


async def eventually(true: Callable[[], bool]) -> None:
    """Waits until it is so. Raises TimeoutError after PATIENCE_S."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


class Harness(Protocol):
    """One adapter: a bus to test, and other users of the same broker."""

    bus: Bus
    topology: Topology

    async def another(self) -> Bus:
        """A started bus that sees the same queues."""

    async def queued(self, publishing: Sequence[asyncio.Task[None]]) -> None:
        """Waits until what is being published lies in its queue, handled or not."""

    def dead(self) -> DeadLetters:
        """What is parked on it."""

    async def close(self) -> None: ...


async def dead_letters(harness: Harness, queue: str, count: int) -> list[Delivery]:
    """Takes what is parked for the queue, waiting until there are so many."""
    seen = Seen()
    subscription = await harness.bus.consume(DEAD_QUEUE_PREFIX + queue, seen)
    found = await seen.until(count)
    await subscription.stop()
    return found


class InProcessHarness:
    def __init__(self) -> None:
        self.topology = topology_for_tests()
        limits = InProcessLimits(
            reopen_min_s=0.01,
            reopen_max_s=0.05,
            consumer_wait_s=PATIENCE_S,
            publish_timeout_s=PATIENCE_S,
        )
        self.bus: Bus = InProcessBus(self.topology, limits=limits)

    def dead(self) -> DeadLetters:
        assert isinstance(self.bus, InProcessBus)
        return self.bus

    async def another(self) -> Bus:
        return self.bus

    async def queued(self, publishing: Sequence[asyncio.Task[None]]) -> None:
        await asyncio.sleep(0.01)  # a turn of the loop; the confirms come when it is handled

    async def close(self) -> None:
        await self.bus.close()


class RabbitHarness:
    def __init__(self, amqp_url: str, **limits: float) -> None:
        self.amqp_url = amqp_url
        self.topology = topology_for_tests()
        self.limits = RabbitLimits(
            **{
                "reopen_min_s": 0.01,
                "reopen_max_s": 0.05,
                "reconnect_min_s": 0.1,
                "reconnect_max_s": 1.0,
                "confirm_timeout_s": PATIENCE_S,
                "admission_timeout_s": PATIENCE_S,
                **limits,
            }
        )
        self.bus: Bus = self._new()
        self._others: list[Bus] = []

    def _new(self) -> RabbitBus:
        return RabbitBus(self.amqp_url, self.topology, limits=self.limits)

    def dead(self) -> DeadLetters:
        return RabbitDeadLetters(self.amqp_url, self.topology)

    async def open(self) -> None:
        await asyncio.to_thread(apply, self.amqp_url, self.topology)
        await self.bus.start()

    async def another(self) -> Bus:
        bus = self._new()
        await bus.start()
        self._others.append(bus)
        return bus

    async def queued(self, publishing: Sequence[asyncio.Task[None]]) -> None:
        await asyncio.gather(*publishing)

    async def close(self) -> None:
        for bus in [*self._others, self.bus]:
            await bus.close()


class Management:
    """RabbitMQ's HTTP interface, for what AMQP cannot do: vhosts and definitions."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.hostname}:{parts.port}/api/"
        self._login = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
        self._user = parts.username

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Raises urllib.error.HTTPError unless it is answered with 2xx."""
        request = urllib.request.Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Basic {self._login}", "content-type": "application/json"},
        )
        with open_url(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def create_vhost(self, name: str) -> None:
        self.call("PUT", f"vhosts/{quote(name, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.call("PUT", f"permissions/{quote(name, safe='')}/{self._user}", everything)

    def delete_vhost(self, name: str) -> None:
        self.call("DELETE", f"vhosts/{quote(name, safe='')}")


def in_vhost(amqp_url: str, vhost: str) -> str:
    """The same broker and user, another vhost."""
    return urlunsplit(urlsplit(amqp_url)._replace(path="/" + quote(vhost, safe="")))
