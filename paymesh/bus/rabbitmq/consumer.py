"""Consuming: one channel, one batch at a time, acked when everything about it is stored."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from pika.exceptions import AMQPError

from paymesh.bus.envelope import Envelope, delivery_of, leftovers_of
from paymesh.bus.handling import (
    SUSPICIOUS_DELIVERY_COUNT,
    HandlerFailed,
    backoff_s,
    handle,
)
from paymesh.bus.port import ConsumerOptions, Delivery, Handler, Verdict
from paymesh.bus.rabbitmq.channel import Channel, ChannelLost, describe
from paymesh.bus.rabbitmq.limits import RabbitLimits
from paymesh.bus.rabbitmq.link import Link
from paymesh.bus.rabbitmq.publisher import Publisher
from paymesh.bus.topology import Topology
from paymesh.failpoint import failpoint
from paymesh.linger import Linger

log = structlog.get_logger()


Arrived = tuple[int, Delivery]
"""A delivery tag, and what came with it."""


class RabbitConsumer:
    """A subscription. It reopens its channel until stop(), whatever happens to it."""

    def __init__(
        self,
        *,
        link: Link,
        publisher: Publisher,
        topology: Topology,
        queue: str,
        handler: Handler,
        options: ConsumerOptions,
        limits: RabbitLimits,
    ) -> None:
        self._link = link
        self._publisher = publisher
        self._topology = topology
        self._queue = queue
        self._handler = handler
        self._options = options
        self._limits = limits
        self._log = log.bind(queue=queue)
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failures = 0
        self._linger = Linger(limits.linger_max_s)
        self._alone = 0
        """How many deliveries are still to be handled one by one; a suspicious one is among them"""
        self._task = asyncio.create_task(self._run(), name=f"consumer of {queue}")

    async def stop(self) -> None:
        """Takes no more; ends the batch under way, gives the rest back."""
        self._stopping.set()
        self._wake.set()
        limits = self._limits
        patience_s = self._options.handler_timeout_s + limits.admission_timeout_s
        patience_s += limits.confirm_timeout_s + 3 * limits.step_timeout_s
        await asyncio.wait({self._task}, timeout=patience_s)
        if not self._task.done():
            self._log.error("bus.handler_cannot_be_cancelled", waited_s=patience_s)
            self._task.cancel()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if await self._until_up():
                    await self._serve()
                continue
            except (ChannelLost, AMQPError) as lost:
                self._failures += 1
                self._log.warning("bus.consumer_interrupted", reason=describe(lost))
            except HandlerFailed as failed:
                self._failures += 1
                self._log.error("bus.handler_failed", exc_info=failed)
            except Exception:
                # Not a way out for errors: nothing was acked, all of it comes again, and after
                # x-delivery-limit times the broker parks it.
                self._failures += 1
                self._log.exception("bus.consumer_failed")
            await self._pause_after_failure()

    async def _serve(self) -> None:
        """One channel's life; returns when it was given back on purpose."""
        timeout_s = self._limits.step_timeout_s
        channel = await Channel.open(self._link.connection, timeout_s)
        buffer: deque[Arrived] = deque()
        try:
            tag = await self._subscribe(channel, buffer)
            await self._feed(channel, buffer)
            await self._give_back(channel, buffer, tag)
        finally:
            if not await channel.close():
                self._link.abort("a channel cannot be closed")

    async def _subscribe(self, channel: Channel, buffer: deque[Arrived]) -> str:
        raw = channel.raw
        channel.lost.add_done_callback(lambda _lost: self._wake.set())

        def on_message(_raw: Any, method: Any, properties: Any, body: bytes) -> None:
            envelope = Envelope(
                method.exchange,
                method.routing_key,
                properties.message_id or "",
                body,
                properties.headers or {},
            )
            buffer.append((method.delivery_tag, delivery_of(envelope, self._queue)))
            self._wake.set()

        # The broker cancels a consumer when its queue is deleted.
        raw.add_on_cancel_callback(lambda _frame: raw.is_open and raw.close())
        prefetch = 1 if self._alone else self._options.prefetch
        await channel.ask(lambda done: raw.basic_qos(prefetch_count=prefetch, callback=done))
        started = await channel.ask(
            lambda done: raw.basic_consume(self._queue, on_message, callback=done)
        )
        return str(started.method.consumer_tag)

    async def _feed(self, channel: Channel, buffer: deque[Arrived]) -> None:
        """Batch after batch, until stopped, or until the prefetch must change."""
        while not self._stopping.is_set():
            if channel.lost.done():
                raise ChannelLost(describe(channel.lost.result()))
            if not buffer:
                self._wake.clear()
                await self._wake.wait()
                continue
            if not self._alone and _suspicious(buffer):
                self._alone = len(buffer)
                self._log.warning("bus.suspicious_delivery", deliveries=self._alone)
                return
            batch_max = 1 if self._alone else self._options.batch_deliveries_max
            if pause_s := self._linger.seconds(len(buffer)):
                await asyncio.sleep(pause_s)
            batch = [buffer.popleft() for _ in range(min(batch_max, len(buffer)))]
            deliveries = [delivery for _tag, delivery in batch]
            self._linger.began(len(batch))
            started = time.monotonic()
            verdicts = await handle(self._handler, deliveries, self._options.handler_timeout_s)
            self._linger.ended(time.monotonic() - started)
            if await self._finish(channel, batch, verdicts) and self._alone:
                self._alone -= 1
                if not self._alone:
                    return

    async def _finish(
        self, channel: Channel, batch: Sequence[Arrived], verdicts: Sequence[Verdict]
    ) -> bool:
        """Stores the leftovers elsewhere, then acks; False when some could not be stored, so that
        their deliveries come again. Raises ChannelLost when nothing can be acked: then the whole
        batch comes again, and its leftovers need not be stored."""
        envelopes: list[Envelope] = []
        owners: list[int] = []
        for (tag, delivery), verdict in zip(batch, verdicts, strict=True):
            if verdict.retry or verdict.dead:
                moves = leftovers_of(self._topology, delivery, verdict)
                envelopes += moves
                owners += [tag] * len(moves)
        unstored: set[int] = set()
        if envelopes:
            if channel.lost.done():
                raise ChannelLost(describe(channel.lost.result()))
            outcomes = await self._publisher.publish(envelopes)
            failures = {owners[i]: str(why) for i, why in enumerate(outcomes) if why is not None}
            unstored = set(failures)
        failpoint("consumer.before_ack")
        _acknowledge(channel.raw, [tag for tag, _delivery in batch], unstored)
        if not unstored:
            self._failures = 0
            return True
        self._log.warning("bus.leftovers_not_stored", reasons=sorted(set(failures.values())))
        self._failures += 1
        await self._pause_after_failure()
        for tag in sorted(unstored):
            # reject, not nack: if it can never be stored, the broker shall count and park it
            channel.raw.basic_reject(tag, requeue=True)
        return False

    async def _give_back(self, channel: Channel, buffer: deque[Arrived], tag: str) -> None:
        """Returns what nobody has looked at. From RabbitMQ 4.3 a nack, other than a closed
        channel, does not count as a failed delivery."""
        raw = channel.raw
        await channel.ask(lambda done: raw.basic_cancel(tag, callback=done))
        if buffer:
            raw.basic_nack(buffer[-1][0], multiple=True, requeue=True)

    async def _until_up(self) -> bool:
        """Waits for the connection; False when stopped before it came."""
        if self._link.is_up:
            return True
        up = asyncio.create_task(self._link.wait_up())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({up, stop}, return_when=asyncio.FIRST_COMPLETED)
            if up.done():
                up.result()  # raises what has ended the link
        finally:
            up.cancel()
            stop.cancel()
        return self._link.is_up and not self._stopping.is_set()

    async def _pause_after_failure(self) -> None:
        limits = self._limits
        pause_s = backoff_s(self._failures, limits.reopen_min_s, limits.reopen_max_s)
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return


def _suspicious(buffer: Iterable[Arrived]) -> bool:
    return any(delivery.delivery_count >= SUSPICIOUS_DELIVERY_COUNT for _tag, delivery in buffer)


def _acknowledge(raw: Any, tags: Sequence[int], unstored: set[int]) -> None:
    """Acks all but the unstored, with one frame where it can: `multiple` takes everything up to
    its tag, so it reaches only as far as nothing before it is unstored."""
    stored = [tag for tag in tags if tag not in unstored]
    first_unstored = min(unstored, default=tags[-1] + 1)
    together = [tag for tag in stored if tag < first_unstored]
    if together:
        raw.basic_ack(together[-1], multiple=True)
    for tag in stored[len(together) :]:
        raw.basic_ack(tag)
