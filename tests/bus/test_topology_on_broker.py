"""The topology on a real RabbitMQ: applied, verified, loaded from the file, compared."""

from __future__ import annotations

import json
from dataclasses import replace

import pika
import pytest

from paymesh.bus.topology import Queue, Topology, TopologyError, apply, verify
from tests.bus.contract import DEFINITIONS, Management

REAL = Topology.load(DEFINITIONS)


def test_definitions_load_by_the_management_interface(
    management: Management, vhost: str, amqp_url: str
) -> None:
    """POST /api/definitions takes the file as it is, and verify finds nothing to say."""
    management.call("POST", f"definitions/{vhost}", json.loads(DEFINITIONS.read_text()))
    assert verify(amqp_url, REAL) == []


def test_applied_topology_equals_the_loaded_one(
    management: Management, vhost: str, amqp_url: str
) -> None:
    """Both ways lead to the same exchanges, queues, arguments and bindings; twice as well."""
    apply(amqp_url, REAL)
    apply(amqp_url, REAL)
    found = management.call("GET", f"definitions/{vhost}")
    wanted = json.loads(DEFINITIONS.read_text())
    for kind in ("exchanges", "queues", "bindings"):
        assert _plain(found[kind]) == _plain(wanted[kind])
    assert verify(amqp_url, REAL) == []


def test_verify_names_what_is_missing_and_creates_nothing(amqp_url: str) -> None:
    missing = verify(amqp_url, REAL)
    assert "queue trade.payments is missing on the broker" in missing
    assert "exchange payments.events is missing on the broker" in missing
    assert verify(amqp_url, REAL) == missing


def _slower(name: str) -> Queue:
    """The queue with a rung that lasts twice as long."""
    [queue] = [queue for queue in REAL.scaled(2).queues if queue.name == name]
    return queue


def test_verify_names_a_differing_argument(amqp_url: str) -> None:
    apply(amqp_url, REAL)
    slower = _slower("retry.5s")
    other = replace(REAL, queues=[slower if q.name == slower.name else q for q in REAL.queues])
    assert verify(amqp_url, other) == [
        "queue retry.5s: x-message-ttl is 5000 on the broker and 10000 in the definitions"
    ]
    with pytest.raises(TopologyError, match=r"retry\.5s: x-message-ttl is 5000 on the broker"):
        apply(amqp_url, other)


def test_apply_creates_the_rest_beside_a_difference(amqp_url: str) -> None:
    """One queue that a person must look at does not keep the others from existing."""
    apply(amqp_url, replace(REAL, queues=[_slower("retry.5s")], exchanges=(), bindings=()))
    with pytest.raises(TopologyError, match=r"retry\.5s"):
        apply(amqp_url, REAL)
    [difference] = verify(amqp_url, REAL)
    assert difference.startswith("queue retry.5s")


def test_extra_queues_are_allowed(amqp_url: str) -> None:
    extra = Queue("somebody.elses", {"x-queue-type": "quorum"})
    apply(amqp_url, replace(REAL, queues=(*REAL.queues, extra)))
    assert verify(amqp_url, REAL) == []


def test_apply_restores_a_missing_binding(amqp_url: str) -> None:
    apply(amqp_url, REAL)
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    channel.queue_unbind("trade.payments", "payments.events", "pay.payment.*")
    apply(amqp_url, REAL)
    channel.confirm_delivery()
    channel.basic_publish("payments.events", "pay.payment.paid", b"", mandatory=True)
    connection.close()


def test_broker_that_is_not_there_is_a_connection_error() -> None:
    """The message says where we looked, without the password."""
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1 vhost here") as refusal:
        verify("amqp://user:secret@127.0.0.1:1/here", REAL)
    assert "secret" not in str(refusal.value)


def _plain(items: list[dict[str, object]]) -> list[str]:
    """Comparable: without what only one side says, such as the vhost."""
    skipped = {"vhost", "internal"}
    return sorted(
        json.dumps({k: v for k, v in item.items() if k not in skipped}, sort_keys=True)
        for item in items
    )
