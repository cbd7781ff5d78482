"""How a service is put together: cores, servicers, consumers, and the roles that run them.

A Core is one kind of aggregate with its shell, batcher and executor. An App is a service; started
as `serve` it answers gRPC, as `work` it consumes, relays and sweeps; in the demo it does both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar

import structlog

from paymesh import metrics
from paymesh.batcher import Batcher, BatchLimits
from paymesh.bus.port import Bus, ConsumerOptions, Handler, Subscription
from paymesh.clock import Clock
from paymesh.core import Event
from paymesh.effects import Do, EffectExecutor, EffectLimits, SweepLimits, sweep_forever
from paymesh.items import Item, Outcome
from paymesh.loads import Loads
from paymesh.outbox import Publisher, keep_outbox_forever, relay_forever
from paymesh.server import Server, Service
from paymesh.settings import ServiceSettings
from paymesh.shell import NO_REFUSALS, Refusals, Rule, Shell
from paymesh.shell import Publisher as PublisherPort
from paymesh.store.port import Store
from paymesh.store.rowtypes import Aggregate, AggregateSet, RowType

PARKED_EVERY_S = 15.0
S = TypeVar("S")
Role = Literal["serve", "work", "ingress"]
log = structlog.get_logger()


class Core(Generic[S]):
    """One kind of aggregate: what is submitted is batched, decided, saved; what is owed is done."""

    def __init__(
        self,
        *,
        store: Store,
        aggregate: Aggregate[S] | AggregateSet[S],
        rules: Mapping[type, Rule],
        encode: Callable[[Event], bytes],
        publisher: PublisherPort,
        clock: Clock,
        owed: Callable[[S, datetime], Sequence[Any]] | None = None,
        does: Mapping[type, Do] | None = None,
        records: Sequence[RowType[Any]] = (),
        refusals: Refusals = NO_REFUSALS,
        sweep: SweepLimits | None = None,
        batch: BatchLimits = BatchLimits(),
        effects: EffectLimits = EffectLimits(),
    ) -> None:
        self.clock = clock
        self.executor = EffectExecutor(
            name=aggregate.name, does=does or {}, limits=effects, clock=clock
        )
        self.shell: Shell[S] = Shell(
            store=store,
            aggregate=aggregate,
            rules=rules,
            encode=encode,
            clock=clock,
            publisher=publisher,
            executor=self.executor if owed is not None else None,
            owed=owed,
            records=records,
            refusals=refusals,
        )
        self.batcher: Batcher[Item, Outcome] = Batcher(
            self.shell.process, clock=clock, limits=batch
        )
        self.executor.bind(self.batcher.submit)
        self.loads: Loads[S] = Loads(store, aggregate, clock=clock)
        self.sweep = sweep if owed is not None else None

    async def submit(self, item: Item) -> Outcome:
        return await self.batcher.submit(item)

    async def submit_all(self, items: Sequence[Item]) -> Sequence[Outcome]:
        return await self.batcher.submit_all(items)

    async def load(self, key: str) -> S:
        """The state of one aggregate, for reading. Raises Unavailable."""
        return await self.loads.load(key)

    async def close(self) -> None:
        await self.executor.close()
        await self.batcher.close()
        await self.loads.close()


class HttpIngress(Protocol):
    port: int

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(slots=True)
class App:
    """A service, put together by its bootstrap."""

    name: str
    settings: ServiceSettings
    store: Store
    bus: Bus
    clock: Clock
    publisher: Publisher
    services: list[Service] = field(default_factory=list)
    cores: list[Core[Any]] = field(default_factory=list)
    queues: list[tuple[str, Handler, ConsumerOptions]] = field(default_factory=list)
    """What `work` consumes."""
    chores: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What `work` does for ever beside consuming, relaying and sweeping."""
    openers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    enders: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """End streams that would last for ever, before the server waits for its calls to end."""
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    ingress: Callable[[], HttpIngress] | None = None
    """Makes what takes HTTP from outside, for the role `ingress`."""
    server: Server | None = None
    http: HttpIngress | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _subscriptions: list[Subscription] = field(default_factory=list)

    async def start(self, roles: set[Role]) -> None:
        """Opens what is shared, then what the roles need. Returns when work can come."""
        for opener in self.openers:
            await opener()
        self.publisher.start()
        if "serve" in roles:
            self.server = Server(self.services, listen=self.settings.listen)
            await self.server.start()
            log.info("serve.started", service=self.name, port=self.server.port)
        if "ingress" in roles and self.ingress is not None:
            self.http = self.ingress()
            await self.http.start()
            log.info("ingress.started", service=self.name, port=self.http.port)
        if "work" in roles:
            for queue, handler, options in self.queues:
                self._subscriptions.append(await self.bus.consume(queue, handler, options))
            self._spawn(self._count_parked())
            self._spawn(
                relay_forever(
                    self.store,
                    self.bus,
                    clock=self.clock,
                    older_than_s=self.settings.relay_older_than_s,
                )
            )
            self._spawn(keep_outbox_forever(self.store, clock=self.clock))
            for core in self.cores:
                if core.sweep is not None:
                    self._spawn(
                        sweep_forever(
                            core.shell, core.executor, clock=self.clock, limits=core.sweep
                        )
                    )
            for chore in self.chores:
                self._spawn(chore())
            log.info("work.started", service=self.name, queues=[q for q, _, _ in self.queues])

    async def _count_parked(self) -> None:
        """What of our queues lies in their dead letters, whoever has put it there: for alerts."""
        while True:
            for queue, _, _ in self.queues:
                try:
                    metrics.EVENTS_PARKED.labels(queue).set(await self.bus.parked(queue))
                except ConnectionError as error:
                    log.warning("parked.later", queue=queue, error=str(error))
            await self.clock.sleep(PARKED_EVERY_S)

    def _spawn(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """Orderly end: no new calls, finish calls and batches, flush, close."""
        if self.http is not None:
            # Whoever balances the load stops sending meanwhile, as for a server.
            await self.clock.sleep(self.settings.drain_wait_s)
            await self.http.stop()
        for ender in self.enders:
            await ender()
        if self.server is not None:
            await self.server.stop(drain_wait_s=self.settings.drain_wait_s)
        for subscription in self._subscriptions:
            await subscription.stop()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for core in self.cores:
            await core.close()
        await self.publisher.close()
        for closer in self.closers:
            await closer()
        log.info("stopped", service=self.name)
