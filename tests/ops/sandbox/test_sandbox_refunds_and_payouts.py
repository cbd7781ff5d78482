"""Refunds and payouts: idempotent by their own numbers, asynchronous, and not always a success."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway_svc.channels.port import (
    CallbackKind,
    Channel,
    ChannelResult,
    PayoutOrder,
    PrepayOrder,
    RefundOrder,
)
from gateway_svc.orders.model import ReportedState
from tests.ops.sandbox.sandbox_actors import PATIENCE_S

MakeOrder = Callable[..., PrepayOrder]
MakeRefund = Callable[..., RefundOrder]
MakePayout = Callable[..., PayoutOrder]


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


async def ended(channel: Channel, refund: RefundOrder, state: ReportedState) -> ChannelResult:
    """The refund once it is in that state."""
    async with asyncio.timeout(PATIENCE_S):
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
    assert (await channel.refund(refund)).state is ReportedState.PROCESSING
    [body] = await receiver.wait_for(1)
    assert body["event_type"] == "REFUND.SUCCESS"
    callback = channel.verify_callback(*receiver.tries[0], int(time.time()))
    assert (callback.kind, callback.request_no) == (CallbackKind.REFUND, refund.refund_no)
    assert callback.result == await ended(channel, refund, ReportedState.SUCCEEDED)
    assert (callback.result.amount_minor, callback.result.currency) == (1000, "CNY")


async def test_same_refund_again_is_one_refund(
    world: Any, channel: Channel, paid_order: PrepayOrder, new_refund: MakeRefund
) -> None:
    """Five at once and one later: money goes back once; other parameters are a mismatch."""
    refund = new_refund(paid_order, 1234)
    results = await asyncio.gather(*(channel.refund(refund) for _ in range(5)))
    await ended(channel, refund, ReportedState.SUCCEEDED)
    results.append(await channel.refund(refund))
    assert len({result.channel_txn_id for result in results}) == 1
    changed = RefundOrder(
        refund_no=refund.refund_no,
        request_no=refund.request_no,
        amount_minor=1,
        currency="CNY",
    )
    mismatch = await channel.refund(changed)
    assert (mismatch.state, mismatch.reason) == (ReportedState.UNKNOWN, "REFUND_MISMATCH")
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
    assert (await channel.refund(new_refund(paid_order, 1000))).state is ReportedState.PROCESSING
    over = await channel.refund(new_refund(paid_order, 235))
    assert (over.state, over.reason) == (ReportedState.FAILED, "REFUND_EXCEEDS")
    assert (await channel.refund(new_refund(paid_order, 234))).state is ReportedState.PROCESSING


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
    assert result.state is ReportedState.NOT_FOUND


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
    assert (await channel.refund(refund)).state is ReportedState.PROCESSING
    [body] = await receiver.wait_for(1)
    assert body["event_type"] == "REFUND.FAILED"
    failed = await channel.query_refund(refund.refund_no, refund.request_no)
    assert (failed.state, failed.reason) == (ReportedState.FAILED, "ACCOUNT_ABNORMAL")
    await ended_anew(channel, new_refund(paid_order, 1234))


async def ended_anew(channel: Channel, refund: RefundOrder) -> None:
    await channel.refund(refund)
    await ended(channel, refund, ReportedState.SUCCEEDED)


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
    await ended(channel, refund, ReportedState.FAILED)


async def test_a_refund_without_funds_is_refused_and_may_be_sent_again(
    world: Any, channel: Channel, paid_order: PrepayOrder, new_refund: MakeRefund
) -> None:
    """NOT_ENOUGH keeps nothing: the same number succeeds when there is money."""
    await world.faults(next={"refund": {"short": 1, "sync": 1}})
    refund = new_refund(paid_order, 5)
    short = await channel.refund(refund)
    assert (short.state, short.reason) == (ReportedState.WAITING_FUNDS, "NOT_ENOUGH")
    assert (await channel.refund(refund)).state is ReportedState.SUCCEEDED


async def test_a_stuck_refund_stays_processing(
    world: Any, channel: Channel, paid_order: PrepayOrder, new_refund: MakeRefund
) -> None:
    """For ever: only a person can tell."""
    await world.faults(next={"refund": {"stuck": 1}}, refund={"processing_ms": 0})
    refund = new_refund(paid_order, 5)
    await channel.refund(refund)
    await asyncio.sleep(0.2)
    result = await channel.query_refund(refund.refund_no, refund.request_no)
    assert result.state is ReportedState.PROCESSING


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


async def paid_out(channel: Channel, payout: PayoutOrder, state: ReportedState) -> ChannelResult:
    """The payout once the channel says that it is in that state."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            result = await channel.query_payout(payout.payout_no)
            if result.state is state:
                return result
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("account", "end", "reason"),
    [
        ("62220000009999", ReportedState.SUCCEEDED, ""),
        ("62220000000001", ReportedState.FAILED, "ACCOUNT_INVALID"),
        ("62220000000003", ReportedState.BOUNCED, "ACCOUNT_INVALID"),
    ],
)
async def test_the_adapter_sees_how_a_payout_ends(
    channel: Channel,
    receiver: Any,
    new_payout: MakePayout,
    account: str,
    end: ReportedState,
    reason: str,
) -> None:
    """PROCESSING at first; the last callback says what the query says."""
    payout = new_payout(account)
    assert (await channel.payout(payout)).state is ReportedState.PROCESSING
    result = await paid_out(channel, payout, end)
    assert (result.amount_minor, result.currency, result.reason) == (700, "CNY", reason)
    await receiver.wait_for(2 if end is ReportedState.BOUNCED else 1)
    callback = channel.verify_callback(*receiver.tries[-1], int(time.time()))
    assert (callback.kind, callback.result) == (CallbackKind.PAYOUT, result)


async def test_the_same_payout_again_is_one_payout(
    world: Any, channel: Channel, new_payout: MakePayout
) -> None:
    """Five at once and one later; to another account or of another amount it is a mismatch."""
    payout = new_payout()
    results = await asyncio.gather(*(channel.payout(payout) for _ in range(5)))
    await paid_out(channel, payout, ReportedState.SUCCEEDED)
    results.append(await channel.payout(payout))
    assert len({result.channel_txn_id for result in results}) == 1
    for other in (replace(payout, account_no="62220000008888"), replace(payout, amount_minor=1)):
        result = await channel.payout(other)
        assert (result.state, result.reason) == (ReportedState.UNKNOWN, "PAYOUT_MISMATCH")
    rows = (await world.book())["payouts"]
    assert [r["amount"] for r in rows if r["out_payout_no"] == payout.payout_no] == [700]


async def test_a_payout_without_funds_waits_for_them_and_may_be_sent_again(
    world: Any, channel: Channel, new_payout: MakePayout
) -> None:
    """NOT_ENOUGH keeps nothing, so the number is not even known."""
    await world.faults(next={"payout": {"short": 1, "sync": 1}})
    payout = new_payout()
    short = await channel.payout(payout)
    assert (short.state, short.reason) == (ReportedState.WAITING_FUNDS, "NOT_ENOUGH")
    assert (await channel.query_payout(payout.payout_no)).state is ReportedState.NOT_FOUND
    assert (await channel.payout(payout)).state is ReportedState.SUCCEEDED


async def test_a_payout_to_an_account_that_cannot_be_is_refused_for_good(
    channel: Channel, new_payout: MakePayout
) -> None:
    """The channel reads 34 letters and digits at most."""
    result = await channel.payout(new_payout("6" * 64))
    assert (result.state, result.reason) == (ReportedState.FAILED, "INVALID_REQUEST")


def test_a_payouts_payee_is_not_shown_where_it_is_printed(new_payout: MakePayout) -> None:
    payout = new_payout()
    assert payout.account_no not in repr(payout)
    assert payout.account_name not in repr(payout)
