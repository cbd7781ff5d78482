"""Publishing with asynchronous confirms: many messages in flight, an outcome for each.

A message has failed when the broker nacks it, when it comes back as unroutable (the broker acks
it all the same), when it is not confirmed in time, or when the connection ends before that. In the
last two cases the broker may have it nevertheless: who sends again makes a duplicate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pika
import structlog
from pika.exceptions import AMQPError, ChannelWrongStateError

from paymesh.bus.envelope import Envelope
from paymesh.bus.port import PublishFailed
from paymesh.bus.rabbitmq.channel import Channel, describe, resolve
from paymesh.bus.rabbitmq.limits import RabbitLimits
from paymesh.bus.rabbitmq.link import Link
from paymesh.failpoint import InjectedFault, failpoint

log = structlog.get_logger()

PERSISTENT = 2


class _Part:
    """Messages handed over together, and what became of each."""

    def __init__(self, envelopes: Sequence[Envelope]) -> None:
        self.envelopes = envelopes
        self.bytes = sum(len(envelope.body) for envelope in envelopes)
        self.outcomes: list[PublishFailed | None] = [None] * len(envelopes)
        self.waiting = len(envelopes)
        self.resolved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deadline_s = 0.0

    def resolve(self, index: int, failure: str | None) -> None:
        if failure is not None:
            self.outcomes[index] = PublishFailed(failure)
        self.waiting -= 1
        if not self.waiting:
            resolve(self.resolved, None)

    def fail(self, reason: str) -> None:
        """For a part of which nothing was sent."""
        for index in range(len(self.envelopes)):
            self.resolve(index, reason)


class _Sent(NamedTuple):
    part: _Part
    position: int
    key: tuple[str, str, str]


class Publisher:
    """The publishing half of the bus, on a connection that nothing else uses."""

    def __init__(self, amqp_url: str, name: str, limits: RabbitLimits) -> None:
        self._limits = limits
        self._link = Link(
            amqp_url,
            f"{name} publisher",
            limits,
            prepare=self._open_channel,
            on_change=self._on_link_change,
        )
        self._channel: Channel | None = None
        self._sent: dict[int, _Sent] = {}
        self._bytes = 0
        self._tag = 0  # of the message sent last, as the broker counts them on this channel
        self._resolved_tag = 0
        self._returned: Counter[tuple[str, str, str]] = Counter()
        self._gate = asyncio.Lock()  # first come, first sent
        self._changed = asyncio.Event()
        self._publishing = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False

    async def start(self) -> None:
        self._link.start()
        await self._link.wait_up()

    async def publish(self, envelopes: Sequence[Envelope]) -> list[PublishFailed | None]:
        """Sends them in order; the outcome of each. It does not raise."""
        if self._closing:
            return [PublishFailed("the bus is closed") for _ in envelopes]
        self._publishing += 1
        self._idle.clear()
        try:
            parts = [_Part(envelopes) for envelopes in self._split(envelopes)]
            await self._send(parts)
            for part in parts:
                await self._confirmed(part)
            failpoint("bus.after_publish")
        except InjectedFault as fault:
            return [PublishFailed(repr(fault)) for _ in envelopes]
        finally:
            self._publishing -= 1
            if not self._publishing:
                self._idle.set()
        return [outcome for part in parts for outcome in part.outcomes]

    async def close(self) -> None:
        """Waits for what is being published (at most flush_timeout_s), then disconnects."""
        self._closing = True
        try:
            await asyncio.wait_for(self._idle.wait(), self._limits.flush_timeout_s)
        except TimeoutError:
            log.warning("bus.flush_timed_out", unconfirmed_messages=len(self._sent))
        self._lose("the bus is closed")
        await self._link.close()

    def _split(self, envelopes: Sequence[Envelope]) -> Iterator[Sequence[Envelope]]:
        """Parts that fit: the whole limit of messages, a quarter of the limit of bytes."""
        bytes_max = self._limits.in_flight_bytes_max // 4
        start = size = 0
        for index, envelope in enumerate(envelopes):
            size += len(envelope.body)
            full = index - start >= self._limits.hand_over_messages_max
            if index > start and (full or size > bytes_max):
                yield envelopes[start:index]
                start, size = index, len(envelope.body)
        if start < len(envelopes):
            yield envelopes[start:]

    async def _send(self, parts: Sequence[_Part]) -> None:
        """Hands over part by part; once one finds no room, those after it are not tried."""
        reason: str | None = None
        for part in parts:
            if reason is not None:
                part.fail(reason)
                continue
            try:
                async with asyncio.timeout(self._limits.admission_timeout_s), self._gate:
                    while not self._has_room(part):
                        self._changed.clear()
                        await self._changed.wait()
                    failpoint("bus.before_publish")
                    self._hand_over(part)
            except TimeoutError:
                reason = f"not sent within {self._limits.admission_timeout_s} s: {self._obstacle()}"
                part.fail(reason)
            await asyncio.sleep(0)  # others may run between the parts

    def _has_room(self, part: _Part) -> bool:
        if self._channel is None or self._link.blocked:
            return False
        limits = self._limits
        return not self._sent or (
            len(self._sent) + len(part.envelopes) <= limits.in_flight_messages_max
            and self._bytes + part.bytes <= limits.in_flight_bytes_max
        )

    def _obstacle(self) -> str:
        if self._channel is None:
            return f"no connection ({self._link.down_because})"
        if self._link.blocked:
            return "the broker has blocked publishers"
        return f"{len(self._sent)} messages are in flight"

    def _hand_over(self, part: _Part) -> None:
        """Writes the part to the connection, without waiting."""
        assert self._channel is not None
        part.deadline_s = asyncio.get_running_loop().time() + self._limits.confirm_timeout_s
        raw = self._channel.raw
        for index, envelope in enumerate(part.envelopes):
            properties = pika.BasicProperties(
                message_id=envelope.message_id,
                delivery_mode=PERSISTENT,
                headers=dict(envelope.headers),
            )
            try:
                raw.basic_publish(
                    envelope.exchange,
                    envelope.routing_key,
                    envelope.body,
                    properties,
                    mandatory=True,
                )
            except ChannelWrongStateError as error:
                part.resolve(index, f"the channel is gone: {error}")
            except (AMQPError, ValueError, TypeError) as error:
                # It cannot be put into AMQP's frames (a header's type, a key over 255 bytes), and
                # pika wrote none of them: only this one has failed, and it has no tag.
                part.resolve(index, f"cannot be encoded: {describe(error)}")
            else:
                self._tag += 1
                key = (envelope.message_id, envelope.exchange, envelope.routing_key)
                self._sent[self._tag] = _Sent(part, index, key)
                self._bytes += len(envelope.body)

    async def _confirmed(self, part: _Part) -> None:
        """Waits until each message of the part has its outcome."""
        if not part.resolved.done():
            left_s = part.deadline_s - asyncio.get_running_loop().time()
            await asyncio.wait({part.resolved}, timeout=max(0.0, left_s))
        if not part.resolved.done():
            reason = f"not confirmed within {self._limits.confirm_timeout_s} s"
            self._link.abort(reason)
            self._lose(reason)

    async def _open_channel(self, connection: Any) -> None:
        channel = await Channel.open(connection, self._limits.step_timeout_s)
        channel.raw.add_on_return_callback(self._on_return)
        await channel.ask(
            lambda done: channel.raw.confirm_delivery(self._on_confirm, callback=done)
        )
        channel.lost.add_done_callback(lambda lost: self._on_channel_lost(channel, lost.result()))
        self._tag = self._resolved_tag = 0
        self._channel = channel

    def _on_channel_lost(self, channel: Channel, reason: BaseException) -> None:
        """The broker closes a channel for our mistake, e.g. an exchange that does not exist."""
        if self._channel is channel:
            self._lose(describe(reason))
            self._link.abort(f"channel closed: {describe(reason)}")

    def _on_link_change(self) -> None:
        if not self._link.is_up:
            self._lose(self._link.down_because)
        self._changed.set()

    def _lose(self, reason: str) -> None:
        """The channel is gone: what was not confirmed on it has failed."""
        self._channel = None
        sent, self._sent = self._sent, {}
        self._bytes = 0
        self._returned.clear()
        if sent:
            log.warning("bus.unconfirmed", messages=len(sent), reason=reason)
        for message in sent.values():
            message.part.resolve(message.position, f"not confirmed: {reason}")

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        self._returned[(properties.message_id, method.exchange, method.routing_key)] += 1

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        first = self._resolved_tag + 1 if method.multiple else method.delivery_tag
        acked = isinstance(method, pika.spec.Basic.Ack)
        for tag in range(first, method.delivery_tag + 1):
            message = self._sent.pop(tag, None)
            if message is None:
                continue  # resolved before, by itself
            failure = None if acked else "the broker refused it (nack)"
            if message.key in self._returned:
                # A return comes before its ack, so it is this one that came back.
                self._returned -= Counter([message.key])  # which drops what reaches zero
                failure = f"unroutable: no queue is bound for {message.key[2]}"
            envelope = message.part.envelopes[message.position]
            self._bytes -= len(envelope.body)
            message.part.resolve(message.position, failure)
        if method.multiple:
            self._resolved_tag = method.delivery_tag
        self._changed.set()
