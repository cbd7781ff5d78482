"""A TCP proxy in front of a broker: stalls, cuts, and says things that the broker did not say."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pika.frame


class Proxy:
    def __init__(self, amqp_url: str) -> None:
        self._upstream = urlsplit(amqp_url)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.held = b""
        """What has come while nothing passed."""

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    @property
    def amqp_url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        login = f"{self._upstream.username}:{self._upstream.password}"
        return urlunsplit(self._upstream._replace(netloc=f"{login}@127.0.0.1:{port}"))

    def stall(self) -> None:
        """Nothing passes any more, in either direction, as if the broker hung."""
        self._flowing.clear()
        self.held = b""

    def resume(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Every connection breaks."""
        for writer in self._writers:
            writer.transport.abort()

    def say(self, channel: int, method: Any) -> None:
        """Tells every client a method as if the broker had; only while nothing else flows."""
        for client in self._clients:
            client.write(pika.frame.Method(channel, method).marshal())

    async def close(self) -> None:
        assert self._server is not None
        self.cut()
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            back, upstream = await asyncio.open_connection(
                self._upstream.hostname, self._upstream.port
            )
        except OSError:
            client.transport.abort()
            return
        self._clients.add(client)
        for source, sink in ((reader, upstream), (back, client)):
            self._writers.add(sink)
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if not self._flowing.is_set():
                    self.held += data
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            return  # that is what a proxy is for
        finally:
            sink.close()
            self._writers.discard(sink)
            self._clients.discard(sink)
