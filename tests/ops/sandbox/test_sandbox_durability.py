"""No answer and no callback before the fsync: the app in this process, the disk in our hands."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_svc.channels.port import PrepayOrder
from paymesh.signing import Verifier, serial_of
from paymesh_ops.sandbox.app import SandboxApp
from paymesh_ops.sandbox.book import BookFailed
from paymesh_ops.sandbox.callbacks import CallbackLimits
from paymesh_ops.sandbox.faults import Faults
from paymesh_ops.sandbox.service import Sandbox

pytestmark = pytest.mark.slow

MakeOrder = Callable[..., PrepayOrder]


class Inside:
    """One sandbox in this process; requests go straight into its ASGI application."""

    def __init__(self, book_folder: Path, keys: Any) -> None:
        self._signer = keys.merchant_signer
        self.failures = 0
        self.sandbox = Sandbox(
            book_folder=book_folder,
            signer=keys.channel_signer,
            faults=Faults(),
            limits=CallbackLimits(),
        )
        self._app = SandboxApp(
            self.sandbox,
            signer=keys.channel_signer,
            verifier=Verifier({serial_of(keys.merchant_public): keys.merchant_public}),
            public_url="http://sandbox",
            on_failure=self._failed,
        )

    def _failed(self) -> None:
        self.failures += 1

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """(status, body) of a signed request. Raises what the application raises."""
        raw = b"" if body is None else json.dumps(body).encode()
        headers = self._signer.sign_request(
            method=method, path=path, timestamp=int(time.time()), nonce="0" * 16, body=raw
        )
        headers["Accept"] = "application/json"
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(n.lower().encode(), v.encode()) for n, v in headers.items()],
        }
        await self._app.asgi(scope, receive, send)
        return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))


@pytest.fixture
async def inside(tmp_path: Path, keys: Any) -> AsyncIterator[Inside]:
    inside = Inside(tmp_path, keys)
    await inside.sandbox.start()
    yield inside
    if not inside.failures:
        await inside.sandbox.stop()


def order_body(order: PrepayOrder) -> dict[str, Any]:
    return {
        "out_trade_no": order.request_no,
        "amount": order.amount_minor,
        "currency": order.currency,
        "subject": order.subject,
        "time_expire": order.expires_at.isoformat(timespec="milliseconds"),
        "notify_url": order.notify_url,
    }


async def test_nobody_is_answered_or_called_back_before_the_fsync(
    inside: Inside, new_order: MakeOrder, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not who pays, not who asks about it, not who is called back; then all of them."""
    order = new_order()
    _, prepaid = await inside.call("POST", "/v1/orders", order_body(order))
    disk_works = threading.Event()
    fsync = os.fsync

    def slow_fsync(fd: int) -> None:
        assert disk_works.wait(timeout=60)
        fsync(fd)

    monkeypatch.setattr("paymesh_ops.sandbox.book.os.fsync", slow_fsync)
    calls = [
        asyncio.ensure_future(inside.call(method, path))
        for method, path in [
            ("POST", f"/pay/{prepaid['pay_url'].rpartition('/')[2]}"),
            ("GET", f"/v1/orders/{order.request_no}"),
            ("POST", f"/v1/orders/{order.request_no}/close"),
        ]
    ]
    await asyncio.sleep(0.2)
    assert [call.done() for call in calls] == [False] * 3
    assert receiver.tries == []
    disk_works.set()
    (paid, query, close) = await asyncio.gather(*calls)
    assert (paid[0], query[0], close[0]) == (200, 200, 409)
    assert query[1]["trade_state"] == "SUCCESS"
    await receiver.wait_for(1)


async def test_a_disk_that_fails_answers_500_and_ends_the_program(
    inside: Inside, new_order: MakeOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is ahead of the disk then, so the program may not go on."""

    def disk_full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("paymesh_ops.sandbox.book.os.fsync", disk_full)
    with pytest.raises(BookFailed):
        await inside.call("POST", "/v1/orders", order_body(new_order()))
    assert inside.failures == 1
    with pytest.raises(BookFailed):
        await inside.sandbox.stop()
