"""A merchant's client that names what is another's finds nothing, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from payments.clearing.v1 import ledger_service_pb2
from payments.pay.v1 import beneficiary_service_pb2, payment_service_pb2, payment_service_pb2_grpc
from payments.trade.v1 import merchant_service_pb2, trade_pb2, trade_service_pb2
from payments.type.v1 import account_pb2

from paymesh.app import App
from paymesh.channel import open_channel
from paymesh.context import Context
from paymesh.ids import new_id
from paymesh.server import CONTEXT_METADATA
from paymesh.wire import context_to
from paymesh_ops.clients.requests import RPC_TIMEOUT_S, by_balance, money, request_id
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet
from paymesh_ops.launch.mesh import MeshPlan
from tests.mesh.conftest import shop_of
from tests.mesh.refusals import Refusal, read_refusal, refusal

pytestmark = pytest.mark.slow

NOT_FOUND = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ())
SECRET = bytes(range(32))


@pytest.fixture
async def other(apps: dict[str, App], sandboxed_plan: MeshPlan) -> AsyncIterator[Shop]:
    """Another merchant's business system."""
    async with shop_of(sandboxed_plan) as other:
        yield other


@pytest.fixture
async def trade(shop: Shop) -> trade_pb2.Trade:
    """One that is paid, and at rest."""
    return await shop.reaches(await shop.purchase(1000), trade_pb2.TRADE_STATE_PAID)


@pytest.fixture
async def unpaid(shop: Shop) -> trade_pb2.Trade:
    return await shop.order(1000)


@pytest.fixture
def ada(shop: Shop) -> Wallet:
    return Wallet(shop)


@pytest.fixture
async def beneficiary_id(ada: Wallet) -> str:
    return await ada.beneficiary()


Asks = Callable[[Shop, trade_pb2.Trade], Awaitable[Any]]


def gets(shop: Shop, trade: trade_pb2.Trade) -> Awaitable[Any]:
    return shop.trade(trade.trade_id)


def pays(shop: Shop, trade: trade_pb2.Trade) -> Awaitable[Any]:
    return shop.trades.PayTrade(shop.pay_request(trade), timeout=RPC_TIMEOUT_S)


def closes(shop: Shop, trade: trade_pb2.Trade) -> Awaitable[Any]:
    return shop.trades.CloseTrade(shop.close_request(trade), timeout=RPC_TIMEOUT_S)


def refunds(shop: Shop, trade: trade_pb2.Trade) -> Awaitable[Any]:
    request = shop.refund_request(trade.trade_id, money(10))
    return shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)


@pytest.mark.parametrize("asks", [gets, pays, closes, refunds])
async def test_another_merchants_trade_is_not_found(
    asks: Asks,
    other: Shop,
    trade: trade_pb2.Trade,
    unpaid: trade_pb2.Trade,
    nothing_written: None,
) -> None:
    for of in (trade, unpaid):
        assert await refusal(asks(other, of)) == NOT_FOUND


async def test_in_a_batch_it_is_its_item_alone(
    shop: Shop, other: Shop, unpaid: trade_pb2.Trade
) -> None:
    own = await other.order(500)
    item = trade_service_pb2.BatchPayTradesItem
    request = trade_service_pb2.BatchPayTradesRequest(
        items=[item(request=other.pay_request(of)) for of in (unpaid, own)]
    )
    first, second = (await other.trades.BatchPayTrades(request, timeout=RPC_TIMEOUT_S)).results
    assert read_refusal(first.error, grpc.StatusCode.NOT_FOUND) == NOT_FOUND
    assert second.response.payment_id
    assert (await shop.trade(unpaid.trade_id)).version == unpaid.version


async def test_the_answer_to_anothers_request_is_not_given_again(
    shop: Shop, other: Shop, trade: trade_pb2.Trade
) -> None:
    """Also to who has learned its request_id."""
    request = shop.refund_request(trade.trade_id, money(10))
    begun = (await shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)).refund
    request.merchant_id = other.merchant_id
    asked = other.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)
    assert await refusal(asked) == NOT_FOUND
    await shop.refund_reaches(trade, begun, trade_pb2.REFUND_STATE_SUCCEEDED)


def of_beneficiaries(asks: Shop, beneficiary_id: str, of: Shop, **asked: Any) -> list[Any]:
    """A merchant's calls that name a beneficiary."""
    pb, named = beneficiary_service_pb2, {"beneficiary_id": beneficiary_id}
    named["merchant_id"] = of.merchant_id
    return [
        asks.beneficiaries.GetBeneficiary(pb.GetBeneficiaryRequest(**named), **asked),
        asks.beneficiaries.DeleteBeneficiary(
            pb.DeleteBeneficiaryRequest(request_id=request_id(), **named), **asked
        ),
    ]


async def test_another_merchants_beneficiary_is_not_found(
    shop: Shop, other: Shop, ada: Wallet, beneficiary_id: str, nothing_written: None
) -> None:
    """Neither read, nor deleted, nor withdrawn to by a payer of the same name."""
    for call in of_beneficiaries(other, beneficiary_id, other, timeout=RPC_TIMEOUT_S):
        assert await refusal(call) == NOT_FOUND
    listed = beneficiary_service_pb2.ListBeneficiariesRequest(
        merchant_id=other.merchant_id, owner_id=ada.user
    )
    found = await other.beneficiaries.ListBeneficiaries(listed, timeout=RPC_TIMEOUT_S)
    assert list(found.beneficiaries) == []
    for asks, payer_id in ((other, ada.user), (shop, "somebody-else")):
        withdrawal = asks.create_request(
            type=trade_pb2.TRADE_TYPE_WITHDRAWAL, payer_id=payer_id, beneficiary_id=beneficiary_id
        )
        asked = asks.trades.CreateTrade(withdrawal, timeout=RPC_TIMEOUT_S)
        assert await refusal(asked) == NOT_FOUND


async def test_nobody_withdraws_to_a_deleted_beneficiary(
    shop: Shop, ada: Wallet, beneficiary_id: str
) -> None:
    """The same request is answered as it was, though."""
    withdrawal = shop.create_request(
        type=trade_pb2.TRADE_TYPE_WITHDRAWAL, payer_id=ada.user, beneficiary_id=beneficiary_id
    )
    made = await shop.trades.CreateTrade(withdrawal, timeout=RPC_TIMEOUT_S)
    delete = of_beneficiaries(shop, beneficiary_id, shop, timeout=RPC_TIMEOUT_S)[1]
    await delete
    assert await shop.trades.CreateTrade(withdrawal, timeout=RPC_TIMEOUT_S) == made
    withdrawal.request_id = request_id()
    withdrawal.merchant_order_no += "-2"
    gone = await refusal(shop.trades.CreateTrade(withdrawal, timeout=RPC_TIMEOUT_S))
    assert gone == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "BENEFICIARY_NOT_USABLE", ())


def chained(business_id: str) -> dict[str, Any]:
    """Of a call that goes on with a chain."""
    context = context_to(Context(business_id, ""), caller="shop").SerializeToString()
    return {"metadata": [(CONTEXT_METADATA, context)], "timeout": RPC_TIMEOUT_S}


async def test_a_chain_is_gone_on_with_by_whose_it_is(shop: Shop, trade: trade_pb2.Trade) -> None:
    asked = chained(trade.business_id)
    again = (await shop.trades.CreateTrade(shop.create_request(), **asked)).trade
    assert again.business_id == trade.business_id


async def test_another_merchants_chain_is_not_gone_on_with(
    shop: Shop, other: Shop, trade: trade_pb2.Trade, nothing_written: None
) -> None:
    """Nor one of nobody's."""
    pb, code = merchant_service_pb2, {"order_type": "web", "sub_type": "x", "pay_org_no": "1"}
    of: dict[str, Any] = {"request_id": request_id(), "merchant_id": other.merchant_id}
    register = pb.RegisterBusinessCodeRequest(**of, **code)
    rename = pb.UpdateMerchantRequest(**of, display_name="New")
    beneficiary = beneficiary_service_pb2.CreateBeneficiaryRequest(
        **of, owner_id="eve", channel="sandbox", account_no="DE0012345678", account_name="Eve"
    )
    create = pb.CreateMerchantRequest(
        request_id=request_id(), display_name="A new one", notify_secret=SECRET
    )
    for business_id in (trade.business_id, new_id("biz", bucket=1)):
        for call in (
            other.merchants.CreateMerchant(create, **chained(business_id)),
            other.trades.CreateTrade(other.create_request(), **chained(business_id)),
            other.merchants.RegisterBusinessCode(register, **chained(business_id)),
            other.merchants.UpdateMerchant(rename, **chained(business_id)),
            other.beneficiaries.CreateBeneficiary(beneficiary, **chained(business_id)),
        ):
            assert await refusal(call) == NOT_FOUND


async def test_another_merchants_payment_and_accounts_are_not_found(
    shop: Shop, other: Shop, trade: trade_pb2.Trade, sandboxed_plan: MeshPlan
) -> None:
    """Whoever names no merchant asks as the mesh, or as an operator."""
    ada = Wallet(shop)
    await ada.top_up(500)
    await ada.has(500)
    async with open_channel(shop.pay_target) as channel:
        payments: Any = payment_service_pb2_grpc.PaymentServiceStub(channel)

        def payment(merchant_id: str) -> Any:
            request = payment_service_pb2.GetPaymentRequest(
                payment_id=trade.paid_payment_id, merchant_id=merchant_id
            )
            return payments.GetPayment(request, timeout=RPC_TIMEOUT_S)

        assert await refusal(payment(other.merchant_id)) == NOT_FOUND
        for merchant_id in ("", shop.merchant_id):
            assert (await payment(merchant_id)).payment.trade_id == trade.trade_id

    def balance(subject: str, owner: str, merchant_id: str) -> list[Any]:
        account = account_pb2.AccountRef(subject=subject, owner=owner)
        of = {"currency_code": "EUR", "merchant_id": merchant_id}
        pb, ledger = ledger_service_pb2, shop.ledger
        one = pb.GetBalanceRequest(account=account, **of)
        two = pb.GetAccountRequest(subject=subject, owner=owner, **of)
        return [
            ledger.GetBalance(one, timeout=RPC_TIMEOUT_S),
            ledger.GetAccount(two, timeout=RPC_TIMEOUT_S),
        ]

    for named in (("USER_BALANCE", ada.owner), ("MERCHANT_PENDING", shop.merchant_id)):
        for call in balance(*named, other.merchant_id):
            assert await refusal(call) == NOT_FOUND
        for merchant_id in ("", shop.merchant_id):
            for call in balance(*named, merchant_id):
                await call
    for call in balance("BANK", "platform", shop.merchant_id):
        assert await refusal(call) == NOT_FOUND


async def test_a_payer_of_the_same_name_at_another_merchant_has_another_wallet(
    shop: Shop, other: Shop
) -> None:
    """Unless that merchant was created with the same scope."""
    tom = Wallet(shop, user="tom")
    await tom.top_up(1000)
    await tom.has(1000)
    elsewhere = await Wallet(other, user="tom").buys(300)
    assert elsewhere.state == trade_pb2.TRADE_STATE_PENDING
    assert elsewhere.attempts[0].failure_reason == "INSUFFICIENT_FUNDS"
    create = merchant_service_pb2.CreateMerchantRequest(
        request_id=request_id(),
        display_name="The Corner's Other Shop",
        notify_secret=SECRET,
        wallet_scope=shop.merchant_id,
    )
    sister = (await shop.merchants.CreateMerchant(create, timeout=RPC_TIMEOUT_S)).merchant
    assert sister.wallet_scope == shop.merchant_id
    code = merchant_service_pb2.RegisterBusinessCodeRequest(
        request_id=request_id(), merchant_id=sister.merchant_id, order_type=shop.order_type,
        sub_type=shop.sub_type, pay_org_no=shop.pay_org_no,
    )  # fmt: skip
    await shop.merchants.RegisterBusinessCode(code, timeout=RPC_TIMEOUT_S)
    order = shop.create_request(merchant_id=sister.merchant_id, payer_id="tom", amount=money(300))
    trade = (await shop.trades.CreateTrade(order, timeout=RPC_TIMEOUT_S)).trade
    pay = shop.pay_request(trade, merchant_id=sister.merchant_id, tools=[by_balance(money(300))])
    paid = (await shop.trades.PayTrade(pay, timeout=RPC_TIMEOUT_S)).trade
    assert paid.state in {trade_pb2.TRADE_STATE_PAID, trade_pb2.TRADE_STATE_PAYING}
    await tom.has(700)


async def test_a_scope_is_that_of_a_merchant(shop: Shop) -> None:
    create = merchant_service_pb2.CreateMerchantRequest(
        request_id=request_id(),
        display_name="Nobody's Shop",
        notify_secret=SECRET,
        wallet_scope=new_id("mer", bucket=1),
    )
    asked = shop.merchants.CreateMerchant(create, timeout=RPC_TIMEOUT_S)
    assert await refusal(asked) == NOT_FOUND


async def test_a_call_for_one_merchant_is_about_no_other(
    shop: Shop, other: Shop, beneficiary_id: str
) -> None:
    """Where the context says for whom it is: its endpoint, its secret, its codes, new trades."""
    context = context_to(Context("", other.merchant_id), caller="other").SerializeToString()
    asked: dict[str, Any] = {"metadata": [(CONTEXT_METADATA, context)], "timeout": RPC_TIMEOUT_S}
    of: dict[str, Any] = {"request_id": request_id(), "merchant_id": shop.merchant_id}
    pb = merchant_service_pb2
    code = {"order_type": "web", "sub_type": "x", "pay_org_no": "1"}
    calls = [
        shop.merchants.GetMerchant(pb.GetMerchantRequest(merchant_id=shop.merchant_id), **asked),
        shop.merchants.UpdateMerchant(
            pb.UpdateMerchantRequest(**of, display_name="Mine now"),
            **asked,
        ),
        shop.merchants.RotateSecret(pb.RotateSecretRequest(**of, notify_secret=SECRET), **asked),
        shop.merchants.RegisterBusinessCode(pb.RegisterBusinessCodeRequest(**of, **code), **asked),
        shop.trades.CreateTrade(shop.create_request(), **asked),
    ]
    for call in [*calls, *of_beneficiaries(other, beneficiary_id, shop, **asked)]:
        assert await refusal(call) == NOT_FOUND
    get = pb.GetMerchantRequest(merchant_id=shop.merchant_id)
    found = (await shop.merchants.GetMerchant(get, timeout=RPC_TIMEOUT_S)).merchant
    assert found.display_name != "Mine now"
    item = trade_service_pb2.BatchCreateTradesItem(request=shop.create_request())
    item.call_context.context.merchant_id = other.merchant_id
    batch = trade_service_pb2.BatchCreateTradesRequest(items=[item])
    [result] = (await shop.trades.BatchCreateTrades(batch, timeout=RPC_TIMEOUT_S)).results
    assert read_refusal(result.error, grpc.StatusCode.NOT_FOUND) == NOT_FOUND
