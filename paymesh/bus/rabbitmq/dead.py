"""Dead letters on a broker. Plain AMQP, blocking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pika
from pika.exceptions import AMQPConnectionError, AMQPError, NackError, UnroutableError

from paymesh.bus.amqp import address, parameters
from paymesh.bus.dead import Taken, again, dead_queues, letter_of
from paymesh.bus.envelope import Envelope
from paymesh.bus.rabbitmq.publisher import PERSISTENT
from paymesh.bus.topology import DEAD_QUEUE_PREFIX, Topology, depths


class RabbitDeadLetters:
    """The port DeadLetters. Raises ConnectionError when the broker does not answer."""

    def __init__(self, amqp_url: str, topology: Topology) -> None:
        self._amqp_url = amqp_url
        self._queues = dead_queues(topology)

    def depths(self) -> Mapping[str, int]:
        names = [DEAD_QUEUE_PREFIX + queue for queue in self._queues]
        found = depths(self._amqp_url, names)
        return {name.removeprefix(DEAD_QUEUE_PREFIX): n for name, n in found.items() if n}

    def each(self, queue: str) -> Iterator[Taken]:
        """The broker gives back what is still taken when the connection ends."""
        name = DEAD_QUEUE_PREFIX + queue
        with self._channel() as channel:
            there = channel.queue_declare(name, passive=True).method.message_count
            for _ in range(there):
                method, properties, body = channel.basic_get(name)
                if method is None:
                    return  # somebody else has taken the rest
                envelope = Envelope(
                    method.exchange,
                    method.routing_key,
                    properties.message_id or "",
                    body,
                    properties.headers or {},
                )
                letter = letter_of(envelope, queue)
                remove = partial(channel.basic_ack, method.delivery_tag)
                yield Taken(
                    letter, partial(_replay, channel, again(envelope, letter), remove), remove
                )

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        wanted = parameters(self._amqp_url, "paymesh dlq")
        try:
            connection = pika.BlockingConnection(wanted)
            channel = connection.channel()
            channel.confirm_delivery()
        except AMQPConnectionError as error:
            raise ConnectionError(f"no RabbitMQ at {address(wanted)}: {error!r}") from error
        try:
            yield channel
        except AMQPError as error:
            raise ConnectionError(f"RabbitMQ at {address(wanted)}: {error!r}") from error
        finally:
            if connection.is_open:
                connection.close()


def _replay(channel: Any, envelope: Envelope, remove: Any) -> None:
    properties = pika.BasicProperties(
        message_id=envelope.message_id, delivery_mode=PERSISTENT, headers=dict(envelope.headers)
    )
    try:
        channel.basic_publish(
            envelope.exchange, envelope.routing_key, envelope.body, properties, mandatory=True
        )
    except (UnroutableError, NackError) as refused:
        raise ConnectionError(f"the broker did not take {envelope.message_id} back") from refused
    remove()
