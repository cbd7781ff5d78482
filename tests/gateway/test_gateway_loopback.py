"""The loopback channel: orders that pay themselves, through the use case of HTTP callbacks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import grpc
import pytest
import structlog

from gateway_svc.callbacks.handling import Callbacks, Refusal
from gateway_svc.channels.loopback import adapter as loopback
from gateway_svc.channels.loopback.adapter import TELL_AGAIN_AFTER_S, LoopbackChannel
from gateway_svc.channels.port import (
    Callback,
    ChannelResult,
    PrepayOrder,
)
from gateway_svc.orders.model import ReportedState
from gateway_svc.settings import GatewaySettings
from paymesh import metrics
from paymesh.app import App
from paymesh.clock import SystemClock
from paymesh.errors import Unavailable
from tests.gateway.gateway_world import (
    Caller,
    Database,
    Events,
    Gateways,
    money,
    new_request_no,
    reason_of,
    told,
    until,
)


class Pauses(SystemClock):
    """Nobody waits; how long it would have been is noted."""

    def __init__(self) -> None:
        self.noted: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.noted.append(seconds)


class Keeper:
    """Takes callbacks; first refuses as often as it is told to, with that status."""

    def __init__(self, *refusals: int) -> None:
        self.refusals = list(refusals)
        self.tries: list[tuple[str, Callback, bytes]] = []

    async def __call__(self, name: str, callback: Callback, raw: bytes) -> None:
        self.tries.append((name, callback, raw))
        if self.refusals:
            raise Refusal(self.refusals.pop(0), "BECAUSE", "not now")


def order_of(request_no: str, minor: int = 1234) -> PrepayOrder:
    return PrepayOrder(
        request_no=request_no,
        amount_minor=minor,
        currency="CNY",
        subject="Tea & biscuits",
        expires_at=datetime.now(UTC) + timedelta(minutes=10),
        notify_url="http://127.0.0.1:9/callbacks/loopback",
    )


def channel_of(keep: loopback.Keep, clock: SystemClock | None = None) -> LoopbackChannel:
    channel = LoopbackChannel(clock=clock or SystemClock())
    channel.bind(keep)
    return channel


def callbacks_of(app: App) -> Callbacks:
    """The use case of a process that runs."""
    return Callbacks(
        {},
        app.cores[0].submit,
        clock=SystemClock(),
        per_second_max=1,
        channel_per_second_max=1,
    )


async def paid(gateways: Gateways) -> tuple[App, Caller, str]:
    """An order that a gateway without a sweeper got paid: what moved it is the callback."""
    app = await gateways.start("serve", loopback_channel=True)
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no, channel="loopback")
    await caller.reaches(no, "SUCCEEDED")
    return app, caller, no


async def test_an_order_pays_itself_and_its_result_is_told_once(
    gateways: Gateways, events: Events, database: Database
) -> None:
    """Announced, called back, SUCCEEDED: one callback, one published result."""
    _, caller, no = await paid(gateways)
    order = await caller.order(no)
    assert (order.moved_amount, order.reference) == (money(1234), "pay_1")
    assert order.channel_txn_id == f"lpb_{no}"
    await told(events, "SUCCEEDED")
    rows = database.query(
        "SELECT sequence, type, state, published FROM outbox WHERE aggregate_id = %s ORDER BY 1",
        f"chn_{no}",
    )
    assert rows == [
        (1, "gateway.channel.placed", "PENDING", False),
        (2, "gateway.channel.awaiting_payer", "AWAITING_PAYER", False),
        (3, "gateway.channel.result", "SUCCEEDED", True),
    ]
    assert database.query("SELECT request_no, reported, matched FROM callback") == [
        (no, "SUCCEEDED", True)
    ]
    assert (await caller.credential(no)).channel_fields["prepay_id"] == f"lpb_{no}"


async def test_an_order_that_is_prepaid_twice_is_paid_once(
    gateways: Gateways, events: Events, database: Database
) -> None:
    """Asked for again by the caller, announced again by another process: one callback."""
    app, caller, no = await paid(gateways)
    await caller.prepay(no, channel="loopback")
    before = database.written()
    taken: list[Callback] = []

    async def keep(name: str, callback: Callback, raw: bytes) -> None:
        await callbacks_of(app).keep(name, callback, raw)
        taken.append(callback)

    other = channel_of(keep)
    for _ in range(2):
        await other.prepay(order_of(no))

    async def both() -> Any:
        return len(taken) == 2

    await until(both)
    after = database.written()
    assert after["callback"] == before["callback"] == (1,)
    assert after["channel_order"] == before["channel_order"]
    assert after["outbox"] == before["outbox"]
    await told(events, "SUCCEEDED")


async def test_an_order_whose_process_died_is_announced_and_paid_by_another(
    gateways: Gateways, events: Events, database: Database
) -> None:
    """The first never came to its channel; the sweeper of the second does."""

    async def dies(channel: LoopbackChannel, order: PrepayOrder) -> Any:
        raise Unavailable("it died")

    first = await gateways.start("serve", loopback_channel=True)
    caller, no = gateways.caller(first), new_request_no()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoopbackChannel, "prepay", dies)
        await caller.prepay(no, channel="loopback")
        await gateways.rest()
    assert database.query("SELECT state FROM channel_order") == [("PENDING",)]
    await gateways.start("work", loopback_channel=True)
    await caller.reaches(no, "SUCCEEDED")
    await told(events, "SUCCEEDED")


async def test_money_that_came_by_itself_does_not_go_back(
    gateways: Gateways, database: Database
) -> None:
    """Refunds and payouts are refused with a reason before anything is written."""
    _, caller, no = await paid(gateways)
    before = database.written()
    with pytest.raises(grpc.aio.AioRpcError) as refund:
        await caller.refund(new_request_no(), no, 234)
    with pytest.raises(grpc.aio.AioRpcError) as payout:
        await caller.payout(new_request_no(), channel="loopback")
    refused = grpc.StatusCode.FAILED_PRECONDITION
    text = "channel 'loopback' is not known or does not"
    assert reason_of(refund) == (refused, f"{text} refund")
    assert reason_of(payout) == (refused, f"{text} payout")
    assert database.written() == before


async def test_the_loopback_channel_is_offered_only_where_a_setting_says_so(
    gateways: Gateways, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off by default; where it is on, the log says so."""
    monkeypatch.delenv("PAYMESH_LOOPBACK_CHANNEL", raising=False)
    assert not GatewaySettings().loopback_channel
    with structlog.testing.capture_logs() as logs:
        app = await gateways.start("serve")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await gateways.caller(app).prepay(new_request_no(), channel="loopback")
        assert reason_of(error)[0] is grpc.StatusCode.FAILED_PRECONDITION
        assert database.written()["channel_order"] == (0, None)
        assert [entry for entry in logs if entry["event"].startswith("loopback.")] == []
        await gateways.start("ingress", loopback_channel=True)
    offered = [entry for entry in logs if entry["event"] == "loopback.offered"]
    assert [entry["log_level"] for entry in offered] == ["warning"]
    monkeypatch.setenv("PAYMESH_LOOPBACK_CHANNEL", "true")
    assert GatewaySettings().loopback_channel


async def test_nobody_calls_back_for_the_loopback_channel_over_http(
    gateways: Gateways, session: aiohttp.ClientSession, database: Database
) -> None:
    await gateways.start("ingress", loopback_channel=True)
    url = f"{gateways.ingress_url}/callbacks/loopback"
    try:
        async with session.post(url, data=b"{}") as response:
            answer = await response.json()
            assert (response.status, answer["reason"]) == (401, "FORGED_SIGNATURE")
    finally:
        metrics.CALLBACKS.remove("loopback", "FORGED_SIGNATURE")  # others look at all labels
    assert database.written()["callback"] == (0,)


async def test_the_callback_comes_after_the_answer_and_says_what_was_ordered() -> None:
    keep, no = Keeper(), new_request_no()
    answer = await channel_of(keep).prepay(order_of(no, 99))
    assert (answer.state, keep.tries) == (ReportedState.AWAITING_PAYER, [])
    await asyncio.sleep(0)
    [(name, callback, raw)] = keep.tries
    assert (name, callback.id, callback.request_no) == ("loopback", f"evt_{no}", no)
    assert (callback.result.amount_minor, callback.result.currency) == (99, "CNY")
    assert raw == loopback.body_of(callback)


@pytest.mark.parametrize(
    ("refusals", "tries", "gave_up"),
    [([503, 503], 3, 0), ([503] * 99, 1 + len(TELL_AGAIN_AFTER_S), 1), ([409], 1, 1)],
)
async def test_a_callback_that_is_refused_for_now_is_told_again_a_few_times(
    refusals: list[int], tries: int, gave_up: int
) -> None:
    """After pauses that grow; never again when it is refused for good."""
    keep, clock = Keeper(*refusals), Pauses()
    with structlog.testing.capture_logs() as logs:
        await channel_of(keep, clock).prepay(order_of(new_request_no()))

        async def is_over() -> Any:
            return len(keep.tries) == tries

        await until(is_over)
        await asyncio.sleep(0.02)
    assert len(keep.tries) == tries
    assert len({(callback.id, raw) for _, callback, raw in keep.tries}) == 1
    assert clock.noted == list(TELL_AGAIN_AFTER_S)[: tries - 1]
    assert [entry["reason"] for entry in logs] == ["BECAUSE"] * gave_up


async def test_a_defect_behind_a_callback_is_logged() -> None:
    async def breaks(name: str, callback: Callback, raw: bytes) -> None:
        raise ValueError("a defect")

    with structlog.testing.capture_logs() as logs:
        await channel_of(breaks).prepay(order_of(new_request_no()))
        await asyncio.sleep(0.02)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("loopback.defect", "error")
    ]


async def test_only_orders_that_this_process_knows_can_be_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The latest ones; of any other nothing is known, which is never a failure. A close comes too
    late always."""
    monkeypatch.setattr(loopback, "ORDERS_MAX", 3)
    channel, numbers = channel_of(Keeper()), [new_request_no() for _ in range(4)]
    unknown = ChannelResult(
        state=ReportedState.UNKNOWN, reason="the loopback channel only calls back"
    )
    assert await channel.query(numbers[0]) == await channel.close(numbers[0]) == unknown
    for no in numbers:
        await channel.prepay(order_of(no))
    assert await channel.query(numbers[0]) == unknown
    for no in numbers[1:]:
        found = await channel.query(no)
        assert (found.state, found.amount_minor) == (ReportedState.SUCCEEDED, 1234)
        assert await channel.close(no) == found


async def test_callbacks_under_way_are_bounded_and_dropped_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One too many is not announced: it stays as it is and is announced later."""
    monkeypatch.setattr(loopback, "CALLBACKS_MAX", 1)
    stuck = asyncio.Event()

    async def never(name: str, callback: Callback, raw: bytes) -> None:
        await stuck.wait()

    channel, no = channel_of(never), new_request_no()
    with structlog.testing.capture_logs() as logs:
        await channel.prepay(order_of(new_request_no()))
        assert (await channel.prepay(order_of(no))).state is ReportedState.UNKNOWN
        assert (await channel.query(no)).state is ReportedState.UNKNOWN
        await channel.stop()
    assert [(entry["event"], entry["callbacks"]) for entry in logs] == [("loopback.dropped", 1)]
