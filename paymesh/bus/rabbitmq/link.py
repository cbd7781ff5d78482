"""One AMQP connection that comes back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPConnectionError, AMQPError

from paymesh.bus.amqp import STACK_TIMEOUT_S, address, parameters
from paymesh.bus.handling import backoff_s
from paymesh.bus.rabbitmq.channel import ChannelLost, describe, resolve
from paymesh.bus.rabbitmq.limits import RabbitLimits

log = structlog.get_logger()


class Link:
    """Connects, tells when it stands or falls, and connects again until it is closed.

    `prepare` runs on every new connection before anybody else sees it (it may raise ChannelLost);
    `on_change` is called when the link has come up, gone down, or was blocked or unblocked.
    """

    def __init__(
        self,
        amqp_url: str,
        name: str,
        limits: RabbitLimits,
        *,
        prepare: Callable[[Any], Awaitable[None]] | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._parameters = parameters(amqp_url, name)
        self._name = name
        self._limits = limits
        self._prepare = prepare
        self._on_change = on_change
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._closing = asyncio.Event()
        self.blocked = False
        """The broker has an alarm (memory, disk) and reads nothing from us."""
        self.down_because = "not connected yet"

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    @property
    def connection(self) -> Any:
        """pika's connection; only meaningful while the link is up."""
        return self._connection

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=f"{self._name} link")

    async def wait_up(self) -> None:
        """Returns once the connection stands, however long it takes. Raises what ended the link."""
        if self._task is None:
            raise RuntimeError(f"{self._name} was not started")
        up = asyncio.create_task(self._up.wait())
        try:
            await asyncio.wait({up, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if self._task.done():
                self._task.result()
                raise RuntimeError(f"{self._name} is closed")
        finally:
            up.cancel()

    def abort(self, reason: str) -> None:
        """Cuts the connection without asking a broker that may not answer; the link reconnects."""
        connection = self._connection
        if connection is not None and not connection.is_closed:
            log.warning("bus.connection_aborted", link=self._name, reason=reason)
            # pika has no public way to cut a connection: its close() waits for the broker's answer.
            connection._terminate_stream(AMQPConnectionError(reason))

    async def close(self) -> None:
        """Says goodbye to the broker, but not for longer than one step."""
        self._closing.set()
        if self._task is None:
            return
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
            await asyncio.wait({self._task}, timeout=self._limits.step_timeout_s)
        self.abort("closing, and the broker does not answer")
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _keep(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began = asyncio.get_running_loop().time()
            reason = await self._once()
            if self._closing.is_set():
                return
            lasted_s = asyncio.get_running_loop().time() - began
            failures = 1 if lasted_s >= self._limits.stable_after_s else failures + 1
            pause_s = backoff_s(
                failures, self._limits.reconnect_min_s, self._limits.reconnect_max_s
            )
            log.warning(
                "bus.connection_down",
                link=self._name,
                broker=address(self._parameters),
                reason=reason,
                retry_in_s=round(pause_s, 2),
            )
            try:
                await asyncio.wait_for(self._closing.wait(), pause_s)
            except TimeoutError:
                continue  # the pause is over

    async def _once(self) -> str:
        """One connection from birth to death; says why it died."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[BaseException | None] = loop.create_future()
        closed: asyncio.Future[BaseException] = loop.create_future()
        connection = AsyncioConnection(
            self._parameters,
            on_open_callback=lambda _connection: resolve(opened, None),
            on_open_error_callback=lambda _connection, reason: resolve(opened, reason),
            on_close_callback=lambda _connection, reason: resolve(closed, reason),
            custom_ioloop=loop,
        )
        self._connection = connection
        self.blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        try:
            # pika's own limits leave out the name look-up, ours is around the whole
            async with asyncio.timeout(2 * STACK_TIMEOUT_S):
                refusal = await opened
            if refusal is not None:
                self.down_because = describe(refusal)
                return self.down_because
            if self._prepare is not None:
                await self._prepare(connection)
            log.info("bus.connection_up", link=self._name, broker=address(self._parameters))
            self._up.set()
            self._on_change()
            self.down_because = describe(await closed)
        except (ChannelLost, AMQPError, OSError, TimeoutError) as error:
            self.down_because = describe(error)
        finally:
            self._up.clear()
            self._discard(connection)
            self._on_change()
        return self.down_because

    def _discard(self, connection: Any) -> None:
        """No connection is left behind half open."""
        if not connection.is_closed:
            connection._terminate_stream(AMQPConnectionError("given up"))

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked
        log.warning("bus.broker_blocks" if blocked else "bus.broker_unblocks", link=self._name)
        self._on_change()
