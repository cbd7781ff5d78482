"""Who plays in the sandbox's tests: the program, those who talk to it, and who is called back."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from paymesh.signing import Signer, Verifier, serial_of

READY_TIMEOUT_S = 180
STOP_TIMEOUT_S = 60
PATIENCE_S = 60


@dataclass(frozen=True)
class Keys:
    """The key pairs of the merchant and of the channel, and where their files are."""

    merchant_private: bytes
    merchant_public: bytes
    channel_private: bytes
    channel_public: bytes
    folder: Path

    @cached_property
    def merchant_signer(self) -> Signer:
        # Once a session: loading a private key checks its primes, which takes its time.
        return Signer(self.merchant_private)

    @cached_property
    def channel_signer(self) -> Signer:
        return Signer(self.channel_private)

    @cached_property
    def channel_verifier(self) -> Verifier:
        return Verifier({serial_of(self.channel_public): self.channel_public})


class Program:
    """One `python -m paymesh_ops.sandbox` on a book of its own; may be killed and started again."""

    def __init__(self, keys: Keys, book: Path, log: Path) -> None:
        self._keys = keys
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.book = book
        self.port = 0
        self.url = ""

    def start(self) -> str:
        """Start it, on the same port as before if there was one; returns the ready line."""
        command = [sys.executable, "-m", "paymesh_ops.sandbox", "--port", str(self.port)]
        command += ["--book", str(self.book), "--key", str(self._keys.folder / "channel.pem")]
        command += ["--merchant-key", str(self._keys.folder / "merchant.pub.pem")]
        command += ["--callback-ladder-s", "0.05,0.1,0.2,0.4,0.8,1.6"]
        command += ["--callback-timeout-s", "30"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=Path.cwd()
            )
        try:
            line = self._ready_line(self._process)
        except AssertionError:
            self.kill()
            raise
        self.url = line.split()[2]
        self.port = int(self.url.rsplit(":", 1)[1])
        return line

    def _ready_line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        deadline = time.monotonic() + READY_TIMEOUT_S
        os.set_blocking(process.stdout.fileno(), False)
        line = ""
        while not line.endswith("\n"):
            assert time.monotonic() < deadline, "the sandbox was not ready in time"
            assert process.poll() is None, self._log.read_text()
            line += process.stdout.readline()
            time.sleep(0.01)
        return line

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._close_pipe()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=STOP_TIMEOUT_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._close_pipe()

    def _close_pipe(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


@dataclass(frozen=True)
class Answer:
    status: int
    raw: bytes
    headers: dict[str, str]

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class World:
    """Whoever talks to one sandbox: the merchant (signed), the payer, the administrator."""

    def __init__(self, url: str, keys: Keys, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._signer = keys.merchant_signer
        self._session = session

    async def signed(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | bytes = b"",
        *,
        signer: Signer | None = None,
        age_s: int = 0,
        change: Callable[[dict[str, str]], None] = lambda headers: None,
    ) -> Answer:
        """A request as the merchant signs it, or with something wrong about it."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = (signer or self._signer).sign_request(
            method=method,
            path=path,
            timestamp=int(time.time()) - age_s,
            nonce=secrets.token_hex(8),
            body=raw,
        )
        change(headers)
        return await self.plain(method, path, raw, headers)

    async def plain(
        self, method: str, path: str, raw: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        async with self._session.request(
            method, self.url + path, data=raw or None, headers=headers
        ) as response:
            return Answer(response.status, await response.read(), dict(response.headers))

    async def faults(self, **document: Any) -> None:
        """Turn the knobs; without arguments, heal everything."""
        answer = await self.plain("PUT", "/admin/faults", json.dumps(document).encode())
        assert answer.status == 200, answer.raw

    async def book(self) -> Any:
        return (await self.plain("GET", "/admin/book")).body

    async def pay(self, prepay_id: str) -> Answer:
        """What a payer's phone does."""
        return await self.plain("POST", f"/pay/{prepay_id}", headers={"Accept": "application/json"})


@dataclass
class Receiver:
    """Somebody who is called back: keeps every try and answers as told, then 200."""

    url: str = ""
    tries: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        self.tries.append((await request.read(), dict(request.headers)))
        self._arrived.set()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def wait_for(self, count: int, timeout_s: float = PATIENCE_S) -> list[Any]:
        """The bodies, once there are that many."""
        async with asyncio.timeout(timeout_s):
            while len(self.tries) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return [json.loads(raw) for raw, _ in self.tries]
