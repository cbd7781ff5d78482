"""What the bus does when RabbitMQ, or the way to it, fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika import spec

from paymesh.bus.port import (
    HANDLED,
    Bus,
    ConsumerOptions,
    Delivery,
    Leftover,
    Message,
    PublishFailed,
    Verdict,
)
from paymesh.bus.topology import apply
from paymesh_ops.launch.rabbitmq import RabbitServer, start_rabbitmq, stop_rabbitmq
from tests.bus.contract import PATIENCE_S, RabbitHarness, Seen, eventually, message
from tests.bus.proxy import Proxy

pytestmark = pytest.mark.slow

QUEUE = "trade.payments"


async def taken(bus: Bus, sent: Message) -> None:
    """Publishes as an outbox does: again and again until it is confirmed."""
    for _ in range(1000):
        if (await bus.publish([sent]))[0] is None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{sent.id} was not taken")


def reason(outcome: PublishFailed | None) -> str:
    assert isinstance(outcome, PublishFailed)
    return str(outcome)


async def test_hanging_broker_fails_publishes_in_time(
    impatient: RabbitHarness, proxy: Proxy
) -> None:
    """Row 30: not confirmed within the limit is a failure, never a hang; afterwards it works."""
    proxy.stall()
    async with asyncio.timeout(PATIENCE_S):
        outcomes = await impatient.bus.publish([message(1), message(2)])
        assert all("not confirmed within 0.5 s" in reason(outcome) for outcome in outcomes)
        [outcome] = await impatient.bus.publish([message(3)])
        assert "no connection" in reason(outcome)
    proxy.resume()
    await taken(impatient.bus, message(4))


async def test_many_publishers_of_a_hanging_broker_all_end(
    impatient: RabbitHarness, proxy: Proxy
) -> None:
    """Also those that wait for room: what is in flight is bounded, so is the waiting."""
    proxy.stall()
    calls = [impatient.bus.publish([message(n) for n in range(300)]) for _ in range(20)]
    async with asyncio.timeout(PATIENCE_S):
        outcomes = await asyncio.gather(*calls)
    assert all(outcome for call in outcomes for outcome in call)
    proxy.resume()


async def test_nack_is_a_failure(disturbed: RabbitHarness, proxy: Proxy) -> None:
    """Row 30: what the broker refuses has failed, its neighbour has not."""
    proxy.stall()
    publishing = asyncio.create_task(disturbed.bus.publish([message(1), message(2)]))
    await eventually(lambda: b"body 1" in proxy.held)
    proxy.say(1, spec.Basic.Nack(delivery_tag=1))
    proxy.say(1, spec.Basic.Ack(delivery_tag=2))
    refused, passed = await publishing
    assert "nack" in reason(refused)
    assert passed is None
    proxy.resume()


async def test_blocked_broker_holds_publishes_for_a_bounded_time(
    disturbed: RabbitHarness, impatient: RabbitHarness, proxy: Proxy
) -> None:
    """Row 31: during an alarm nothing is sent; who waits too long fails, who waited goes on."""
    proxy.say(0, spec.Connection.Blocked("low on memory"))
    async with asyncio.timeout(PATIENCE_S):
        while (outcome := (await impatient.bus.publish([message(1)]))[0]) is None:
            pass  # it has not heard of it yet
    assert "the broker has blocked publishers" in reason(outcome)
    waiting = asyncio.create_task(disturbed.bus.publish([message(2)]))
    await asyncio.wait([waiting], timeout=0.3)
    assert not waiting.done()
    proxy.say(0, spec.Connection.Unblocked())
    assert list(await waiting) == [None]


async def test_lost_connections_come_back_and_nothing_is_lost(
    disturbed: RabbitHarness, proxy: Proxy
) -> None:
    """Row 32: what was unconfirmed is sent again, what was unacked comes again."""
    seen = Seen()
    await disturbed.bus.consume(QUEUE, seen)
    sending = [asyncio.create_task(taken(disturbed.bus, message(n))) for n in range(50)]
    for _ in range(3):
        await asyncio.sleep(0.05)
        proxy.cut()
        sending += [
            asyncio.create_task(taken(disturbed.bus, message(n)))
            for n in range(len(sending), len(sending) + 50)
        ]
    await asyncio.gather(*sending)
    await eventually(lambda: len(set(seen.ids)) == 200)


async def test_batch_under_way_when_the_connection_breaks_comes_again(
    disturbed: RabbitHarness, proxy: Proxy
) -> None:
    """Row 34: the handler may have committed; it gets the batch again, after it has ended, and
    its leftovers are not stored twice."""
    seen = Seen(lambda d: HANDLED if d.delivery_count else Verdict(retry=(_whole(d),)))
    seen.gate.clear()
    await disturbed.bus.consume(QUEUE, seen)
    await taken(disturbed.bus, message(1))
    await seen.until(1)
    proxy.cut()
    await asyncio.sleep(0.1)
    seen.gate.set()
    _first, again = await seen.until(2)
    await asyncio.sleep(0.3)
    assert again.delivery_count == 1
    assert len(seen.deliveries) == 2
    assert seen.under_way_most == 1


async def test_leftover_that_cannot_be_stored_is_not_acked(rabbit_harness: RabbitHarness) -> None:
    """Row 35: its delivery comes again until the rung takes it; its neighbours are acked."""
    url = rabbit_harness.amqp_url
    await asyncio.to_thread(_unbind_first_rung, url)

    def answer(delivery: Delivery) -> Verdict:
        if delivery.message.id != "evt_1" or delivery.attempt:
            return HANDLED
        return Verdict(retry=(_whole(delivery),))

    seen = Seen(answer)
    await rabbit_harness.bus.consume(QUEUE, seen, ConsumerOptions(handler_timeout_s=PATIENCE_S))
    assert not any(await rabbit_harness.bus.publish([message(n) for n in range(3)]))
    await eventually(lambda: seen.ids.count("evt_1") >= 2)
    seen.gate.clear()  # else it is parked as poison, where mending takes long
    await asyncio.to_thread(apply, url, rabbit_harness.topology)
    seen.gate.set()
    await eventually(lambda: any(d.attempt == 1 for d in seen.deliveries))
    assert seen.ids.count("evt_0") == seen.ids.count("evt_2") == 1


async def test_exchange_that_does_not_exist_fails_and_the_bus_recovers(amqp_url: str) -> None:
    """A broker without our topology closes the channel: a failure with the broker's words."""
    harness = RabbitHarness(amqp_url)
    await harness.bus.start()
    [outcome] = await harness.bus.publish([message(1)])
    assert "payments.events" in reason(outcome)
    await asyncio.to_thread(apply, amqp_url, harness.topology)
    await taken(harness.bus, message(2))
    await harness.close()


async def test_deleted_queue_is_consumed_again_when_it_is_back(
    rabbit_harness: RabbitHarness,
) -> None:
    """The consumer keeps trying, so that an operator can repair a topology under way."""
    seen = Seen()
    await rabbit_harness.bus.consume(QUEUE, seen)
    await taken(rabbit_harness.bus, message(1))
    await seen.until(1)
    await asyncio.to_thread(_delete_queue, rabbit_harness.amqp_url)
    await asyncio.sleep(0.2)
    await asyncio.to_thread(apply, rabbit_harness.amqp_url, rabbit_harness.topology)
    await taken(rabbit_harness.bus, message(2))
    assert [d.message.id for d in await seen.until(2)] == ["evt_1", "evt_2"]


async def test_message_that_amqp_cannot_carry_fails_alone(rabbit_harness: RabbitHarness) -> None:
    """A routing key over 255 bytes never leaves us; the others of the call do."""
    seen = Seen()
    await rabbit_harness.bus.consume(QUEUE, seen)
    too_long = message(1, "pay.payment." + "x" * 300)
    before, bad, after = await rabbit_harness.bus.publish([message(0), too_long, message(2)])
    assert before is None
    assert after is None
    assert "cannot be encoded" in reason(bad)
    await seen.until(2)


async def test_message_on_the_wire_is_persistent_and_carries_its_id(
    rabbit_harness: RabbitHarness,
) -> None:
    """What a person sees in the queue: delivery mode 2, our id, our headers and nothing else."""
    await taken(rabbit_harness.bus, message(1))
    properties = await asyncio.to_thread(_look, rabbit_harness.amqp_url)
    assert properties.delivery_mode == 2
    assert properties.message_id == "evt_1"
    ours = {key: v for key, v in properties.headers.items() if not key.startswith("x-")}
    assert ours == message(1).headers


async def test_messages_in_flight_are_bounded(proxy: Proxy) -> None:
    """When nothing is confirmed, no more is sent than the limit: the next one waits, then fails."""
    harness = RabbitHarness(proxy.amqp_url, in_flight_messages_max=10, admission_timeout_s=0.3)
    await harness.open()
    proxy.stall()
    first = asyncio.create_task(harness.bus.publish([message(n) for n in range(10)]))
    await eventually(lambda: b"body 0" in proxy.held)
    [outcome] = await harness.bus.publish([message(11)])
    assert "10 messages are in flight" in reason(outcome)
    proxy.resume()
    assert not any(await first)
    await harness.close()


async def test_small_publish_does_not_overtake_a_large_one(proxy: Proxy) -> None:
    """First come, first sent, even when there is already room for the one behind."""
    harness = RabbitHarness(proxy.amqp_url, in_flight_messages_max=10)
    await harness.open()
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    assert not any(await harness.bus.publish([message(99)]))
    await seen.until(1)  # it consumes, and the broker is silent
    proxy.stall()
    calls = [range(10), range(10, 18), range(18, 19)]
    publishing = []
    for numbers in calls:
        sent = [message(n) for n in numbers]
        publishing.append(asyncio.create_task(harness.bus.publish(sent)))
        await asyncio.sleep(0.01)
    proxy.say(1, spec.Basic.Ack(delivery_tag=6, multiple=True))
    await asyncio.sleep(0.1)
    proxy.resume()
    await asyncio.gather(*publishing)
    await seen.until(20)
    assert seen.ids == [f"evt_{n}" for n in (99, *range(19))]
    await harness.close()


async def test_close_flushes_what_is_in_flight(rabbit_harness: RabbitHarness) -> None:
    """A publish that has begun gets its confirm before the connection goes."""
    publishing = asyncio.create_task(rabbit_harness.bus.publish([message(n) for n in range(500)]))
    await asyncio.sleep(0)
    await rabbit_harness.bus.close()
    assert not any(await publishing)


async def test_close_does_not_wait_for_a_broker_that_hangs(proxy: Proxy) -> None:
    """Bounded too: the flush, then one step of goodbye."""
    harness = RabbitHarness(proxy.amqp_url, flush_timeout_s=0.3, step_timeout_s=0.3)
    await harness.open()
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    await taken(harness.bus, message(0))
    await seen.until(1)
    proxy.stall()
    publishing = asyncio.create_task(harness.bus.publish([message(1)]))
    await eventually(lambda: b"body 1" in proxy.held)
    async with asyncio.timeout(PATIENCE_S / 2):  # the publish itself would wait for all of it
        await harness.bus.close()
    assert "the bus is closed" in reason((await publishing)[0])


async def test_large_bodies_pass_in_bounded_parts(rabbit_harness: RabbitHarness) -> None:
    """More bytes than may be in flight at once: sent as room appears, and arrive whole."""
    harness = RabbitHarness(rabbit_harness.amqp_url, in_flight_bytes_max=1_000_000)
    await harness.bus.start()
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    bodies = [bytes([n]) * 700_000 for n in range(8)]
    sent = [Message(f"evt_{n}", "pay.payment.paid", body) for n, body in enumerate(bodies)]
    assert not any(await harness.bus.publish(sent))
    assert [d.message.body for d in await seen.until(8)] == bodies
    await harness.close()


@pytest.fixture
def mortal(servers_home: Path) -> Iterator[RabbitServer]:
    """A node that may be killed: nobody else uses it."""
    folder = servers_home / "mortal"
    yield start_rabbitmq(folder)
    stop_rabbitmq(folder, kill=True)


@pytest.mark.slow
async def test_nothing_is_lost_when_the_broker_is_killed(mortal: RabbitServer) -> None:
    """Row 32, kill -9 while publishing and consuming: each publish ends, all is handled at last."""
    harness = RabbitHarness(mortal.amqp_url, confirm_timeout_s=3.0, admission_timeout_s=1.0)
    await harness.open()
    seen = Seen()
    await harness.bus.consume(QUEUE, seen)
    wanted = 0
    killed = False

    async def publish_all_the_time() -> None:
        nonlocal wanted
        while not killed or wanted < 2000:
            mine = range(wanted, wanted + 20)
            wanted += 20
            await asyncio.gather(*(taken(harness.bus, message(n)) for n in mine))

    publishing = asyncio.create_task(publish_all_the_time())
    await eventually(lambda: len(seen.ids) > 300)
    await asyncio.to_thread(stop_rabbitmq, mortal.directory, kill=True)
    await asyncio.to_thread(start_rabbitmq, mortal.directory)
    killed = True
    async with asyncio.timeout(3 * PATIENCE_S):
        await publishing
    await eventually(lambda: len(set(seen.ids)) == wanted)
    await harness.close()


def _whole(delivery: Delivery) -> Leftover:
    return Leftover(delivery.message.id, delivery.message.body, "not now")


def _unbind_first_rung(amqp_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    connection.channel().queue_unbind("retry.5s", "payments.retry.5s", "")
    connection.close()


def _look(amqp_url: str) -> Any:
    """The properties of the next message, which stays in the queue."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    _method, properties, _body = connection.channel().basic_get(QUEUE)
    connection.close()
    return properties


def _delete_queue(amqp_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    connection.channel().queue_delete(QUEUE)
    connection.close()
