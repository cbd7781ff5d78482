"""A pika channel whose questions can be awaited, and which says when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pika.exceptions import AMQPError, ChannelWrongStateError, ConnectionWrongStateError


class ChannelLost(Exception):
    """The channel or its connection is gone, or does not answer in time."""


class Channel:
    """One open AMQP channel.

    `raw` is pika's own, for steps that are not answered (publish, ack); `lost` is done once the
    channel is gone, with the reason as its result.
    """

    def __init__(self, raw: Any, lost: asyncio.Future[BaseException], timeout_s: float) -> None:
        self.raw = raw
        self.lost = lost
        self._timeout_s = timeout_s

    @classmethod
    async def open(cls, connection: Any, timeout_s: float) -> Channel:
        """Raises ChannelLost."""
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[BaseException] = loop.create_future()
        opened: asyncio.Future[Any] = loop.create_future()
        try:
            raw = connection.channel(on_open_callback=lambda raw: resolve(opened, raw))
        except ConnectionWrongStateError as error:
            raise ChannelLost(f"the connection is gone: {error}") from error
        raw.add_on_close_callback(lambda _raw, reason: resolve(lost, reason))
        channel = cls(raw, lost, timeout_s)
        try:
            await channel._answered(opened)
        except ChannelLost:
            if raw.is_opening:
                raw.close()  # so that it does not open unseen when the broker comes round
            raise
        return channel

    async def ask(self, step: Callable[[Callable[[Any], None]], Any]) -> Any:
        """Takes a step that the broker answers: `step` gets the callback to hand to pika.

        Raises ChannelLost.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            step(lambda frame: resolve(answer, frame))
        except ChannelWrongStateError as error:
            raise self._gone() from error
        return await self._answered(answer)

    async def close(self) -> bool:
        """Closes it, which gives back what was delivered on it and not acked.

        False: the broker does not answer, so the channel still holds its deliveries.
        """
        if self.raw.is_open or self.raw.is_opening:
            self.raw.close()
        await asyncio.wait({self.lost}, timeout=self._timeout_s)
        return self.lost.done()

    async def _answered(self, answer: asyncio.Future[Any]) -> Any:
        await asyncio.wait(
            {answer, self.lost}, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if answer.done():
            return answer.result()
        raise self._gone()

    def _gone(self) -> ChannelLost:
        if self.lost.done():
            return ChannelLost(describe(self.lost.result()))
        return ChannelLost(f"no answer from the broker within {self._timeout_s} s")


def resolve(future: asyncio.Future[Any], value: Any) -> None:
    """Gives the future its result, unless somebody was faster or has stopped waiting."""
    if not future.done():
        future.set_result(value)


def describe(reason: BaseException) -> str:
    """Why pika closed something, for a log line; pika's own str() is often empty."""
    return str(reason) if isinstance(reason, AMQPError) and str(reason) else repr(reason)
