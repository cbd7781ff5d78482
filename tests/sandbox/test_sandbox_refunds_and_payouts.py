"""Refunds and payouts: idempotent by their own numbers, asynchronous, and not always a success."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway_svc.channels.port import (
    CallbackKind,
    Channel,
    ChannelResult,
    NativeOutcome,
    PrepayOrder,
    RefundOrder,
)

MakeOrder = Callable[..., PrepayOrder]
MakeRefund = Callable[..., RefundOrder]


@pytest.fixture
async def paid_order(
    world: Any, channel: Channel, receiver: Any, new_order: MakeOrder
) -> PrepayOrder:
    """An order of 1234 that was paid; its callback has come."""
    order = new_order()
    prepaid = await channel.prepay(order)
    await world.pay(prepaid.channel_credential["prepay_id"])
    await receiver.wait_for(1)
    receiver.tries.clear()
    return order


async def settled(channel: Channel, refund: RefundOrder, state: NativeOutcome) -> ChannelResult:
    """The refund once it is in that state."""
    async with asyncio.timeout(3):
        while True:
            result = await channel.query_refund(refund.refund_no, refund.request_no)
            if result.state is state:
                return result
            await asyncio.sleep(0.02)


async def test_a_refund_is_processed_then_succeeds_and_is_called_back(
    channel: Channel, receiver: Any, paid_order: PrepayOrder, new_refund: MakeRefund
) -> None:
    """The callback names the refund by its own number."""
    refund = new_refund(paid_order, 1000)
    assert (await channel.refund(refund)).state is NativeOutcome.PROCESSING
    [body] = await receiver.wait_for(1)
    assert body["event_type"] == "REFUND.SUCCESS"
    callback = channel.verify_callback(*receiver.tries[0], int(time.time()))
    assert (callback.kind, callback.request_no) == (CallbackKind.REFUND, refund.refund_no)
    assert callback.result == await settled(channel, refund, NativeOutcome.SUCCEEDED)
    assert (callback.result.amount_minor, callback.result.currency) == (1000, "CNY")


async def test_same_refund_again_is_one_refund(
    world: Any, channel: Channel, paid_order: PrepayOrder, new_refund: MakeRefund
) -> None:
    """Five at once and one later: money goes back once; other parameters are a mismatch."""
    refund = new_refund(paid_order, 1234)
    results = await asyncio.gather(*(channel.refund(refund) for _ in range(5)))
    await settled(channel, refund, NativeOutcome.SUCCEEDED)
    results.append(await channel.refund(refund))
    assert len({result.channel_txn_id for result in results}) == 1
    changed = RefundOrder(
        refund_no=refund.refund_no,
        request_no=refund.request_no,
        amount_minor=1,
        currency="CNY",
    )
    mismatch = await channel.refund(changed)
    assert (mismatch.state, mismatch.reason) == (NativeOutcome.UNKNOWN, "REFUND_MISMATCH")
    rows = [
        row
        for row in (await world.book())["refunds"]
        if row["out_trade_no"] == paid_order.request_no
    ]
    assert [row["amount"] for row in rows] == [1234]


async def test_refunds_cannot_exceed_what_was_paid(
    channel: Channel, paid_order: PrepayOrder, new_refund: MakeRefund
) -> None:
    """Refunds under way count; each refusal is definite."""
    assert (await channel.refund(new_refund(paid_order, 1000))).state is NativeOutcome.PROCESSING
    over = await channel.refund(new_refund(paid_order, 235))
    assert (over.state, over.reason) == (NativeOutcome.FAILED, "REFUND_EXCEEDS")
    assert (await channel.refund(new_refund(paid_order, 234))).state is NativeOutcome.PROCESSING


async def test_an_unpaid_or_unknown_order_cannot_be_refunded(
    channel: Channel, new_order: MakeOrder, new_refund: MakeRefund
) -> None:
    """Both are definite, and the number of the refund stays unknown to the channel."""
    order = new_order()
    refund = new_refund(order, 1)
    assert (await channel.refund(refund)).reason == "ORDER_NOT_EXIST"
    await channel.prepay(order)
    assert (await channel.refund(refund)).reason == "ORDER_NOT_PAID"
    result = await channel.query_refund(refund.refund_no, refund.request_no)
    assert result.state is NativeOutcome.NOT_FOUND


async def test_a_declined_refund_fails_and_gives_its_amount_free(
    world: Any,
    channel: Channel,
    receiver: Any,
    paid_order: PrepayOrder,
    new_refund: MakeRefund,
) -> None:
    """PROCESSING, then FAILED with a callback; another refund may take the amount."""
    await world.faults(next={"refund": {"decline": 1}})
    refund = new_refund(paid_order, 1234)
    assert (await channel.refund(refund)).state is NativeOutcome.PROCESSING
    [body] = await receiver.wait_for(1)
    assert body["event_type"] == "REFUND.FAILED"
    failed = await channel.query_refund(refund.refund_no, refund.request_no)
    assert (failed.state, failed.reason) == (NativeOutcome.FAILED, "ACCOUNT_ABNORMAL")
    await settled_anew(channel, new_refund(paid_order, 1234))


async def settled_anew(channel: Channel, refund: RefundOrder) -> None:
    await channel.refund(refund)
    await settled(channel, refund, NativeOutcome.SUCCEEDED)


async def test_a_refund_may_fail_after_its_success(
    world: Any,
    channel: Channel,
    receiver: Any,
    paid_order: PrepayOrder,
    new_refund: MakeRefund,
) -> None:
    """Two callbacks, each with an id of its own."""
    await world.faults(next={"refund": {"bounce": 1}}, refund={"bounce_ms": 100})
    refund = new_refund(paid_order, 5)
    await channel.refund(refund)
    bodies = await receiver.wait_for(2)
    assert [body["event_type"] for body in bodies] == ["REFUND.SUCCESS", "REFUND.FAILED"]
    assert bodies[0]["id"] != bodies[1]["id"]
    await settled(channel, refund, NativeOutcome.FAILED)


async def test_a_refund_without_funds_is_refused_and_may_be_sent_again(
    world: Any, channel: Channel, paid_order: PrepayOrder, new_refund: MakeRefund
) -> None:
    """NOT_ENOUGH keeps nothing: the same number succeeds when there is money."""
    await world.faults(next={"refund": {"short": 1, "sync": 1}})
    refund = new_refund(paid_order, 5)
    short = await channel.refund(refund)
    assert (short.state, short.reason) == (NativeOutcome.FAILED, "NOT_ENOUGH")
    assert (await channel.refund(refund)).state is NativeOutcome.SUCCEEDED


async def test_a_stuck_refund_stays_processing(
    world: Any, channel: Channel, paid_order: PrepayOrder, new_refund: MakeRefund
) -> None:
    """For ever: only a person can tell."""
    await world.faults(next={"refund": {"stuck": 1}}, refund={"settle_ms": 0})
    refund = new_refund(paid_order, 5)
    await channel.refund(refund)
    await asyncio.sleep(0.2)
    result = await channel.query_refund(refund.refund_no, refund.request_no)
    assert result.state is NativeOutcome.PROCESSING


def payout_body(number: str, receiver: Any, account: str) -> dict[str, Any]:
    return {
        "out_payout_no": number,
        "amount": 700,
        "currency": "CNY",
        "account": account,
        "name": "Li Lei",
        "notify_url": receiver.url,
    }


@pytest.mark.parametrize(
    ("account", "events"),
    [
        ("62220000009999", ["PAYOUT.SUCCESS"]),
        ("62220000000001", ["PAYOUT.FAILED"]),
        ("62220000000002", []),
        ("62220000000003", ["PAYOUT.SUCCESS", "PAYOUT.BOUNCED"]),
    ],
)
async def test_the_payees_account_number_decides_what_becomes_of_a_payout(
    world: Any,
    channel: Channel,
    receiver: Any,
    new_no: Callable[[], str],
    account: str,
    events: list[str],
) -> None:
    """Success, decline, stuck, bounce after success: by the last four digits."""
    number = new_no()
    body = payout_body(number, receiver, account)
    answer = await world.signed("POST", "/v1/payouts", body)
    assert (answer.status, answer.body["payout_status"]) == (200, "PROCESSING")
    bodies = await receiver.wait_for(len(events))
    await asyncio.sleep(0 if events else 0.2)
    assert [callback["event_type"] for callback in bodies] == events
    for raw, headers in receiver.tries:
        callback = channel.verify_callback(raw, headers, int(time.time()))
        assert (callback.kind, callback.request_no) == (CallbackKind.PAYOUT, number)
    final = (await world.signed("GET", f"/v1/payouts/{number}")).body
    expected = events[-1].partition(".")[2] if events else "PROCESSING"
    assert final["payout_status"] == expected
    again = await world.signed("POST", "/v1/payouts", body)
    assert again.body == final


async def test_a_payout_is_idempotent_and_its_refusals_are_definite(
    world: Any, receiver: Any, new_no: Callable[[], str]
) -> None:
    """Other parameters are a mismatch; an account of …0004 is short of funds and keeps nothing."""
    number = new_no()
    body = payout_body(number, receiver, "62220000009999")
    await world.signed("POST", "/v1/payouts", body)
    answer = await world.signed("POST", "/v1/payouts", {**body, "amount": 701})
    assert (answer.status, answer.body["code"]) == (409, "PAYOUT_MISMATCH")
    short = payout_body(new_no(), receiver, "62220000000004")
    answer = await world.signed("POST", "/v1/payouts", short)
    assert (answer.status, answer.body["code"]) == (403, "NOT_ENOUGH")
    answer = await world.signed("GET", f"/v1/payouts/{short['out_payout_no']}")
    assert (answer.status, answer.body["code"]) == (404, "PAYOUT_NOT_EXIST")
