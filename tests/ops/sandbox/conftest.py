"""Fixtures: the sandbox as a real program, a merchant who signs, a payer, a receiver."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway_svc.channels.port import PayoutOrder, PrepayOrder, RefundOrder
from gateway_svc.channels.sandbox.adapter import SandboxChannel
from paymesh.signing import Verifier, generate_key_pair
from tests.ops.sandbox.sandbox_actors import PATIENCE_S, Keys, Program, Receiver, World


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    made = Keys(*generate_key_pair(), *generate_key_pair(), folder)
    (folder / "merchant.pub.pem").write_bytes(made.merchant_public)
    (folder / "channel.pem").write_bytes(made.channel_private)
    return made


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


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
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

    async def make(
        url: str, *, budget_s: float = PATIENCE_S, verifier: Verifier | None = None
    ) -> Any:
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


@pytest.fixture
def new_payout(new_no: Callable[[], str], receiver: Receiver) -> Callable[..., PayoutOrder]:
    """A payout of 7.00 CNY; the last four digits of the account say what becomes of it."""

    def make(account_no: str = "62220000009999", **changes: Any) -> PayoutOrder:
        values: dict[str, Any] = {
            "payout_no": new_no(),
            "amount_minor": 700,
            "currency": "CNY",
            "account_no": account_no,
            "account_name": "Li Lei",
            "notify_url": receiver.url,
        }
        return PayoutOrder(**{**values, **changes})

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
