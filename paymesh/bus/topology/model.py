"""The exchanges, queues and bindings that Paymesh needs, read from rabbitmq/definitions.json.

The same file is what RabbitMQ itself loads (POST /api/definitions), what `apply` and `verify`
(see broker.py) compare a broker with, and what the in-process bus routes by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

EVENTS_EXCHANGE = "payments.events"
REDELIVER_EXCHANGE = "payments.redeliver"
DEAD_EXCHANGE = "payments.dead"
RETRY_EXCHANGE_PREFIX = "payments.retry."
DEAD_QUEUE_PREFIX = "dead."

LADDER = ("5s", "30s", "2m", "10m", "1h", "2h", "6h", "14h")
"""The delays of the retry ladder, shortest first: each is an exchange and a queue of its own,
because messages of one queue expire only at its head."""

RUNGS_DEFAULT = 5
"""Our own services are back within an hour or a person must look: 5 s to 1 h, then parked."""

RUNGS_OF_QUEUE = {"trade.notifications": len(LADDER)}
"""A merchant's endpoint may be away for a night: all eight rungs, about 23 hours together."""


class TopologyError(ValueError):
    """The definitions do not hold together, or a broker's topology differs from them."""


@dataclass(frozen=True, slots=True)
class Exchange:
    name: str
    type: str
    """topic, direct or fanout"""
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ttl_ms(self) -> int | None:
        """How long a message stays before it is dead-lettered; None: until it is consumed."""
        ttl: int | None = self.arguments.get("x-message-ttl")
        return ttl


@dataclass(frozen=True, slots=True)
class Binding:
    source: str
    destination: str
    """a queue"""
    routing_key: str


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the retry ladder."""

    exchange: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything durable; the vhost is not part of it, it comes with the AMQP URL."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]

    @classmethod
    def load(cls, path: Path) -> Topology:
        """Reads a RabbitMQ definitions file. Raises TopologyError if it does not hold together."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            topology = cls(
                exchanges=tuple(
                    Exchange(item["name"], item["type"], item["arguments"])
                    for item in document["exchanges"]
                ),
                queues=tuple(Queue(item["name"], item["arguments"]) for item in document["queues"]),
                bindings=tuple(
                    Binding(item["source"], item["destination"], item["routing_key"])
                    for item in document["bindings"]
                ),
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise TopologyError(f"{path} is not a definitions file: {error!r}") from error
        problems = [*_not_durable(document), *topology._problems()]
        if problems:
            raise TopologyError(f"{path}: " + "; ".join(problems))
        return topology

    def scaled(self, factor: float) -> Topology:
        """The same with the delays of the ladder multiplied (0.001: an hour takes 3.6 s)."""
        if factor <= 0:
            raise ValueError(f"a time scale is greater than 0, not {factor}")
        return replace(self, queues=tuple(_scaled(queue, factor) for queue in self.queues))

    def queue(self, name: str) -> Queue:
        """Raises TopologyError when there is none of that name."""
        for queue in self.queues:
            if queue.name == name:
                return queue
        raise TopologyError(f"there is no queue {name} in the topology")

    def rungs(self, queue: str) -> tuple[Rung, ...]:
        """The steps that a message of this consumer queue climbs before it is parked."""
        names = LADDER[: RUNGS_OF_QUEUE.get(queue, RUNGS_DEFAULT)]
        return tuple(
            Rung(RETRY_EXCHANGE_PREFIX + name, self.queue(f"retry.{name}").ttl_ms or 0)
            for name in names
        )

    @property
    def declarations(self) -> tuple[Exchange | Queue, ...]:
        """Everything with a name, in the order in which it can be created."""
        return (*self.exchanges, *self.queues)

    @property
    def consumer_queues(self) -> tuple[str, ...]:
        """The queues that services read: those that the retry ladder can send back to."""
        return tuple(b.destination for b in self.bindings if b.source == REDELIVER_EXCHANGE)

    def route(self, exchange: str, routing_key: str) -> tuple[str, ...]:
        """The queues that a message reaches; empty when it is unroutable.

        As in a broker, an exchange that routes it nowhere asks its alternate exchange.
        """
        source = next((e for e in self.exchanges if e.name == exchange), None)
        if source is None:
            raise TopologyError(f"there is no exchange {exchange} in the topology")
        reached = {
            binding.destination: None  # a dict keeps the order and drops doubles
            for binding in self.bindings
            if binding.source == exchange and _matches(source.type, binding, routing_key)
        }
        alternate = source.arguments.get("alternate-exchange")
        if not reached and alternate:
            return self.route(alternate, routing_key)
        return tuple(reached)

    def _problems(self) -> Sequence[str]:
        exchanges = {exchange.name for exchange in self.exchanges}
        queues = {queue.name for queue in self.queues}
        problems = [
            f"exchange {e.name} is of type {e.type}"
            for e in self.exchanges
            if e.type not in {"topic", "direct", "fanout"}
        ]
        for binding in self.bindings:
            if binding.source not in exchanges or binding.destination not in queues:
                problems.append(f"binding {binding.source} to {binding.destination} leads nowhere")
        for item in self.declarations:
            for key in ("alternate-exchange", "x-dead-letter-exchange"):
                target = item.arguments.get(key)
                if target is not None and target not in exchanges:
                    problems.append(f"{item.name} names {key} {target}, which does not exist")
        return problems


def topic_matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic binding takes a routing key: `*` is one word, `#` any number of words."""
    words = routing_key.split(".") if routing_key else []
    # row[i]: whether the pattern so far matches the first i words
    row = [True] + [False] * len(words)
    for part in pattern.split(".") if pattern else []:
        if part == "#":
            first = row.index(True) if True in row else len(row)
            row = [i >= first for i in range(len(row))]
        else:
            row = [False] + [row[i] and part in ("*", word) for i, word in enumerate(words)]
    return row[-1]


def _matches(type_: str, binding: Binding, routing_key: str) -> bool:
    if type_ == "fanout":
        return True
    if type_ == "direct":
        return binding.routing_key == routing_key
    return topic_matches(binding.routing_key, routing_key)


def _scaled(queue: Queue, factor: float) -> Queue:
    if queue.ttl_ms is None:
        return queue
    ttl_ms = max(1, round(queue.ttl_ms * factor))
    return replace(queue, arguments={**queue.arguments, "x-message-ttl": ttl_ms})


def _not_durable(document: Mapping[str, Any]) -> Sequence[str]:
    """What the dataclasses leave out because it is always the same, so it must be the same."""
    problems = [
        f"{item['name']} must be durable and not auto_delete"
        for item in [*document["exchanges"], *document["queues"]]
        if not item.get("durable") or item.get("auto_delete")
    ]
    problems += [
        f"binding to {item['destination']} must lead to a queue and have no arguments"
        for item in document["bindings"]
        if item.get("destination_type") != "queue" or item.get("arguments")
    ]
    return problems
