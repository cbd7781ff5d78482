"""Brings a broker's topology in line with ours, and says where it differs. Plain AMQP, blocking.

AMQP compares what is declared with what exists and answers 406 when they differ. It cannot list
bindings: `apply` makes every binding again (which changes nothing where it exists), `verify` says
nothing about them. What is more on the broker than in the file is nobody's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pika
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from paymesh.bus.amqp import address, parameters
from paymesh.bus.topology.model import Binding, Exchange, Queue, Topology, TopologyError

NOT_FOUND = 404

# What RabbitMQ 3.10 to 4.x say, e.g. "inequivalent arg 'x-message-ttl' for queue 'retry.5s' in
# vhost '/': received the value '5000' of type 'signedint' but current is the value '6000' of …"
_DIFFERENCE = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' for .*?: received (?P<ours>.+?) but current is (?P<its>.+)"
)
_VALUE = re.compile(r"'([^']*)'")


def apply(amqp_url: str, topology: Topology) -> None:
    """Creates what is missing in the URL's vhost; safe to run again.

    What exists is never changed or deleted: a queue with other arguments is emptied and deleted by
    a person. Raises TopologyError, a sentence for each such difference, once the rest is created;
    ConnectionError when the broker does not answer.
    """
    with _connected(amqp_url) as broker:
        differences = [
            *(broker.declare(item) for item in topology.declarations),
            *(broker.bind(binding) for binding in topology.bindings),
        ]
    found = [sentence for sentence in differences if sentence]
    if found:
        raise TopologyError("; ".join(found))


def verify(amqp_url: str, topology: Topology) -> list[str]:
    """What is missing or different in the URL's vhost, a sentence each; it creates nothing.

    Raises ConnectionError when the broker does not answer.
    """
    with _connected(amqp_url) as broker:
        # A passive declare only asks whether it exists, an active one compares: first the one,
        # lest looking for a queue creates it.
        findings = [broker.find(item) or broker.declare(item) for item in topology.declarations]
        return [sentence for sentence in findings if sentence]


def depths(amqp_url: str, queues: Sequence[str]) -> dict[str, int]:
    """How many messages wait in each of the queues. Raises ConnectionError when the broker does not
    answer, TopologyError for a queue that is not there."""
    with _connected(amqp_url) as broker:
        return {name: broker.depth(name) for name in queues}


class _Broker:
    """One connection; a refusal closes the channel that it came on, so the next opens a new one."""

    def __init__(self, connection: pika.BlockingConnection) -> None:
        self._connection = connection
        self._channel: Any = None

    def find(self, item: Exchange | Queue) -> str | None:
        if isinstance(item, Exchange):
            return self.attempt(
                lambda channel: channel.exchange_declare(item.name, item.type, passive=True),
                f"exchange {item.name}",
            )
        return self.attempt(
            lambda channel: channel.queue_declare(item.name, passive=True), f"queue {item.name}"
        )

    def declare(self, item: Exchange | Queue) -> str | None:
        arguments = dict(item.arguments)
        if isinstance(item, Exchange):
            return self.attempt(
                lambda channel: channel.exchange_declare(
                    item.name, item.type, durable=True, arguments=arguments
                ),
                f"exchange {item.name}",
            )
        return self.attempt(
            lambda channel: channel.queue_declare(item.name, durable=True, arguments=arguments),
            f"queue {item.name}",
        )

    def bind(self, binding: Binding) -> str | None:
        return self.attempt(
            lambda channel: channel.queue_bind(
                binding.destination, binding.source, binding.routing_key
            ),
            f"binding {binding.source} to {binding.destination}",
        )

    def depth(self, queue: str) -> int:
        found = 0

        def look(channel: Any) -> None:
            nonlocal found
            found = channel.queue_declare(queue, passive=True).method.message_count

        missing = self.attempt(look, f"queue {queue}")
        if missing:
            raise TopologyError(missing)
        return found

    def attempt(self, step: Callable[[Any], Any], label: str) -> str | None:
        """Takes the step; what the broker has against it, in a sentence."""
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
        try:
            step(self._channel)
        except ChannelClosedByBroker as refusal:
            if refusal.reply_code == NOT_FOUND:
                return f"{label} is missing on the broker"
            return f"{label}: {explain(refusal.reply_text)}"
        return None


def explain(reply_text: str) -> str:
    """A broker's refusal in our words; its own where we don't know them."""
    difference = _DIFFERENCE.search(reply_text)
    if difference is None:
        return reply_text
    ours, theirs = (_plain(difference[group]) for group in ("ours", "its"))
    return f"{difference['name']} is {theirs} on the broker and {ours} in the definitions"


def _plain(value: str) -> str:
    """`the value '5000' of type 'signedint'` → `5000`; `none` → `not set`."""
    quoted = _VALUE.search(value)
    return quoted[1] if quoted else value.replace("none", "not set")


@contextmanager
def _connected(amqp_url: str) -> Iterator[_Broker]:
    wanted = parameters(amqp_url, "paymesh topology")
    try:
        connection = pika.BlockingConnection(wanted)
    except AMQPConnectionError as error:
        raise ConnectionError(f"no RabbitMQ at {address(wanted)}: {error!r}") from error
    try:
        yield _Broker(connection)
    except AMQPConnectionError as error:
        raise ConnectionError(f"RabbitMQ at {address(wanted)} went away: {error!r}") from error
    finally:
        if connection.is_open:
            connection.close()
