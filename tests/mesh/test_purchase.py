"""The main job: a purchase from the business order to the booked journal and the told merchant."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from payments.gateway.v1 import channel_pb2, channel_service_pb2
from payments.trade.v1 import trade_pb2

from paymesh_ops.clients.requests import RPC_TIMEOUT_S, eventually
from paymesh_ops.clients.shop import Shop
from tests.mesh.flows import expiring

BOOKED = [
    "pay.instruction.succeeded/collect",
    "trade.trade.paid/attribution",
    "trade.trade.paid/fee",
]


async def test_a_purchase_is_paid_booked_and_notified(shop: Shop) -> None:
    """12.34 EUR: collected, attributed, a fee of 0.6 % (0.07), and a signed notification."""
    trade = await shop.purchase(1234)
    paid = await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    journals = await shop.journals(trade, 3)
    message = await shop.hears(trade, "trade.paid")

    assert sorted(j.event_type for j in journals) == BOOKED
    lines = {
        (e.subject, e.side): e.amount.minor_units
        for j in journals
        for e in j.entries
        if j.event_type.endswith("/fee")
    }
    assert lines == {("MERCHANT_PENDING", 1): 7, ("FEE_INCOME", 2): 7}
    assert message["trade"]["amount"] == {"currency_code": "EUR", "minor_units": 1234}
    assert message["version"] == paid.version
    assert paid.paid_payment_id == paid.attempts[-1].payment_id


async def test_the_credential_streams_until_the_channel_has_answered(shop: Shop) -> None:
    """WatchCredential ends with what the payer's device needs."""
    await shop.faults({"prepay": {"error_rate": 1}})
    credential_id = await shop.start_payment(await shop.order())
    request = channel_service_pb2.WatchCredentialRequest(credential_id=credential_id)
    states = []
    async for response in shop.gateway.WatchCredential(request, timeout=60):
        states.append(response.credential)
        if len(states) == 1:
            await shop.faults({})
    assert [c.state for c in states] == [
        channel_pb2.CREDENTIAL_STATE_PENDING,
        channel_pb2.CREDENTIAL_STATE_READY,
    ]
    assert states[-1].channel_fields["pay_url"].startswith("http://127.0.0.1:")


async def test_a_slow_channel_does_not_slow_the_answer(shop: Shop) -> None:
    """PayTrade gives the internal credential although the channel has not answered yet."""
    await shop.faults({"prepay": {"error_rate": 1}})
    credential_id = await shop.start_payment(await shop.order())
    request = channel_service_pb2.GetCredentialRequest(credential_id=credential_id)
    response = await shop.gateway.GetCredential(request, timeout=RPC_TIMEOUT_S)
    assert response.credential.state == channel_pb2.CREDENTIAL_STATE_PENDING


async def test_a_lost_callback_is_found_by_the_resolver(shop: Shop) -> None:
    """The channel is asked by our own reference."""
    await shop.faults({"next": {"callback": {"lost": 1}}})
    trade = await shop.purchase()
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    assert len(await shop.journals(trade, 3)) == 3


async def test_duplicated_callbacks_book_once(shop: Shop) -> None:
    """Five copies of each callback, at once."""
    await shop.faults({"callback": {"duplicate_times": 5}})
    trade = await shop.purchase()
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    await shop.hears(trade, "trade.paid")
    await asyncio.sleep(0.3)
    assert sorted(j.event_type for j in await shop.journals(trade, 3)) == BOOKED


async def test_an_answer_of_the_channel_that_is_lost_is_asked_for_again(shop: Shop) -> None:
    """The order stands at the channel; the same number is announced again and becomes one order."""
    await shop.faults({"next": {"prepay": {"timeout": 1}}})
    trade = await shop.purchase()
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    orders = [
        o
        for o in (await shop.book())["orders"]
        if o["out_trade_no"] in shop.request_nos[trade.trade_id]
    ]
    assert len(orders) == 1


async def test_an_expired_trade_is_closed_and_money_after_that_is_returned(shop: Shop) -> None:
    """Trade and channel order close by themselves; a late success is collected and given back."""
    await shop.faults({"next": {"pay": {"late_success": 1}}})
    trade, credential = await expiring(shop)
    await shop.reaches(trade, trade_pb2.TRADE_STATE_CLOSED)
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_CLOSED)
    await shop.hears(trade, "trade.closed")

    await shop.customer_pays(credential)
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_RETURNED)

    assert sorted(j.event_type for j in await shop.journals(trade, 2)) == [
        "pay.instruction.succeeded/collect",
        "pay.instruction.succeeded/refund",
    ]
    book = await shop.book()
    [refund] = [r for r in book["refunds"] if r["out_trade_no"] in shop.request_nos[trade.trade_id]]
    assert (refund["state"], refund["amount"]) == ("SUCCESS", 1234)


async def test_the_first_success_wins_and_the_second_is_returned(shop: Shop) -> None:
    """The payer starts twice and pays both: one pays the trade, the other goes back."""
    trade = await shop.order()
    first = await shop.credential(await shop.start_payment(trade))
    await shop.faults({"close": {"error_rate": 1}})  # the first attempt stays payable
    second = await shop.credential(await shop.start_payment(trade))
    await shop.customer_pays(second)
    paid = await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    await shop.customer_pays(first)

    wanted = {trade_pb2.ATTEMPT_STATE_SUCCEEDED, trade_pb2.ATTEMPT_STATE_RETURNED}

    async def are_over() -> bool | None:
        attempts = (await shop.trade(trade.trade_id)).attempts
        return {attempt.state for attempt in attempts} == wanted or None

    await eventually("end of both attempts", are_over, timeout_s=shop.patience_s)
    assert paid.paid_payment_id == (await shop.trade(trade.trade_id)).paid_payment_id


async def test_a_wrong_amount_never_pays_a_trade(shop: Shop) -> None:
    """The payer pays one cent more: the money stands in suspense, and the merchant sees it; the
    trade stays unpaid, and can be paid."""
    await shop.faults({"next": {"pay": {"wrong_amount": 1}}})
    trade = await shop.purchase()
    [journal] = await shop.journals(trade, 1)
    assert {e.subject for e in journal.entries} == {"CHANNEL_RECEIVABLE", "SUSPENSE"}
    assert {e.amount.minor_units for e in journal.entries} == {1235}
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_SUSPENDED)
    found = await shop.trade(trade.trade_id)
    assert found.state == trade_pb2.TRADE_STATE_PENDING
    assert found.attempts[0].failure_reason == "AMOUNT_MISMATCH"
    await shop.faults({})
    await shop.customer_pays(await shop.credential(await shop.start_payment(trade)))
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)


@pytest.mark.parametrize("subject", ["", "书" * 128, "Books\u3000and more", "📚" * 128])
async def test_what_is_only_shown_is_fitted_to_the_channel(shop: Shop, subject: str) -> None:
    """The channel takes 1 to 127 printable characters."""
    trade = await shop.purchase(subject=subject)
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    assert (await shop.trade(trade.trade_id)).subject == subject


async def test_a_callback_with_a_wrong_amount_is_not_believed(shop: Shop) -> None:
    """The callback says one cent more than the channel's own books: the channel is asked."""
    await shop.faults({"next": {"callback": {"wrong_amount": 1}}})
    trade = await shop.purchase()
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    journals = await shop.journals(trade, 3)
    collected = next(j for j in journals if j.event_type.endswith("/collect"))
    assert {e.amount.minor_units for e in collected.entries} == {1234}


async def test_a_merchant_that_answers_500_is_told_again(shop: Shop) -> None:
    """The notification climbs the ladder with the same id."""
    shop.refuse_notifications = 2
    trade = await shop.purchase()
    message = await shop.hears(trade, "trade.paid")
    assert message["trade"]["state"] == "PAID"
    assert shop.refuse_notifications == 0


async def test_the_same_request_gets_the_same_answer(shop: Shop) -> None:
    """Creating and paying are replayed, not repeated."""
    create = shop.create_request()
    trades = [
        (await shop.trades.CreateTrade(create, timeout=RPC_TIMEOUT_S)).trade for _ in range(2)
    ]
    assert trades[0] == trades[1]
    pay = shop.pay_request(trades[0])
    answers = [await shop.trades.PayTrade(pay, timeout=RPC_TIMEOUT_S) for _ in range(2)]
    assert answers[0].payment_id == answers[1].payment_id
    assert answers[0].credential_id == answers[1].credential_id
    assert len((await shop.trade(trades[0].trade_id)).attempts) == 1


async def test_closing_and_paying_race_to_one_end(shop: Shop) -> None:
    """Whoever comes first wins; the other is refused, and nothing is half done."""
    for _ in range(5):
        trade = await shop.order()
        close = shop.close_request(trade)
        answers = await asyncio.gather(
            shop.trades.PayTrade(shop.pay_request(trade), timeout=RPC_TIMEOUT_S),
            shop.trades.CloseTrade(close, timeout=RPC_TIMEOUT_S),
            return_exceptions=True,
        )
        assert not isinstance(answers[1], Exception)
        if isinstance(answers[0], grpc.aio.AioRpcError):
            assert answers[0].code() is grpc.StatusCode.FAILED_PRECONDITION
        await shop.reaches(trade, trade_pb2.TRADE_STATE_CLOSED)


@pytest.mark.parametrize(
    ("currency", "minor_units"), [("JPY", 1), ("KWD", 1), ("EUR", 2**53 + 1), ("EUR", 10**16)]
)
async def test_amounts_at_the_edges_are_exact(shop: Shop, currency: str, minor_units: int) -> None:
    """One minor unit of a currency without and with three decimals, and beyond a float's reach."""
    trade = await shop.order(minor_units, currency=currency)
    assert (trade.amount.currency_code, trade.amount.minor_units) == (currency, minor_units)
    credential = await shop.credential(await shop.start_payment(trade))
    await shop.customer_pays(credential)
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    journals = await shop.journals(trade, 2)
    collected = next(j for j in journals if j.event_type.endswith("/collect"))
    assert {e.amount.minor_units for e in collected.entries} == {minor_units}
