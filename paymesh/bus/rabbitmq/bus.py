"""The port of the bus, over RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pika.exceptions import AMQPError

from paymesh.bus.envelope import first_envelope
from paymesh.bus.port import (
    DEFAULT_OPTIONS,
    ConsumerOptions,
    Handler,
    Message,
    PublishFailed,
    Subscription,
)
from paymesh.bus.rabbitmq.channel import Channel, ChannelLost, describe
from paymesh.bus.rabbitmq.consumer import RabbitConsumer
from paymesh.bus.rabbitmq.limits import DEFAULT_LIMITS, RabbitLimits
from paymesh.bus.rabbitmq.link import Link
from paymesh.bus.rabbitmq.publisher import Publisher
from paymesh.bus.topology import DEAD_QUEUE_PREFIX, Topology


class RabbitBus:
    """A Bus on two connections: an alarm stops the reading of a connection that publishes, and
    acks must not wait for that. The topology must be applied; see paymesh.bus.topology.verify."""

    def __init__(
        self,
        amqp_url: str,
        topology: Topology,
        *,
        name: str = "paymesh",
        limits: RabbitLimits = DEFAULT_LIMITS,
    ) -> None:
        self._topology = topology
        self._limits = limits
        self._publisher = Publisher(amqp_url, name, limits)
        self._link = Link(amqp_url, f"{name} consumer", limits)
        self._consumers: list[RabbitConsumer] = []
        self._closing = False

    async def start(self) -> None:
        self._link.start()
        await self._publisher.start()
        await self._link.wait_up()

    async def publish(self, messages: Sequence[Message]) -> Sequence[PublishFailed | None]:
        return await self._publisher.publish([first_envelope(message) for message in messages])

    async def consume(
        self, queue: str, handler: Handler, options: ConsumerOptions = DEFAULT_OPTIONS
    ) -> Subscription:
        """Raises TopologyError when there is no such queue, RuntimeError after close()."""
        self._topology.queue(queue)
        if self._closing:
            raise RuntimeError("the bus is closed")
        consumer = RabbitConsumer(
            link=self._link,
            publisher=self._publisher,
            topology=self._topology,
            queue=queue,
            handler=handler,
            options=options,
            limits=self._limits,
        )
        self._consumers.append(consumer)
        return consumer

    async def parked(self, queue: str) -> int:
        name = DEAD_QUEUE_PREFIX + queue
        try:
            channel = await Channel.open(self._link.connection, self._limits.step_timeout_s)
            try:
                found = await channel.ask(
                    lambda done: channel.raw.queue_declare(name, passive=True, callback=done)
                )
            finally:
                await channel.close()
        except (ChannelLost, AMQPError) as lost:
            raise ConnectionError(describe(lost)) from lost
        return int(found.method.message_count)

    async def close(self) -> None:
        self._closing = True
        # The consumers first: the leftovers of their last batches still have to be published.
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        await asyncio.gather(self._publisher.close(), self._link.close())
