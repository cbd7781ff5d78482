"""Callbacks: signed, repeated until 2xx, and with every fault that a real channel has."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway_svc.channels.port import (
    Callback,
    CallbackKind,
    Channel,
    PrepayOrder,
    UnreadableCallback,
)
from gateway_svc.orders.model import ReportedState
from paymesh.signing import (
    NONCE_HEADER,
    SIGNATURE_HEADER,
    ForgedSignature,
    Signer,
    StaleTimestamp,
    serial_of,
)

MakeOrder = Callable[..., PrepayOrder]


async def paid(world: Any, channel: Channel, order: PrepayOrder) -> None:
    prepaid = await channel.prepay(order)
    answer = await world.pay(prepaid.channel_credential["prepay_id"])
    assert answer.status == 200, answer.raw


def verified(channel: Channel, receiver: Any, nth: int) -> Callback:
    raw, headers = receiver.tries[nth]
    return channel.verify_callback(raw, headers, int(time.time()))


async def test_a_payment_is_called_back_and_the_adapter_verifies_it(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """The same facts as a query gives, under the channel's signature."""
    order = new_order()
    await paid(world, channel, order)
    await receiver.wait_for(1)
    callback = verified(channel, receiver, 0)
    assert callback.kind is CallbackKind.COLLECT
    assert callback.request_no == order.request_no
    assert callback.result == await channel.query(order.request_no)
    assert callback.result.state is ReportedState.SUCCEEDED


async def test_a_callback_is_repeated_until_2xx_with_a_new_signature_each_time(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """The id and body stay; nonce and signature do not. A redirect is no 2xx."""
    receiver.statuses = [500, 302, 429]
    await paid(world, channel, new_order())
    bodies = await receiver.wait_for(4)
    assert len({body["id"] for body in bodies}) == 1
    assert len({raw for raw, _ in receiver.tries}) == 1
    for header in (NONCE_HEADER, SIGNATURE_HEADER):
        assert len({headers[header] for _, headers in receiver.tries}) == 4
    assert len({verified(channel, receiver, nth) for nth in range(4)}) == 1
    await asyncio.sleep(0.5)
    assert len(receiver.tries) == 4


async def test_a_forged_or_stale_callback_is_refused_by_the_adapter(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder, keys: Any
) -> None:
    """Changed bytes, an old time, the merchant's own key instead of the channel's."""
    await paid(world, channel, new_order())
    await receiver.wait_for(1)
    raw, headers = receiver.tries[0]
    now_s = int(time.time())
    with pytest.raises(ForgedSignature):
        channel.verify_callback(raw.replace(b"1234", b"9999"), headers, now_s)
    with pytest.raises(StaleTimestamp):
        channel.verify_callback(raw, headers, now_s + 400)
    stranger = Signer(keys.merchant_private, serial_of(keys.channel_public))
    forged = stranger.sign_message(timestamp=now_s, nonce="0" * 16, body=raw)
    with pytest.raises(ForgedSignature):
        channel.verify_callback(raw, forged, now_s)


async def test_bad_and_stale_signatures_are_faults_of_single_tries(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """The channel signs wrongly once and late once; its next try is sound."""
    for first, (fault, error) in enumerate(
        [("bad_signature", ForgedSignature), ("stale", StaleTimestamp)]
    ):
        await world.faults(next={"callback": {fault: 1}})
        receiver.statuses = [401]
        await paid(world, channel, new_order())
        await receiver.wait_for(2 * first + 2)
        with pytest.raises(error):
            verified(channel, receiver, 2 * first)
        sound = verified(channel, receiver, 2 * first + 1)
        assert sound.result.state is ReportedState.SUCCEEDED


async def test_a_lost_callback_never_comes_but_a_query_and_a_replay_heal_it(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """What the channel does not tell can be asked."""
    await world.faults(next={"callback": {"lost": 1}})
    order = new_order()
    await paid(world, channel, order)
    await asyncio.sleep(0.3)
    assert receiver.tries == []
    assert (await channel.query(order.request_no)).state is ReportedState.SUCCEEDED
    replay = await world.plain("POST", f"/admin/callbacks/{order.request_no}/replay")
    assert replay.body["status"] == 200
    assert verified(channel, receiver, 0).id == replay.body["id"]


async def test_duplicates_come_with_the_same_id(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """duplicate_times further copies of every callback."""
    await world.faults(callback={"duplicate_times": 2})
    await paid(world, channel, new_order())
    bodies = await receiver.wait_for(3)
    assert len({body["id"] for body in bodies}) == 1
    await asyncio.sleep(0.2)
    assert len(receiver.tries) == 3


async def test_a_callback_with_a_wrong_amount_differs_from_the_query(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """The callback lies under a valid signature; the book and the query do not."""
    await world.faults(next={"callback": {"wrong_amount": 1}})
    order = new_order()
    await paid(world, channel, order)
    await receiver.wait_for(1)
    assert verified(channel, receiver, 0).result.amount_minor == 1235
    assert (await channel.query(order.request_no)).amount_minor == 1234


@pytest.mark.parametrize(("fault", "amount_minor"), [("wrong_amount", 1235), ("partial", 617)])
async def test_a_payer_who_pays_another_amount_is_in_the_book(
    world: Any,
    channel: Channel,
    receiver: Any,
    new_order: MakeOrder,
    fault: str,
    amount_minor: int,
) -> None:
    """Here callback, query and book agree: that is what was collected."""
    await world.faults(next={"pay": {fault: 1}})
    order = new_order()
    await paid(world, channel, order)
    await receiver.wait_for(1)
    assert verified(channel, receiver, 0).result.amount_minor == amount_minor
    assert (await channel.query(order.request_no)).amount_minor == amount_minor
    rows = {row["out_trade_no"]: row for row in (await world.book())["orders"]}
    assert rows[order.request_no]["amount"] == 1234
    assert rows[order.request_no]["paid_amount"] == amount_minor


async def test_a_closed_order_may_still_succeed(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """Late success: CLOSED was answered, and yet the money came."""
    await world.faults(pay={"late_success_rate": 1})
    order = new_order()
    prepaid = await channel.prepay(order)
    assert (await channel.close(order.request_no)).state is ReportedState.CLOSED
    assert (await world.pay(prepaid.channel_credential["prepay_id"])).status == 200
    await receiver.wait_for(1)
    assert verified(channel, receiver, 0).result.state is ReportedState.SUCCEEDED
    rows = {row["out_trade_no"]: row for row in (await world.book())["orders"]}
    assert rows[order.request_no]["closed_at"] is not None


async def test_reordered_callbacks_overtake_each_other(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """With the same seed, the same order of arrival is not promised; another than sent is."""
    arrived: list[str] = []
    sent: list[str] = []
    for reorder_ms in (400, 4000, 40_000):  # more, where paying itself takes long
        await world.faults(callback={"reorder_rate": 1, "reorder_ms": reorder_ms})
        for order in [new_order() for _ in range(8)]:
            await paid(world, channel, order)
            sent.append(order.request_no)
        bodies = await receiver.wait_for(len(sent))
        arrived = [body["resource"]["out_trade_no"] for body in bodies]
        assert sorted(arrived) == sorted(sent)
        if arrived != sent:
            break
    assert arrived != sent


async def test_a_delayed_callback_waits(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> None:
    """delay_ms holds every callback back."""
    await world.faults(callback={"delay_ms": 250})
    started = time.monotonic()
    await paid(world, channel, new_order())
    await receiver.wait_for(1)
    assert time.monotonic() - started >= 0.25


async def test_a_callback_may_come_before_the_answer(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder, new_refund: Any
) -> None:
    """The refund is done and told while its own request still waits for an answer."""
    order = new_order()
    await paid(world, channel, order)
    await receiver.wait_for(1)
    came_before = False
    for tries, latency_ms in enumerate((300, 3000, 30_000), start=2):  # more, where calls take long
        await world.faults(refund={"answer_latency_ms": latency_ms, "sync_rate": 1})
        refunding = asyncio.ensure_future(channel.refund(new_refund(order, 100)))
        await receiver.wait_for(tries)
        came_before = not refunding.done()
        assert (await refunding).state is ReportedState.SUCCEEDED
        if came_before:
            break
    assert came_before


def signed_callback(keys: Any, body: Any) -> tuple[bytes, dict[str, str]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return raw, keys.channel_signer.sign_message(
        timestamp=int(time.time()), nonce="0" * 16, body=raw
    )


RESOURCE = {
    "out_trade_no": "order-0001",
    "trade_state": "SUCCESS",
    "transaction_id": "42aa",
    "amount": 5,
    "currency": "CNY",
    "success_time": "2026-11-22T10:00:00.000Z",
}
CALLBACK = {"id": "evt_1", "event_type": "TRANSACTION.SUCCESS", "resource": RESOURCE}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 50_000,
        b" " * (64 * 1024 + 1),
        {**CALLBACK, "id": None},
        {**CALLBACK, "id": "a" * 65},
        {**CALLBACK, "event_type": "TRANSACTION.NEW"},
        {**CALLBACK, "event_type": ["TRANSACTION.SUCCESS"]},
        {**CALLBACK, "resource": []},
        {**CALLBACK, "resource": {**RESOURCE, "out_trade_no": "a\u0000b"}},
        {**CALLBACK, "resource": {**RESOURCE, "out_trade_no": 7}},
    ],
)
def test_a_signed_callback_that_cannot_be_read_is_unreadable(
    offline_channel: Channel, keys: Any, body: Any
) -> None:
    """A typed error, whatever the content; the parser never breaks."""
    raw, headers = signed_callback(keys, body)
    with pytest.raises(UnreadableCallback):
        offline_channel.verify_callback(raw, headers, int(time.time()))


@pytest.mark.parametrize(
    "change",
    [
        {"trade_state": "NOTPAY"},
        {"trade_state": None},
        {"amount": None},
        {"amount": True},
        {"amount": 5.0},
        {"amount": 0},
        {"amount": 2**63},
        {"currency": "cny"},
        {"transaction_id": ""},
    ],
)
def test_a_signed_success_that_is_not_whole_is_unknown(
    offline_channel: Channel, keys: Any, change: dict[str, Any]
) -> None:
    """No success without its amount, currency and transaction; a query will tell."""
    raw, headers = signed_callback(keys, {**CALLBACK, "resource": {**RESOURCE, **change}})
    callback = offline_channel.verify_callback(raw, headers, int(time.time()))
    assert callback.result.state is ReportedState.UNKNOWN
    assert callback.request_no == "order-0001"
