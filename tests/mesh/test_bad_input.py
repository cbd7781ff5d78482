"""Bad input gets a precise status, reason and field, and nothing is written."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from payments.pay.v1 import payment_service_pb2, payment_service_pb2_grpc
from payments.trade.v1 import trade_pb2, trade_service_pb2
from payments.type.v1 import context_pb2, money_pb2, tool_pb2

from paymesh.channel import open_channel
from paymesh.signing import Signer
from paymesh.wire import call_context_of
from paymesh_ops.clients.requests import request_id
from paymesh_ops.clients.shop import Shop
from paymesh_ops.launch.mesh import MeshPlan
from tests.mesh.conftest import count_rows
from tests.mesh.refusals import Refusal, read_refusal, refusal

pytestmark = pytest.mark.slow

EUR = money_pb2.Money(currency_code="EUR", minor_units=1234)


INVALID = grpc.StatusCode.INVALID_ARGUMENT
BAD_CREATES: list[tuple[str, dict[str, Any], Refusal]] = [
    ("no request_id", {"request_id": ""}, Refusal(INVALID, "INVALID_FIELD", ("request_id",))),
    ("no UUID", {"request_id": "x"}, Refusal(INVALID, "INVALID_FIELD", ("request_id",))),
    ("unspecified enum", {"type": 0}, Refusal(INVALID, "INVALID_FIELD", ("type",))),
    ("unknown enum", {"type": 99}, Refusal(INVALID, "INVALID_FIELD", ("type",))),
    (
        "zero amount",
        {"amount": money_pb2.Money(currency_code="EUR", minor_units=0)},
        Refusal(INVALID, "INVALID_FIELD", ("amount",)),
    ),
    (
        "negative amount",
        {"amount": money_pb2.Money(currency_code="EUR", minor_units=-5)},
        Refusal(INVALID, "INVALID_FIELD", ("amount",)),
    ),
    (
        "unknown currency",
        {"amount": money_pb2.Money(currency_code="EUX", minor_units=5)},
        Refusal(INVALID, "INVALID_FIELD", ("amount.currency_code",)),
    ),
    (
        "lower case currency",
        {"amount": money_pb2.Money(currency_code="eur", minor_units=5)},
        Refusal(INVALID, "INVALID_FIELD", ("amount.currency_code",)),
    ),
    ("no amount", {"amount": None}, Refusal(INVALID, "INVALID_FIELD", ("amount",))),
    ("NUL in text", {"subject": "a\0b"}, Refusal(INVALID, "INVALID_FIELD", ("subject",))),
    ("long text", {"subject": "a" * 129}, Refusal(INVALID, "INVALID_FIELD", ("subject",))),
    ("no order no", {"merchant_order_no": ""},
     Refusal(INVALID, "INVALID_FIELD", ("merchant_order_no",))),
    (
        "expired already",
        {"expire_time": Timestamp(seconds=1)},
        Refusal(INVALID, "INVALID_FIELD", ("expire_time",)),
    ),
    (
        "unknown merchant",
        {"merchant_id": "nobody"},
        Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ()),
    ),
    (
        "type not offered",
        {"type": trade_pb2.TRADE_TYPE_ESCROW},
        Refusal(grpc.StatusCode.FAILED_PRECONDITION, "TRADE_TYPE_NOT_OFFERED", ()),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "wanted"), [c[1:] for c in BAD_CREATES],
                         ids=[c[0] for c in BAD_CREATES])  # fmt: skip
async def test_create_trade_refuses(
    change: dict[str, Any], wanted: Refusal, shop: Shop, nothing_written: None
) -> None:
    """By the contract's rules or our own, before anything is claimed."""
    assert await refusal(shop.trades.CreateTrade(shop.create_request(**change))) == wanted


async def test_several_bad_fields_are_named_at_once(shop: Shop, nothing_written: None) -> None:
    request = shop.create_request(request_id="x", subject="\0", type=0)
    assert set((await refusal(shop.trades.CreateTrade(request))).fields) == {
        "request_id",
        "subject",
        "type",
    }


async def test_an_oversized_message_is_refused_with_a_reason(
    shop: Shop, nothing_written: None
) -> None:
    request = shop.create_request(payer_id="x" * 1_100_000)
    found = await refusal(shop.trades.CreateTrade(request))
    assert found == Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", ())


async def test_a_reused_request_id_is_refused(shop: Shop, sandboxed_plan: MeshPlan) -> None:
    """The same id with another body; the first answer stands."""
    first = shop.create_request()
    await shop.trades.CreateTrade(first)
    before = count_rows(sandboxed_plan)
    other = shop.create_request(request_id=first.request_id)
    found = await refusal(shop.trades.CreateTrade(other))
    assert found == Refusal(INVALID, "REQUEST_ID_REUSED", ("request_id",))
    assert count_rows(sandboxed_plan) == before


async def test_a_request_id_in_upper_case_is_the_same_request(shop: Shop) -> None:
    """A UUID is a number, however it is written."""
    request = shop.create_request()
    first = (await shop.trades.CreateTrade(request)).trade
    request.request_id = request.request_id.upper()
    assert (await shop.trades.CreateTrade(request)).trade == first


async def test_an_order_has_one_trade(shop: Shop) -> None:
    """A decided refusal: it is stored under the request_id, and replayed."""
    first = shop.create_request()
    trade = (await shop.trades.CreateTrade(first)).trade
    again = shop.create_request(merchant_order_no=first.merchant_order_no)
    wanted = Refusal(grpc.StatusCode.ALREADY_EXISTS, "ORDER_EXISTS", ())
    assert await refusal(shop.trades.CreateTrade(again)) == wanted
    assert await refusal(shop.trades.CreateTrade(again)) == wanted
    assert (await shop.trade(trade.trade_id)).version == 1


UNKNOWN_TRADE = "trd_" + "a" * 28


async def test_unknown_trades_are_not_found(shop: Shop, nothing_written: None) -> None:
    wanted = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ())
    trade = trade_pb2.Trade(trade_id=UNKNOWN_TRADE, amount=EUR)
    close = shop.close_request(trade)
    get = trade_service_pb2.GetTradeRequest(merchant_id=shop.merchant_id, trade_id=UNKNOWN_TRADE)
    assert await refusal(shop.trades.PayTrade(shop.pay_request(trade))) == wanted
    assert await refusal(shop.trades.CloseTrade(close)) == wanted
    assert await refusal(shop.trades.GetTrade(get)) == wanted


def tool(minor_units: int = 1234, currency: str = "EUR", channel: str = "sandbox") -> Any:
    return tool_pb2.PaymentTool(
        amount=money_pb2.Money(currency_code=currency, minor_units=minor_units),
        channel=tool_pb2.ChannelTool(channel=channel),
    )


PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
BAD_PAYS: list[tuple[str, list[Any], Refusal]] = [
    ("no tool", [], Refusal(INVALID, "INVALID_FIELD", ("tools",))),
    (
        "no means",
        [tool_pb2.PaymentTool(amount=EUR)],
        Refusal(INVALID, "INVALID_FIELD", ("tools[0].tool",)),
    ),
    ("zero", [tool(0)], Refusal(INVALID, "INVALID_FIELD", ("tools[0].amount",))),
    ("too little", [tool(1233)], Refusal(PRECONDITION, "AMOUNT_MISMATCH", ("tools",))),
    ("other currency", [tool(currency="USD")], Refusal(PRECONDITION, "CURRENCY_MISMATCH", ())),
]


@pytest.mark.parametrize(("tools", "wanted"), [c[1:] for c in BAD_PAYS],
                         ids=[c[0] for c in BAD_PAYS])  # fmt: skip
async def test_pay_trade_refuses(tools: list[Any], wanted: Refusal, shop: Shop) -> None:
    """The trade is as before, and can be paid rightly."""
    trade = await shop.order()
    assert await refusal(shop.trades.PayTrade(shop.pay_request(trade, tools=tools))) == wanted
    after = await shop.trade(trade.trade_id)
    assert (after.version, list(after.attempts)) == (1, [])


async def test_an_unknown_channel_makes_a_failed_attempt(shop: Shop) -> None:
    """Accepted by the trade, refused by the gateway: the attempt fails, the trade stays payable."""
    trade = await shop.order()
    await shop.trades.PayTrade(shop.pay_request(trade, tools=[tool(channel="nobody")]))
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_FAILED)
    assert (await shop.trade(trade.trade_id)).state == trade_pb2.TRADE_STATE_PENDING
    await shop.start_payment(trade)


async def test_a_paid_trade_cannot_be_paid_or_closed(shop: Shop) -> None:
    """Illegal moves are FAILED_PRECONDITION."""
    trade = await shop.purchase()
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    close = shop.close_request(trade)
    wanted = Refusal(PRECONDITION, "ILLEGAL_MOVE", ())
    assert await refusal(shop.trades.PayTrade(shop.pay_request(trade))) == wanted
    assert await refusal(shop.trades.CloseTrade(close)) == wanted


async def test_an_expired_trade_cannot_be_paid(shop: Shop) -> None:
    for expires_in_s in (0.5, 10):  # it is over before it is there, where calls take long
        try:
            trade = await shop.order(expires_in_s=expires_in_s)
            break
        except grpc.aio.AioRpcError as error:
            if error.code() is not INVALID:
                raise
    await asyncio.sleep(expires_in_s + 0.1)
    found = await refusal(shop.trades.PayTrade(shop.pay_request(trade)))
    assert found.code is PRECONDITION
    assert found.reason in {"TRADE_EXPIRED", "ILLEGAL_MOVE"}  # the sweeper may have closed it


async def test_inside_the_mesh_a_call_without_context_is_refused(
    shop: Shop, sandboxed_plan: MeshPlan, nothing_written: None
) -> None:
    """Unary calls by their metadata, items of a batch one by one."""
    async with open_channel(sandboxed_plan.target("pay")) as channel:
        stub: Any = payment_service_pb2_grpc.PaymentServiceStub(channel)
        request = payment_service_pb2.CancelPaymentRequest(
            request_id=request_id(), payment_id="pay_" + "a" * 28
        )
        wanted = Refusal(INVALID, "CONTEXT_MISSING", ())
        assert await refusal(stub.CancelPayment(request)) == wanted
        item = payment_service_pb2.BatchCancelPaymentsItem(request=request)
        response = await stub.BatchCancelPayments(
            payment_service_pb2.BatchCancelPaymentsRequest(items=[item])
        )
        assert read_refusal(response.results[0].error, INVALID) == wanted


async def test_a_batch_that_mixes_live_and_shadow_is_refused(
    shop: Shop, nothing_written: None
) -> None:
    items = []
    for traffic in (context_pb2.TRAFFIC_LIVE, context_pb2.TRAFFIC_SHADOW):
        context = context_pb2.CallContext(context=context_pb2.Context(traffic=traffic))
        items.append(
            trade_service_pb2.BatchCreateTradesItem(
                call_context=context, request=shop.create_request()
            )
        )
    request = trade_service_pb2.BatchCreateTradesRequest(items=items)
    found = await refusal(shop.trades.BatchCreateTrades(request))
    assert found == Refusal(INVALID, "TRAFFIC_MIXED", ())


async def test_one_bad_item_never_refuses_its_neighbours(shop: Shop) -> None:
    """Each item of a batch has its own verdict, in order."""
    requests = [shop.create_request() for _ in range(3)]
    requests[1] = shop.create_request(subject="\0")
    batch = trade_service_pb2.BatchCreateTradesRequest(
        items=[trade_service_pb2.BatchCreateTradesItem(request=r) for r in requests]
    )
    response = await shop.trades.BatchCreateTrades(batch)
    kinds = [r.WhichOneof("result") for r in response.results]
    assert kinds == ["response", "error", "response"]
    found = read_refusal(response.results[1].error, INVALID)
    assert found == Refusal(INVALID, "INVALID_FIELD", ("subject",))


@pytest.mark.slow
async def test_a_passed_deadline_writes_nothing(
    shop: Shop, sandboxed_plan: MeshPlan, nothing_written: None
) -> None:
    """An item whose time is over when the batch is decided."""
    from paymesh.context import Context

    item = trade_service_pb2.BatchCreateTradesItem(
        call_context=call_context_of(Context(business_id=""), remaining_ms=1),
        request=shop.create_request(),
    )
    items = [item] * 1
    batch = trade_service_pb2.BatchCreateTradesRequest(items=items)
    # A merchant that is not remembered costs a query: by then the millisecond is over.
    shop_cache_s = 5.1
    await asyncio.sleep(shop_cache_s)
    response = await shop.trades.BatchCreateTrades(batch)
    found = read_refusal(response.results[0].error, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert found.reason == "DEADLINE_PASSED"


# Callbacks


def signed(plan: MeshPlan, body: bytes, *, timestamp: int | None = None) -> dict[str, str]:
    """Headers as the sandbox itself would make them, with its own key."""
    signer = Signer((Path(plan.home) / "keys" / "sandbox.pem").read_bytes())
    at = int(time.time()) if timestamp is None else timestamp
    return signer.sign_message(timestamp=at, nonce=uuid.uuid4().hex, body=body)


def callback_body(request_no: str) -> bytes:
    return (
        b'{"id":"evt_%s","create_time":"2026-01-01T00:00:00.000+00:00",'
        b'"event_type":"TRANSACTION.SUCCESS","resource":{"out_trade_no":"%s",'
        b'"transaction_id":"t1","trade_state":"SUCCESS","amount":1234,"currency":"EUR",'
        b'"success_time":"2026-01-01T00:00:00.000+00:00"}}'
    ) % (uuid.uuid4().hex.encode(), request_no.encode())


async def post(plan: MeshPlan, body: bytes, headers: dict[str, str], path: str = "sandbox") -> Any:
    url = f"{plan.ingress_url}/callbacks/{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers) as response,
    ):
        return response.status, (await response.json()).get("reason")


async def test_callbacks_that_must_not_be_believed_write_nothing(
    shop: Shop, sandboxed_plan: MeshPlan, nothing_written: None
) -> None:
    """Forged, stale, from the future, malformed, oversized, encoded, unreadable, for nobody."""
    plan, body = sandboxed_plan, callback_body("a" * 28)
    good = signed(plan, body)
    now = int(time.time())
    forged = good | {"Sandbox-Signature": signed(plan, b"something else")["Sandbox-Signature"]}
    assert await post(plan, body, forged) == (401, "FORGED_SIGNATURE")
    assert await post(plan, body + b" ", good) == (401, "FORGED_SIGNATURE")
    stale = signed(plan, body, timestamp=now - 301)
    assert await post(plan, body, stale) == (401, "STALE_TIMESTAMP")
    future = signed(plan, body, timestamp=now + 900)
    assert await post(plan, body, future) == (401, "STALE_TIMESTAMP")
    assert await post(plan, body, {}) == (401, "MALFORMED_SIGNATURE")
    assert await post(plan, b"x" * 65_537, good) == (413, "TOO_LARGE")
    assert await post(plan, body, good | {"Content-Encoding": "gzip"}) == (415, "ENCODED")
    odd = b'{"id": 1}'
    assert await post(plan, odd, signed(plan, odd)) == (400, "UNREADABLE")
    assert await post(plan, body, good, path="nobody") == (404, "CHANNEL_NOT_OFFERED")


async def test_a_replayed_callback_is_answered_2xx_and_counts_once(
    shop: Shop, sandboxed_plan: MeshPlan
) -> None:
    """Also one for an order that we do not know: it is kept, once, as unmatched."""
    body = callback_body("b" * 28)
    before = count_rows(sandboxed_plan)
    for _ in range(3):
        assert await post(sandboxed_plan, body, signed(sandboxed_plan, body)) == (200, None)
    after = count_rows(sandboxed_plan)
    assert after["gateway.callback"] - before["gateway.callback"] == 1
    assert after["gateway.channel_order"] == before["gateway.channel_order"]
