"""The ingress as a part of the service's life: uvicorn inside our event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn


class _Quiet(uvicorn.Server):
    """uvicorn that leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Ingress:
    """Serves an ASGI application on `host:port` (port 0: a free one)."""

    def __init__(self, app: Any, *, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        try:
            self._socket = socket.create_server((host, int(port)), backlog=1024)
        except OSError as error:
            raise OSError(f"PAYMESH_INGRESS_LISTEN is {listen}: {error.strerror}") from error
        self.port: int = self._socket.getsockname()[1]
        self._server = _Quiet(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,  # what it says goes through paymesh.log
                log_level="warning",
                access_log=False,
                server_header=False,
                limit_concurrency=1000,
                timeout_graceful_shutdown=5,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
