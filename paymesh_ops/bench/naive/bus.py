"""A JSON message for every event. Publishing ends with its confirm; consuming is one by one."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

from paymesh.bus.amqp import parameters
from paymesh.bus.rabbitmq.channel import Channel

EXCHANGE = "naive.events"
QUEUES = {
    "naive.pay": ("gateway.channel.result",),
    "naive.trade": ("pay.payment.succeeded",),
    "naive.clearing": ("pay.instruction.succeeded", "trade.trade.paid"),
}
"""Each consumer's queue, and the routing keys bound to it."""
QUEUE_ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 100}
PREFETCH = 1
PERSISTENT = 2
STEP_TIMEOUT_S = 5.0

Body = dict[str, Any]
Take = Callable[[str, str, Body], Awaitable[None]]
"""Takes (routing key, message id, body); what raises is requeued."""

log = logging.getLogger(__name__)


class Bus:
    """One connection, with a channel for publishing and one for consuming."""

    def __init__(self, connection: Any, publishing: Channel) -> None:
        self._connection = connection
        self._publishing = publishing
        self._sent = 0
        self._confirms: dict[int, asyncio.Future[None]] = {}
        self._taking: set[asyncio.Task[None]] = set()
        self.lost = publishing.lost
        """Done when the connection is gone: it does not come back."""

    @classmethod
    async def connect(cls, amqp_url: str, name: str) -> Bus:
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        AsyncioConnection(
            parameters(amqp_url, name),
            on_open_callback=opened.set_result,
            on_open_error_callback=lambda _connection, error: opened.set_exception(error),
            custom_ioloop=asyncio.get_running_loop(),
        )
        channel = await Channel.open(await opened, STEP_TIMEOUT_S)
        bus = cls(opened.result(), channel)
        await channel.ask(lambda done: channel.raw.confirm_delivery(bus._confirmed, callback=done))
        return bus

    async def publish(self, key: str, body: Body) -> None:
        """Returns once the broker has confirmed it."""
        properties = pika.BasicProperties(message_id=str(uuid.uuid4()), delivery_mode=PERSISTENT)
        self._publishing.raw.basic_publish(EXCHANGE, key, json.dumps(body).encode(), properties)
        self._sent += 1
        confirm = self._confirms[self._sent] = asyncio.get_running_loop().create_future()
        await confirm

    def _confirmed(self, frame: Any) -> None:
        last, multiple = frame.method.delivery_tag, frame.method.multiple
        for tag in [tag for tag in self._confirms if tag <= last] if multiple else [last]:
            confirm = self._confirms.pop(tag)
            if isinstance(frame.method, pika.spec.Basic.Ack):
                confirm.set_result(None)
            else:
                confirm.set_exception(RuntimeError("the broker refused a message"))

    async def consume(self, queue: str, take: Take) -> None:
        channel = await Channel.open(self._connection, STEP_TIMEOUT_S)
        raw = channel.raw

        async def one(method: Any, properties: Any, body: bytes) -> None:
            try:
                await take(method.routing_key, properties.message_id, json.loads(body))
            except Exception:  # whatever it was, the message comes again, and the log tells of it
                log.exception("%s is requeued", method.routing_key)
                raw.basic_nack(method.delivery_tag)
            else:
                raw.basic_ack(method.delivery_tag)

        def on_message(_raw: Any, method: Any, properties: Any, body: bytes) -> None:
            task = asyncio.create_task(one(method, properties, body))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

        await channel.ask(lambda done: raw.basic_qos(prefetch_count=PREFETCH, callback=done))
        await channel.ask(lambda done: raw.basic_consume(queue, on_message, callback=done))


def declare(amqp_url: str) -> None:
    """Blocking: the exchange and empty queues, made anew."""
    remove(amqp_url)
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        for queue, keys in QUEUES.items():
            channel.queue_declare(queue, durable=True, arguments=QUEUE_ARGUMENTS)
            for key in keys:
                channel.queue_bind(queue, EXCHANGE, key)


def remove(amqp_url: str) -> None:
    """Blocking: deletes queues and exchange; those that are not there are no error."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for queue in QUEUES:
            channel.queue_delete(queue)
        channel.exchange_delete(EXCHANGE)
