"""Orders over real HTTP: what the merchant may ask, and who may ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway_svc.channels.port import (
    Channel,
    PrepayOrder,
)
from gateway_svc.orders.model import ReportedState
from paymesh.signing import (
    SIGNATURE_HEADER,
    Signer,
    Verifier,
    generate_key_pair,
    serial_of,
)

MakeOrder = Callable[..., PrepayOrder]


def body_of(order: PrepayOrder, **changes: Any) -> dict[str, Any]:
    """An order as the wire has it."""
    return {
        "out_trade_no": order.request_no,
        "amount": order.amount_minor,
        "currency": order.currency,
        "subject": order.subject,
        "time_expire": order.expires_at.isoformat(timespec="milliseconds"),
        "notify_url": order.notify_url,
        **changes,
    }


async def test_same_order_again_gets_the_same_answer(world: Any, new_order: MakeOrder) -> None:
    """A retry is the same request: one order, one prepay_id, also when sent at once."""
    body = body_of(new_order())
    answers = await asyncio.gather(*(world.signed("POST", "/v1/orders", body) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["prepay_id"] for answer in answers}) == 1
    rows = [
        row for row in (await world.book())["orders"] if row["out_trade_no"] == body["out_trade_no"]
    ]
    assert len(rows) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 1235},
        {"currency": "USD"},
        {"subject": "Coffee"},
        {"notify_url": "http://127.0.0.1:1/other"},
        {"time_expire": "2099-01-01T00:00:00Z"},
    ],
)
async def test_same_number_with_other_parameters_is_a_mismatch(
    world: Any, new_order: MakeOrder, change: dict[str, Any]
) -> None:
    """A number names one order for ever; the first one stays as it is."""
    body = body_of(new_order())
    await world.signed("POST", "/v1/orders", body)
    answer = await world.signed("POST", "/v1/orders", {**body, **change})
    assert (answer.status, answer.body["code"]) == (409, "ORDER_MISMATCH")
    order = await world.signed("GET", f"/v1/orders/{body['out_trade_no']}")
    assert (order.body["amount"], order.body["currency"]) == (1234, "CNY")


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": True},
        {"amount": 12.34},
        {"amount": "1234"},
        {"amount": 2**63},
        {"currency": "cny"},
        {"out_trade_no": "a/b/c/d"},
        {"subject": "a\u0000b"},
        {"subject": "\ud800"},
        {"time_expire": "2020-01-01T00:00:00Z"},
        {"time_expire": "2099-01-01T00:00:00"},
        {"notify_url": "ftp://example.com/x"},
        {"notify_url": "http://user:secret@example.com/x"},
        {"notify_url": None},
    ],
)
async def test_an_order_that_is_not_sound_is_refused(
    world: Any, new_order: MakeOrder, change: dict[str, Any]
) -> None:
    """400, and the number is not used up."""
    order = new_order()
    answer = await world.signed("POST", "/v1/orders", body_of(order, **change))
    assert (answer.status, answer.body["code"]) == (400, "INVALID_REQUEST")
    assert (await world.signed("POST", "/v1/orders", body_of(order))).status == 200


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b"\xff", b'{"amount": NaN}', b"[" * 60_000])
async def test_a_body_that_is_not_a_json_object_is_refused(world: Any, raw: bytes) -> None:
    """Whatever is signed, it is 400, never a broken server."""
    assert (await world.signed("POST", "/v1/orders", raw)).status == 400


async def test_an_oversize_body_is_refused_before_it_is_read(world: Any) -> None:
    """64 KiB is the limit."""
    answer = await world.signed("POST", "/v1/orders", b" " * (64 * 1024 + 1))
    assert (answer.status, answer.body["code"]) == (413, "TOO_LARGE")


async def test_a_request_without_a_valid_signature_touches_nothing(
    world: Any, new_order: MakeOrder, keys: Any
) -> None:
    """Unsigned, malformed, stale, of another key, or signed for another path: 401 each."""
    order = new_order()
    body = body_of(order)
    stranger = Signer(generate_key_pair()[0], serial_of(keys.merchant_public))
    answers = [
        await world.plain("POST", "/v1/orders", b"{}"),
        await world.signed("POST", "/v1/orders", body, age_s=301),
        await world.signed("POST", "/v1/orders", body, age_s=-301),
        await world.signed("POST", "/v1/orders", body, signer=stranger),
        await world.signed(
            "POST", "/v1/orders", body, change=lambda h: h.update({SIGNATURE_HEADER: "?"})
        ),
        await world.signed(
            "POST", "/v1/orders", body, change=lambda h: h.update({SIGNATURE_HEADER: "AAAA"})
        ),
    ]
    assert [(answer.status, answer.body["code"]) for answer in answers] == [
        (401, "SIGN_ERROR")
    ] * len(answers)
    assert "StaleTimestamp" in answers[1].body["message"]
    assert "ForgedSignature" in answers[3].body["message"]
    assert "MalformedSignature" in answers[4].body["message"]
    missing = await world.signed("GET", f"/v1/orders/{order.request_no}")
    assert (missing.status, missing.body["code"]) == (404, "ORDER_NOT_EXIST")


async def test_every_answer_is_signed_errors_too(
    world: Any, new_order: MakeOrder, keys: Any
) -> None:
    """Success, refusal, no such path, wrong method, injected failure."""
    now_s = int(datetime.now(UTC).timestamp())
    verifier: Verifier = keys.channel_verifier
    await world.faults(next={"query": {"error": 1}})
    for method, path, status in [
        ("GET", "/v1/orders/unknown1", 500),
        ("GET", "/v1/orders/unknown1", 404),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/orders/unknown1", 405),
    ]:
        answer = await world.signed(method, path)
        assert answer.status == status
        verifier.verify_message(answer.headers, answer.raw, now_s=now_s)
    answer = await world.signed("POST", "/v1/orders", body_of(new_order()))
    verifier.verify_message(answer.headers, answer.raw, now_s=now_s)


async def test_a_closed_order_cannot_be_paid_and_a_paid_one_not_closed(
    world: Any, new_order: MakeOrder
) -> None:
    """Whoever is first wins; closing twice and paying twice change nothing."""
    first, second = new_order(), new_order()
    closed = (await world.signed("POST", "/v1/orders", body_of(first))).body["prepay_id"]
    paid = (await world.signed("POST", "/v1/orders", body_of(second))).body["prepay_id"]
    for _ in range(2):
        answer = await world.signed("POST", f"/v1/orders/{first.request_no}/close")
        assert (answer.status, answer.body["trade_state"]) == (200, "CLOSED")
    refused = await world.pay(closed)
    assert (refused.status, refused.body["code"]) == (409, "ORDER_CLOSED")

    receipts = [(await world.pay(paid)).body for _ in range(2)]
    assert receipts[0] == receipts[1]
    answer = await world.signed("POST", f"/v1/orders/{second.request_no}/close")
    assert (answer.status, answer.body["code"]) == (409, "ORDER_PAID")


async def test_an_order_closes_by_itself_when_its_time_is_over(
    world: Any, new_order: MakeOrder
) -> None:
    """And a repeated request still gets the answer that it got."""
    for seconds in (0.3, 3, 30):  # it is over before it is there, where calls take long
        order = new_order(expires_at=datetime.now(UTC) + timedelta(seconds=seconds))
        first = await world.signed("POST", "/v1/orders", body_of(order))
        if first.status == 200:
            break
    await asyncio.sleep(max(0, (order.expires_at - datetime.now(UTC)).total_seconds()) + 0.05)
    assert (await world.pay(first.body["prepay_id"])).status == 409
    answer = await world.signed("GET", f"/v1/orders/{order.request_no}")
    assert answer.body["trade_state"] == "CLOSED"
    again = await world.signed("POST", "/v1/orders", body_of(order))
    assert (again.status, again.raw) == (200, first.raw)


async def test_the_payers_page_shows_the_order_and_escapes_it(
    world: Any, new_order: MakeOrder
) -> None:
    """A page without scripts; a form that pays; the result in the same look."""
    order = new_order(subject='<script>alert("tea")</script>')
    prepay_id = (await world.signed("POST", "/v1/orders", body_of(order))).body["prepay_id"]
    page = (await world.plain("GET", f"/pay/{prepay_id}")).raw.decode()
    assert "12.34" in page
    assert "Pay now" in page
    assert "<script" not in page
    paid = await world.plain("POST", f"/pay/{prepay_id}")
    assert "Paid" in paid.raw.decode()
    assert "Pay now" not in paid.raw.decode()
    assert (await world.plain("GET", "/pay/pp_nobody")).status == 404


async def test_adapter_goes_from_prepay_to_success(
    world: Any, channel: Channel, new_order: MakeOrder
) -> None:
    """The gateway's view: awaiting the payer, then succeeded, with all that proves it."""
    order = new_order()
    prepaid = await channel.prepay(order)
    assert prepaid.state is ReportedState.AWAITING_PAYER
    assert prepaid.channel_credential["pay_url"].startswith(world.url)
    assert await channel.prepay(order) == prepaid
    assert (await channel.query(order.request_no)).state is ReportedState.AWAITING_PAYER

    await world.pay(prepaid.channel_credential["prepay_id"])
    result = await channel.query(order.request_no)
    assert result.state is ReportedState.SUCCEEDED
    assert (result.amount_minor, result.currency) == (1234, "CNY")
    assert result.channel_txn_id
    assert result.occurred_at is not None
    assert abs(result.occurred_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_adapter_closes_or_learns_that_the_payer_was_first(
    world: Any, channel: Channel, new_order: MakeOrder
) -> None:
    """A close that comes too late brings the success with its amount."""
    order, paid_order = new_order(), new_order()
    await channel.prepay(order)
    assert (await channel.close(order.request_no)).state is ReportedState.CLOSED
    assert (await channel.query(order.request_no)).state is ReportedState.CLOSED

    prepaid = await channel.prepay(paid_order)
    await world.pay(prepaid.channel_credential["prepay_id"])
    result = await channel.close(paid_order.request_no)
    assert (result.state, result.amount_minor) == (ReportedState.SUCCEEDED, 1234)


async def test_adapter_tells_not_found_and_mismatch_from_failure(
    channel: Channel, new_order: MakeOrder
) -> None:
    """Not found is inconclusive; a number used for another order may be paid: never FAILED."""
    order = new_order()
    assert (await channel.query(order.request_no)).state is ReportedState.NOT_FOUND
    assert (await channel.close(order.request_no)).state is ReportedState.NOT_FOUND
    await channel.prepay(order)
    other = new_order(request_no=order.request_no, amount_minor=1)
    mismatch = await channel.prepay(other)
    assert (mismatch.state, mismatch.reason) == (ReportedState.UNKNOWN, "ORDER_MISMATCH")
    refused = await channel.prepay(new_order(amount_minor=0))
    assert (refused.state, refused.reason) == (ReportedState.FAILED, "INVALID_REQUEST")
