"""TradeService and MerchantService: message ↔ command, nothing more."""

from __future__ import annotations

import time
from typing import Any

from payments.trade.v1 import (
    merchant_service_pb2,
    merchant_service_pb2_grpc,
    trade_service_pb2,
    trade_service_pb2_grpc,
)

from paymesh.app import Core
from paymesh.context import Call
from paymesh.errors import InvalidField, NotFound
from paymesh.ids import bucket_of, new_id, shard_of
from paymesh.money import known_currency
from paymesh.rpc import batch, claim, current_call, run, started
from paymesh.secretbox import SecretBox
from paymesh.wire import money_of, time_of, tools_of
from trade_svc.domain import start_payment
from trade_svc.merchants import CreateMerchant, Merchant, MerchantView
from trade_svc.model import (
    TRADE_KINDS,
    AttemptState,
    CloseReason,
    CloseTrade,
    CreateTrade,
    PayTrade,
    TradeTypeNotOffered,
    TradeView,
)
from trade_svc.wire import merchant_to, trade_to, type_of

CREDENTIAL_WAIT_S = 2.0
"""How long PayTrade waits for the credential before it answers without."""
MERCHANT_CACHE_S = 5.0
MERCHANTS_CACHED_MAX = 10_000


class Merchants:
    """Merchants by id, remembered for a few seconds."""

    def __init__(self, core: Core[MerchantView]) -> None:
        self._core = core
        self._known: dict[str, tuple[float, Merchant]] = {}

    async def get(self, merchant_id: str) -> Merchant:
        """Raises NotFound, naming the field."""
        found = self._known.get(merchant_id)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        view = await self._core.load(merchant_id) if merchant_id.startswith("mer_") else None
        if view is None or view.merchant is None:
            raise NotFound(
                f"no merchant {merchant_id!r}; register it with MerchantService.CreateMerchant",
                metadata={"field": "merchant_id"},
            )
        if len(self._known) >= MERCHANTS_CACHED_MAX:
            self._known.clear()
        self._known[merchant_id] = (time.monotonic() + MERCHANT_CACHE_S, view.merchant)
        return view.merchant


class TradeServicer(trade_service_pb2_grpc.TradeServiceServicer):
    def __init__(self, trades: Core[TradeView], merchants: Merchants) -> None:
        self._trades, self._merchants = trades, merchants

    async def CreateTrade(self, request: Any, context: Any) -> Any:
        return await self._create(current_call.get(), request)

    async def BatchCreateTrades(self, request: Any, context: Any) -> Any:
        result = trade_service_pb2.BatchCreateTradesResult
        results = await batch(request.items, self._create, result, edge=True)
        return trade_service_pb2.BatchCreateTradesResponse(results=results)

    async def PayTrade(self, request: Any, context: Any) -> Any:
        return await self._pay(current_call.get(), request)

    async def BatchPayTrades(self, request: Any, context: Any) -> Any:
        result = trade_service_pb2.BatchPayTradesResult
        results = await batch(request.items, self._pay, result, edge=True)
        return trade_service_pb2.BatchPayTradesResponse(results=results)

    async def CloseTrade(self, request: Any, context: Any) -> Any:
        call = current_call.get()
        response = trade_service_pb2.CloseTradeResponse
        done = await run(
            self._trades.submit,
            CloseTrade(request.trade_id, CloseReason.REQUESTED, call.context),
            call,
            claim("CloseTrade", request.trade_id, request, request.request_id),
            lambda view: response(trade=trade_to(view)),
            response,
        )
        return done.reply

    async def GetTrade(self, request: Any, context: Any) -> Any:
        view = await self._trades.load(request.trade_id)
        if view.trade is None:
            raise NotFound(f"no trade {request.trade_id}", metadata={"field": "trade_id"})
        return trade_service_pb2.GetTradeResponse(trade=trade_to(view))

    async def _create(self, call: Call, request: Any) -> Any:
        known_currency(request.amount.currency_code, field="amount.currency_code")
        kind = type_of(request.type)
        if kind not in TRADE_KINDS:
            raise TradeTypeNotOffered(f"trades of type {kind} are not offered")
        await self._merchants.get(request.merchant_id)
        call = started(
            call,
            merchant_id=request.merchant_id,
            order_type=request.order_type,
            sub_type=request.sub_type,
            pay_org_no=request.pay_org_no,
        )
        response = trade_service_pb2.CreateTradeResponse
        command = CreateTrade(
            trade_id=new_id("trd", bucket=bucket_of(request.merchant_id)),
            context=call.context,
            type=kind,
            merchant_order_no=request.merchant_order_no,
            amount=money_of(request.amount),
            subject=request.subject,
            payer_id=request.payer_id,
            expires_at=_expire_time(request),
        )
        done = await run(
            self._trades.submit,
            command,
            call,
            claim("CreateTrade", request.merchant_id, request, request.request_id),
            lambda view: response(trade=trade_to(view)),
            response,
        )
        return done.reply

    async def _pay(self, call: Call, request: Any) -> Any:
        for index, tool in enumerate(request.tools):
            field = f"tools[{index}].amount.currency_code"
            known_currency(tool.amount.currency_code, field=field)
        response = trade_service_pb2.PayTradeResponse
        command = PayTrade(
            trade_id=request.trade_id,
            payment_id=new_id("pay", bucket=shard_of(request.trade_id)),
            tools=tools_of(request.tools),
        )
        done = await run(
            self._trades.submit,
            command,
            call,
            claim("PayTrade", request.trade_id, request, request.request_id),
            lambda answer: response(trade=trade_to(answer[0]), payment_id=answer[1]),
            response,
        )
        reply = response()
        reply.CopyFrom(done.reply)
        reply.credential_id = await self._credential(done.state, reply.payment_id, call)
        return reply

    async def _credential(self, view: TradeView, payment_id: str, call: Call) -> str:
        """The payment's credential if it comes in time; else empty: the payment is accepted."""
        attempt = view.attempt(payment_id)
        assert view.trade is not None
        if attempt.state is not AttemptState.PROCESSING:
            return ""
        wait_s = min(CREDENTIAL_WAIT_S, 0.8 * (call.deadline - time.monotonic()))
        effect = start_payment(view.trade, attempt)
        [credential_id] = await self._trades.executor.settle([effect], timeout_s=wait_s)
        return credential_id or ""


class MerchantServicer(merchant_service_pb2_grpc.MerchantServiceServicer):
    def __init__(self, core: Core[MerchantView], box: SecretBox) -> None:
        self._core, self._box = core, box

    async def CreateMerchant(self, request: Any, context: Any) -> Any:
        merchant_id = new_id("mer", bucket=bucket_of(request.request_id))
        call = started(current_call.get(), merchant_id=merchant_id)
        response = merchant_service_pb2.CreateMerchantResponse
        command = CreateMerchant(
            merchant_id=merchant_id,
            context=call.context,
            display_name=request.display_name,
            notify_url=request.notify_url,
            sealed_notify_secret=self._box.seal(request.notify_secret, belongs_to=merchant_id),
        )
        done = await run(
            self._core.submit,
            command,
            call,
            claim("CreateMerchant", "", request, request.request_id),
            lambda merchant: response(merchant=merchant_to(merchant)),
            response,
        )
        return done.reply

    async def GetMerchant(self, request: Any, context: Any) -> Any:
        view = await self._core.load(request.merchant_id)
        if view.merchant is None:
            raise NotFound(f"no merchant {request.merchant_id}", metadata={"field": "merchant_id"})
        return merchant_service_pb2.GetMerchantResponse(merchant=merchant_to(view.merchant))


def _expire_time(request: Any) -> Any:
    if not request.HasField("expire_time"):
        return None
    try:
        return time_of(request.expire_time)
    except ValueError as error:
        raise InvalidField("expire_time", "is not a time between the years 1 and 9999") from error
