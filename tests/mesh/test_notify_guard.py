"""A merchant's notify_url is its own word: it must not lead inside our network."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from paymesh.clock import SystemClock
from paymesh.context import Context
from paymesh.secretbox import SecretBox, make_key
from trade_svc.merchants.domain import Merchant, MerchantState
from trade_svc.notifications.delivery import (
    Delivery,
    ForbiddenAddress,
    PublicResolver,
    require_public,
)
from trade_svc.notifications.domain import SendNotification

INSIDE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "fe80::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
]


@pytest.mark.parametrize("address", INSIDE)
def test_private_and_special_addresses_are_refused(address: str) -> None:
    """Also when an IPv4 address hides in an IPv6 one."""
    with pytest.raises(ForbiddenAddress):
        require_public("shop.example", address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_taken(address: str) -> None:
    require_public("shop.example", address)


async def test_a_name_that_leads_inside_is_refused_when_it_is_resolved() -> None:
    """At the moment of sending, on the address that would be connected to."""
    with pytest.raises(ForbiddenAddress):
        await PublicResolver().resolve("localhost", 443)


class OneMerchant:
    """Knows one merchant, with the URL at hand."""

    def __init__(self, url: str, sealed: bytes) -> None:
        self._url, self._sealed = url, sealed

    async def get(self, merchant_id: str) -> Merchant:
        return Merchant(
            id=merchant_id,
            context=Context(business_id="biz_1"),
            version=1,
            state=MerchantState.ACTIVE,
            display_name="Shop",
            notify_url=self._url,
            sealed_notify_secret=self._sealed,
            created_at=datetime.now(UTC),
        )


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/notify",
        "https://127.0.0.1/notify",
        "https://[::1]/notify",
        "https://localhost/notify",
        "https://169.254.169.254/latest/meta-data",
    ],
)
async def test_nothing_is_sent_to_a_url_that_leads_inside(url: str, tmp_path: Path) -> None:
    """The notification stays undelivered, with the reason."""
    error = await sent_to(url, make_key(tmp_path), allow_private=False)
    assert "Forbidden" in error or "not a public address" in error


async def sent_to(url: str, key: Path, *, allow_private: bool) -> str:
    """Why a notification to that URL was not delivered, or an empty text."""
    box = SecretBox(key)
    merchants: Any = OneMerchant(url, box.seal(b"s" * 32, belongs_to="mer_1"))
    delivery = Delivery(merchants, box, clock=SystemClock(), allow_private=allow_private)
    await delivery.open()
    effect = SendNotification(Context("biz_1", merchant_id="mer_1"), "nts_1", "ntf_1", "{}")
    result = await delivery.send(effect)
    await delivery.close()
    return str(result.command.error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_a_notification_is_not_followed(status: int, tmp_path: Path) -> None:
    """It is an answer that is not 2xx: where it leads is never asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/notify":
            return web.Response(status=status, headers={"Location": "/inside"})
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}/notify"
        error = await sent_to(url, make_key(tmp_path), allow_private=True)
    finally:
        await runner.cleanup()
    assert asked == ["/notify"]
    assert error == f"HTTP {status}"


@pytest.mark.parametrize(
    "url",
    ["https://.example/hook", "https://shop.example:99999/hook", "https://shop\\example/hook"],
)
async def test_whatever_an_endpoint_makes_us_raise_is_its_notifications_error(
    url: str, tmp_path: Path
) -> None:
    """A merchant may have such a URL since before they were refused."""
    assert await sent_to(url, make_key(tmp_path), allow_private=True) != ""


async def test_what_is_kept_of_an_answer_can_be_kept_and_shown(tmp_path: Path) -> None:
    """A server that answers no HTTP: no NUL, no half character, no order to a terminal."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write("HTTP/1.1 2\0\x1b[31m\u202e\udcff OK\r\n\r\n".encode(errors="surrogatepass"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/notify"
        error = await sent_to(url, make_key(tmp_path), allow_private=True)
    assert error
    assert error.isprintable()
