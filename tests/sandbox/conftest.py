"""The sandbox as a real program, a merchant who signs, a payer, and somebody who is called back."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway_svc.channels.port import PrepayOrder, RefundOrder
from gateway_svc.channels.sandbox import SandboxChannel
from paymesh.signing import Signer, Verifier, generate_key_pair, serial_of

READY_TIMEOUT_S = 15
STOP_TIMEOUT_S = 8


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


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    made = Keys(*generate_key_pair(), *generate_key_pair(), folder)
    (folder / "merchant.pub.pem").write_bytes(made.merchant_public)
    (folder / "channel.pem").write_bytes(made.channel_private)
    return made


class Program:
    """One `python -m paymesh.sandbox` on a book of its own; may be killed and started again."""

    def __init__(self, keys: Keys, book: Path, log: Path) -> None:
        self._keys = keys
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.book = book
        self.port = 0
        self.url = ""

    def start(self) -> str:
        """Start it, on the same port as before if there was one; returns the ready line."""
        command = [sys.executable, "-m", "paymesh.sandbox", "--port", str(self.port)]
        command += ["--book", str(self.book), "--key", str(self._keys.folder / "channel.pem")]
        command += ["--merchant-key", str(self._keys.folder / "merchant.pub.pem")]
        command += ["--callback-ladder-s", "0.05,0.1,0.2,0.4,0.8,1.6"]
        command += ["--callback-timeout-s", "1"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=Path.cwd()
            )
        assert self._process.stdout is not None
        killer_at = time.monotonic() + READY_TIMEOUT_S
        os.set_blocking(self._process.stdout.fileno(), False)
        line = ""
        while not line.endswith("\n"):
            assert time.monotonic() < killer_at, "the sandbox was not ready in time"
            assert self._process.poll() is None, self._log.read_text()
            line += self._process.stdout.readline()
            time.sleep(0.01)
        self.url = line.split()[2]
        self.port = int(self.url.rsplit(":", 1)[1])
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


@pytest.fixture(scope="session")
def shared_program(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("sandbox")
    program = Program(keys, folder / "book", folder / "log")
    program.start()
    yield program
    assert program.stop() == 0


@pytest.fixture(scope="module")
def own_program(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program that the tests of one module may kill and start again."""
    folder = tmp_path_factory.mktemp("own_sandbox")
    program = Program(keys, folder / "book", folder / "log")
    program.start()
    yield program
    assert program.stop() == 0


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


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield session


@pytest.fixture
async def world(shared_program: Program, keys: Keys, session: aiohttp.ClientSession) -> World:
    """The shared sandbox, healed."""
    world = World(shared_program.url, keys, session)
    await world.faults()
    return world


MakeWorld = Callable[[Program], World]


@pytest.fixture
def world_of(keys: Keys, session: aiohttp.ClientSession) -> MakeWorld:
    return lambda program: World(program.url, keys, session)


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

    async def wait_for(self, count: int, timeout_s: float = 5) -> list[Any]:
        """The bodies, once there are that many."""
        async with asyncio.timeout(timeout_s):
            while len(self.tries) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return [json.loads(raw) for raw, _ in self.tries]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/callbacks/sandbox", receiver.handle)
    # Callers keep their connections; do not wait for them to hang up.
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callbacks/sandbox"
    yield receiver
    await runner.cleanup()


MakeChannel = Callable[..., Any]


@pytest.fixture
async def channel_of(keys: Keys) -> AsyncIterator[Callable[..., Any]]:
    """Makes started adapters: `await channel_of(url, budget_s=…)`."""
    made: list[SandboxChannel] = []

    async def make(url: str, *, budget_s: float = 5, verifier: Verifier | None = None) -> Any:
        channel = SandboxChannel(
            url,
            signer=keys.merchant_signer,
            verifier=verifier or keys.channel_verifier,
            budget_s=budget_s,
        )
        await channel.start()
        made.append(channel)
        return channel

    yield make
    for channel in made:
        await channel.stop()


@pytest.fixture
async def channel(world: World, channel_of: MakeChannel) -> SandboxChannel:
    """The gateway's adapter to the shared sandbox."""
    made: SandboxChannel = await channel_of(world.url)
    return made


@pytest.fixture
def new_no() -> Callable[[], str]:
    """A new number of ours, 28 characters as the gateway makes them."""
    return lambda: secrets.token_hex(14)


@pytest.fixture
def new_order(new_no: Callable[[], str], receiver: Receiver) -> Callable[..., PrepayOrder]:
    """An order of 12.34 CNY that expires in ten minutes, or as told."""

    def make(**changes: Any) -> PrepayOrder:
        values: dict[str, Any] = {
            "request_no": new_no(),
            "amount_minor": 1234,
            "currency": "CNY",
            "subject": "Tea & biscuits",
            "expires_at": datetime.now(UTC) + timedelta(minutes=10),
            "notify_url": receiver.url,
        }
        return PrepayOrder(**{**values, **changes})

    return make


@pytest.fixture
def new_refund(new_no: Callable[[], str]) -> Callable[..., RefundOrder]:
    def make(order: PrepayOrder, amount_minor: int) -> RefundOrder:
        return RefundOrder(
            refund_no=new_no(),
            request_no=order.request_no,
            amount_minor=amount_minor,
            currency=order.currency,
        )

    return make


@pytest.fixture(scope="session")
def offline_channel(keys: Keys) -> SandboxChannel:
    """An adapter that is not started: good for what is pure."""
    return SandboxChannel(
        "http://127.0.0.1:9",
        signer=keys.merchant_signer,
        verifier=keys.channel_verifier,
        budget_s=1,
    )
