"""A TCP proxy in front of PostgreSQL that cuts the line at the worst moment: while committing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal


class CuttingProxy:
    """Cuts a connection at its first COMMIT, as often as `cuts` says.

    `before`: the server never hears of it; `after`: it commits, but nobody hears its answer.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.when: Literal["before", "after"] = "after"
        self.cuts = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        cut = asyncio.Event()

        async def up() -> None:
            while data := await client.read(65536):
                if b"COMMIT" in data and self.cuts:
                    self.cuts -= 1
                    cut.set()
                    if self.when == "before":
                        return
                to_server.write(data)
                await to_server.drain()

        async def down() -> None:
            while data := await server.read(65536):
                if cut.is_set() and b"COMMIT" in data:
                    return
                to_client.write(data)
                await to_client.drain()

        ways = {asyncio.create_task(up()), asyncio.create_task(down())}
        self._tasks |= ways
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await way
        self._tasks -= ways
        for writer in (to_client, to_server):
            writer.close()
