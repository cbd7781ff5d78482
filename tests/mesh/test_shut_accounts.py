"""Accounts that are frozen or closed: what can be refused is, and what has come is kept."""

from __future__ import annotations

import grpc
import pytest
from payments.clearing.v1 import ledger_service_pb2
from payments.trade.v1 import trade_pb2
from payments.type.v1 import account_pb2, context_pb2

from paymesh.server import CONTEXT_METADATA
from paymesh_ops.clients.requests import (
    RPC_TIMEOUT_S,
    by_balance,
    by_channel,
    eventually,
    money,
    request_id,
)
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet
from tests.mesh.flows import PAID, REFUNDED, filled, lines
from tests.mesh.refusals import Refusal, refusal

pytestmark = pytest.mark.slow

METADATA = [(CONTEXT_METADATA, context_pb2.Context(business_id="biz_by_hand").SerializeToString())]
SHUT = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN", ("merchant_id",))


async def become(shop: Shop, subject: str, owner: str, status: str) -> None:
    """An operator freezes, closes or opens somebody's account."""
    created = await shop.ledger.CreateAccount(
        ledger_service_pb2.CreateAccountRequest(
            request_id=request_id(),
            account=account_pb2.AccountRef(subject=subject, owner=owner),
            currency_code="EUR",
        ),
        metadata=METADATA,
        timeout=RPC_TIMEOUT_S,
    )
    request = ledger_service_pb2.SetAccountStatusRequest(
        request_id=request_id(),
        account_id=created.account.account_id,
        status=f"ACCOUNT_STATUS_{status}",
        why="by order of a court",
    )
    await shop.ledger.SetAccountStatus(request, metadata=METADATA, timeout=RPC_TIMEOUT_S)


async def has(shop: Shop, subject: str, owner: str, minor: int) -> None:
    """Waits until somebody's account has so much."""
    request = ledger_service_pb2.GetAccountRequest(
        subject=subject, owner=owner, currency_code="EUR"
    )

    async def look() -> bool | None:
        try:
            found = await shop.ledger.GetAccount(request, timeout=RPC_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None  # it opens with its first entry
        return True if found.account.balance.minor_units == minor else None

    await eventually(f"{minor} on {subject}", look, timeout_s=shop.patience_s)


async def test_a_transfer_to_who_takes_nothing_is_refused_before_anything_moves(shop: Shop) -> None:
    ada, bob = await filled(shop, 5000), await filled(shop, 100)
    await become(shop, "USER_BALANCE", bob.owner, "FROZEN_IN")
    trade = await ada.sends(bob, 1500)
    assert trade.state == trade_pb2.TRADE_STATE_PENDING
    [attempt] = trade.attempts
    assert (attempt.failure_reason, attempt.state) == (
        "ACCOUNT_NOT_OPEN",
        trade_pb2.ATTEMPT_STATE_FAILED,
    )
    assert await shop.journals(trade, 0) == []
    await ada.has(5000)


@pytest.mark.parametrize("status", ["FROZEN_IN", "CLOSED"])
async def test_a_merchant_whose_account_takes_nothing_sells_nothing(
    shop: Shop, status: str
) -> None:
    """Neither anew, nor what it had on offer; in that currency, and until it is open again."""
    before = await shop.order(1000)
    await become(shop, "MERCHANT_PENDING", shop.merchant_id, status)

    async def refused() -> Refusal | None:
        try:
            await shop.trades.CreateTrade(shop.create_request(), timeout=RPC_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            create = shop.trades.CreateTrade(shop.create_request(), timeout=RPC_TIMEOUT_S)
            return await refusal(create)
        return None

    assert await eventually("refusal", refused, timeout_s=shop.patience_s) == SHUT
    paying = shop.pay_request(before)
    assert await refusal(shop.trades.PayTrade(paying, timeout=RPC_TIMEOUT_S)) == SHUT
    await shop.order(1000, currency="USD")
    await Wallet(shop).top_up(500)  # nothing of it is the merchant's

    await become(shop, "MERCHANT_PENDING", shop.merchant_id, "OPEN")

    async def taken() -> str | None:
        try:
            return str((await shop.trades.PayTrade(paying, timeout=RPC_TIMEOUT_S)).credential_id)
        except grpc.aio.AioRpcError:
            return None

    credential_id = await eventually("credential", taken, timeout_s=shop.patience_s)
    await shop.customer_pays(await shop.credential(credential_id))
    await shop.reaches(before, PAID)


async def test_what_is_paid_to_a_merchant_that_was_shut_meanwhile_is_kept_and_refunded_from_there(
    shop: Shop,
) -> None:
    """It pays its fee; a refund takes from it; the rest moves on once the account is open."""
    trade = await shop.order(10_000)
    credential = await shop.credential(await shop.start_payment(trade))
    await become(shop, "MERCHANT_PENDING", shop.merchant_id, "CLOSED")
    await shop.customer_pays(credential)
    await shop.reaches(trade, PAID)
    await has(shop, "MERCHANT_RETURNS_PAYABLE", shop.merchant_id, 9_940)
    back = await shop.refund(trade, 4_000)
    back = await shop.refund_reaches(trade, back, REFUNDED)
    assert lines(*await shop.journals(back, 1)) == [
        ("CHANNEL_RECEIVABLE", "credit", 4_000),
        ("MERCHANT_RETURNS_PAYABLE", "debit", 4_000),
    ]
    await become(shop, "MERCHANT_PENDING", shop.merchant_id, "OPEN")
    await has(shop, "MERCHANT_PENDING", shop.merchant_id, 5_940)
    await has(shop, "MERCHANT_RETURNS_PAYABLE", shop.merchant_id, 0)


async def test_a_refund_that_comes_back_to_a_merchant_that_is_shut_is_kept(shop: Shop) -> None:
    trade = await shop.reaches(await shop.purchase(10_000), PAID)
    await shop.faults({"next": {"refund": {"bounce": 1}}, "refund": {"bounce_ms": 1500}})
    back = await shop.refund_reaches(trade, await shop.refund(trade, 4_000), REFUNDED)
    await become(shop, "MERCHANT_PENDING", shop.merchant_id, "FROZEN_IN")
    await shop.refund_reaches(trade, back, trade_pb2.REFUND_STATE_RETURNED)
    await has(shop, "MERCHANT_RETURNS_PAYABLE", shop.merchant_id, 4_000)
    await become(shop, "MERCHANT_PENDING", shop.merchant_id, "OPEN")
    await has(shop, "MERCHANT_PENDING", shop.merchant_id, 9_940)
    await shop.faults({})


async def test_what_comes_back_to_a_user_who_takes_nothing_is_kept_and_moves_on(
    shop: Shop,
) -> None:
    """A top-up, a bounced withdrawal and a refund: all end well, and nothing is parked."""
    ada = await filled(shop, 5_000)
    bought = await shop.order(1_000, payer_id=ada.user)
    tools = [by_channel(money(700)), by_balance(money(300))]
    credential = await shop.credential(await shop.start_payment(bought, tools=tools))
    await shop.customer_pays(credential)
    await shop.reaches(bought, PAID)
    await ada.has(4_700)
    await become(shop, "USER_BALANCE", ada.owner, "FROZEN_IN")
    withdrawn = await ada.withdraws(3_000, to_account="DE0012340003")
    await shop.reaches(withdrawn, trade_pb2.TRADE_STATE_RETURNED)
    await shop.refund_reaches(bought, await shop.refund(bought, 1_000), REFUNDED)
    topped_up = await ada.top_up(50)
    await shop.reaches(topped_up, PAID)
    await has(shop, "USER_RETURNS_PAYABLE", ada.owner, 3_000 + 300 + 50)
    await ada.has(1_700)
    await become(shop, "USER_BALANCE", ada.owner, "OPEN")
    await ada.has(5_050)
