"""The topology without a broker: what the file says, routing, the ladder, refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymesh.bus.topology import DEAD_QUEUE_PREFIX, LADDER, Topology, TopologyError, topic_matches
from paymesh.bus.topology.broker import explain
from tests.bus.contract import DEFINITIONS

REAL = Topology.load(DEFINITIONS)


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("pay.payment.*", "pay.payment.paid", True),
        ("pay.payment.*", "pay.payment", False),
        ("pay.payment.*", "pay.payment.paid.twice", False),
        ("trade.trade.paid", "trade.trade.paid", True),
        ("trade.trade.paid", "trade.trade.closed", False),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("#.c", "a.b.c", True),
        ("a.#.c", "a.c", True),
        ("a.#.c", "a.b.b.c", True),
        ("a.#.c", "a.b", False),
        ("*", "", False),
        ("*.b", "a.b", True),
    ],
)
def test_topic_patterns(pattern: str, key: str, matches: bool) -> None:
    """`*` is exactly one word, `#` any number of them, none included."""
    assert topic_matches(pattern, key) is matches


WORDS = st.sampled_from(["a", "b", "c"])


@given(st.lists(WORDS | st.sampled_from(["*", "#"]), max_size=6), st.lists(WORDS, max_size=6))
def test_topic_matching_agrees_with_a_regular_expression(
    pattern: list[str], key: list[str]
) -> None:
    """The same answer as the obvious, slower way of saying it."""
    parts = {"*": "[a-c];", "#": "([a-c];)*"}
    expression = "".join(parts.get(word, f"{word};") for word in pattern)
    expected = re.fullmatch(expression, "".join(f"{word};" for word in key)) is not None
    assert topic_matches(".".join(pattern), ".".join(key)) is expected


@pytest.mark.parametrize(
    ("key", "queues"),
    [
        ("gateway.channel.result", ("pay.channel-results",)),
        ("pay.payment.paid", ("trade.payments",)),
        ("pay.instruction.succeeded", ("clearing.ledger",)),
        ("trade.trade.paid", ("clearing.ledger", "trade.notifications")),
        ("trade.trade.closed", ("trade.notifications",)),
        ("nobody.knows.this", ()),
    ],
)
def test_events_reach_their_queues(key: str, queues: tuple[str, ...]) -> None:
    assert REAL.route("payments.events", key) == queues


@pytest.mark.parametrize("queue", REAL.consumer_queues)
def test_each_consumer_queue_has_its_way_back_and_its_dead_letters(queue: str) -> None:
    """From the ladder back to it by its own name, from a crossed delivery limit to dead.<queue>."""
    arguments = REAL.queue(queue).arguments
    assert REAL.route("payments.redeliver", queue) == (queue,)
    dead_key = arguments["x-dead-letter-routing-key"]
    dead = REAL.route(arguments["x-dead-letter-exchange"], dead_key)
    assert dead == (DEAD_QUEUE_PREFIX + queue,)
    assert arguments["x-delivery-limit"] == 100


@pytest.mark.parametrize("exchange", ["payments.redeliver", "payments.dead"])
def test_messages_of_a_deleted_queue_are_parked(exchange: str) -> None:
    """Without the alternate exchange they would stop a rung for everybody."""
    assert REAL.route(exchange, "deleted.queue") == ("dead.unrouted",)


@pytest.mark.parametrize("name", LADDER)
def test_each_rung_waits_in_a_queue_of_its_own(name: str) -> None:
    """Any key goes in; after its time it leaves with that key, so no dead-letter routing key."""
    assert REAL.route(f"payments.retry.{name}", "any.queue") == (f"retry.{name}",)
    arguments = REAL.queue(f"retry.{name}").arguments
    assert arguments["x-dead-letter-exchange"] == "payments.redeliver"
    assert "x-dead-letter-routing-key" not in arguments


def test_every_queue_is_durable_quorum_and_loses_nothing_on_the_way() -> None:
    """At-least-once dead-lettering silently falls back without reject-publish; a max-length of one
    queue would nack for all."""
    for queue in REAL.queues:
        assert queue.arguments["x-queue-type"] == "quorum"
        assert not {"x-max-length", "x-max-length-bytes"} & set(queue.arguments)
        if "x-dead-letter-exchange" in queue.arguments:
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert queue.arguments["x-overflow"] == "reject-publish"
        else:
            # RabbitMQ 4 drops after 20 deliveries what has a limit and no dead-letter exchange,
            # and looking at dead letters is a delivery.
            assert queue.arguments["x-delivery-limit"] >= 1_000_000


def test_ladder_is_as_long_as_the_queue_needs() -> None:
    """Our own services: 5 s to 1 h. Merchants' endpoints: three more rungs, up to 14 h."""
    minute, hour = 60_000, 3_600_000
    first = [5_000, 30_000, 2 * minute, 10 * minute, hour]
    assert [rung.delay_ms for rung in REAL.rungs("trade.payments")] == first
    long = [rung.delay_ms for rung in REAL.rungs("trade.notifications")]
    assert long == [*first, 2 * hour, 6 * hour, 14 * hour]
    assert REAL.rungs("trade.payments")[0].exchange == "payments.retry.5s"


def test_scaling_changes_the_delays_and_nothing_else() -> None:
    scaled = REAL.scaled(0.001)
    assert [rung.delay_ms for rung in scaled.rungs("trade.payments")] == [5, 30, 120, 600, 3600]
    assert scaled.bindings == REAL.bindings
    assert scaled.exchanges == REAL.exchanges
    assert scaled.queue("trade.payments") == REAL.queue("trade.payments")
    assert REAL.scaled(1e-9).rungs("trade.payments")[0].delay_ms == 1
    with pytest.raises(ValueError, match="greater than 0"):
        REAL.scaled(0)


def _unknown_exchange(document: dict[str, Any]) -> None:
    document["bindings"][0]["source"] = "payments.evnets"


def _unknown_alternate(document: dict[str, Any]) -> None:
    document["exchanges"][0]["arguments"] = {"alternate-exchange": "nowhere"}


def _transient(document: dict[str, Any]) -> None:
    document["queues"][0]["durable"] = False


def _headers_exchange(document: dict[str, Any]) -> None:
    document["exchanges"][0]["type"] = "headers"


def _exchange_to_exchange(document: dict[str, Any]) -> None:
    document["bindings"][0]["destination_type"] = "exchange"


def _no_queues(document: dict[str, Any]) -> None:
    del document["queues"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_unknown_exchange, "leads nowhere"),
        (_unknown_alternate, "which does not exist"),
        (_transient, "must be durable"),
        (_headers_exchange, "is of type headers"),
        (_exchange_to_exchange, "must lead to a queue"),
        (_no_queues, "is not a definitions file"),
    ],
)
def test_definitions_that_do_not_hold_together_are_refused(
    spoil: Callable[[dict[str, Any]], None], says: str, tmp_path: Path
) -> None:
    document = json.loads(DEFINITIONS.read_text())
    spoil(document)
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(document))
    with pytest.raises(TopologyError, match=says):
        Topology.load(file)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(TopologyError, match="no queue"):
        REAL.queue("nobody")
    with pytest.raises(TopologyError, match="no exchange"):
        REAL.route("nobody", "key")


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'retry.5s' in vhost "
            "'/': received the value '5000' of type 'signedint' but current is the value '6000' "
            "of type 'long'",
            "x-message-ttl is 6000 on the broker and 5000 in the definitions",
        ),
        (
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'retry.5s' in vhost "
            "'/': received none but current is the value '6000' of type 'long'",
            "x-message-ttl is 6000 on the broker and not set in the definitions",
        ),
        (
            "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'e' in vhost '/': "
            "received 'true' but current is 'false'",
            "durable is false on the broker and true in the definitions",
        ),
        (
            "ACCESS_REFUSED - access to queue 'q' refused",
            "ACCESS_REFUSED - access to queue 'q' refused",
        ),
    ],
)
def test_difference_is_said_in_a_sentence(reply: str, sentence: str) -> None:
    assert explain(reply) == sentence
