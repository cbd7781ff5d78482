"""TradeService: message ↔ command, nothing more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from payments.trade.v1 import trade_service_pb2, trade_service_pb2_grpc

from paymesh.app import Core
from paymesh.chains import Look
from paymesh.context import Call
from paymesh.ids import bucket_of, new_id, shard_of
from paymesh.items import RequestClaim
from paymesh.money import known_currency
from paymesh.rpc import RpcContext, batch, claim, current_call, run, started
from paymesh.tools import ToolKind
from paymesh.wire import money_of, time_asked, tools_of
from trade_svc.clients import Withdrawable
from trade_svc.merchants.readers import BusinessCodes, Merchants, ShutMerchants
from trade_svc.trades.domain import start_payment
from trade_svc.trades.model import (
    BookTrade,
    CloseReason,
    CloseTrade,
    CreateTrade,
    PayTrade,
    RefundTrade,
    StartPayment,
    TradeView,
)
from trade_svc.trades.refusals import TradeTypeNotOffered
from trade_svc.types import TRADE_TYPES
from trade_svc.types.declaration import AttemptState
from trade_svc.wire import refund_to, trade_to, type_of

START_WAIT_S = 2.0
"""How long PayTrade and RefundTrade wait for the credential, or for what a balance says."""


class TradeServicer(trade_service_pb2_grpc.TradeServiceServicer):
    def __init__(
        self,
        trades: Core[TradeView],
        merchants: Merchants,
        codes: BusinessCodes,
        shut: ShutMerchants,
        *,
        chains: Look,
        withdrawable: Withdrawable,
    ) -> None:
        self._trades, self._merchants, self._codes, self._shut = trades, merchants, codes, shut
        self._chains, self._withdrawable = chains, withdrawable

    async def CreateTrade(
        self, request: trade_service_pb2.CreateTradeRequest, context: RpcContext
    ) -> trade_service_pb2.CreateTradeResponse:
        return await self._create(current_call.get(), request)

    async def BatchCreateTrades(
        self, request: trade_service_pb2.BatchCreateTradesRequest, context: RpcContext
    ) -> trade_service_pb2.BatchCreateTradesResponse:
        result = trade_service_pb2.BatchCreateTradesResult
        results = await batch(request.items, self._create, result, edge=True)
        return trade_service_pb2.BatchCreateTradesResponse(results=results)

    async def PayTrade(
        self, request: trade_service_pb2.PayTradeRequest, context: RpcContext
    ) -> trade_service_pb2.PayTradeResponse:
        return await self._pay(current_call.get(), request)

    async def BatchPayTrades(
        self, request: trade_service_pb2.BatchPayTradesRequest, context: RpcContext
    ) -> trade_service_pb2.BatchPayTradesResponse:
        result = trade_service_pb2.BatchPayTradesResult
        results = await batch(request.items, self._pay, result, edge=True)
        return trade_service_pb2.BatchPayTradesResponse(results=results)

    async def CloseTrade(
        self, request: trade_service_pb2.CloseTradeRequest, context: RpcContext
    ) -> trade_service_pb2.CloseTradeResponse:
        call = current_call.get()
        response = trade_service_pb2.CloseTradeResponse
        done = await run(
            self._trades.submit,
            CloseTrade(request.trade_id, request.merchant_id, CloseReason.REQUESTED, call.context),
            call,
            _claim("CloseTrade", request),
            lambda view: response(trade=trade_to(view)),
            response,
        )
        return done.reply

    async def RefundTrade(
        self, request: trade_service_pb2.RefundTradeRequest, context: RpcContext
    ) -> trade_service_pb2.RefundTradeResponse:
        known_currency(request.amount.currency_code, field="amount.currency_code")
        bucket = shard_of(request.trade_id)
        command = RefundTrade(
            trade_id=request.trade_id,
            merchant_id=request.merchant_id,
            refund_id=new_id("rfd", bucket=bucket),
            payment_id=new_id("pay", bucket=bucket),
            business_id=new_id("biz", bucket=bucket),
            amount=money_of(request.amount),
            reason=request.reason,
        )
        response = trade_service_pb2.RefundTradeResponse
        call = current_call.get()
        done = await run(
            self._trades.submit,
            command,
            call,
            _claim("RefundTrade", request),
            lambda answer: response(
                trade=trade_to(answer[0], refund=answer[1]), refund=refund_to(answer[1])
            ),
            response,
        )
        return await self._refund(done.state, done.reply.refund.payment_id, call)

    async def GetTrade(
        self, request: trade_service_pb2.GetTradeRequest, context: RpcContext
    ) -> trade_service_pb2.GetTradeResponse:
        view = await self._trades.load(request.trade_id)
        view.of_merchant(request.trade_id, request.merchant_id)
        return trade_service_pb2.GetTradeResponse(trade=trade_to(view))

    async def _create(
        self, call: Call, request: trade_service_pb2.CreateTradeRequest
    ) -> trade_service_pb2.CreateTradeResponse:
        known_currency(request.amount.currency_code, field="amount.currency_code")
        type_ = type_of(request.type)
        if type_ not in TRADE_TYPES:
            raise TradeTypeNotOffered(f"trades of type {type_} are not offered")
        merchant = await self._merchants.get(request.merchant_id)
        call = await started(
            call,
            self._chains,
            merchant_id=request.merchant_id,
            order_type=request.order_type,
            sub_type=request.sub_type,
            pay_org_no=request.pay_org_no,
        )
        await self._codes.require(call.context)
        response = trade_service_pb2.CreateTradeResponse
        command = CreateTrade(
            trade_id=new_id("trd", bucket=bucket_of(request.merchant_id)),
            context=call.context,
            type=type_,
            merchant_order_no=request.merchant_order_no,
            amount=money_of(request.amount),
            subject=request.subject,
            payer_id=request.payer_id,
            payee_id=request.payee_id,
            beneficiary_id=request.beneficiary_id,
            beneficiary_refused=await self._withdrawable(
                request.beneficiary_id, merchant_id=request.merchant_id, owner_id=request.payer_id
            ),
            expires_at=time_asked(request, "expire_time"),
            shut=await self._shut.get(),
            wallet_scope=merchant.wallet_scope,
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

    async def _pay(
        self, call: Call, request: trade_service_pb2.PayTradeRequest
    ) -> trade_service_pb2.PayTradeResponse:
        for index, tool in enumerate(request.tools):
            field = f"tools[{index}].amount.currency_code"
            known_currency(tool.amount.currency_code, field=field)
        response = trade_service_pb2.PayTradeResponse
        command = PayTrade(
            trade_id=request.trade_id,
            merchant_id=request.merchant_id,
            payment_id=new_id("pay", bucket=shard_of(request.trade_id)),
            tools=tools_of(request.tools),
            shut=await self._shut.get(),
        )
        done = await run(
            self._trades.submit,
            command,
            call,
            _claim("PayTrade", request),
            lambda answer: response(trade=trade_to(answer[0]), payment_id=answer[1]),
            response,
        )
        reply = response()
        reply.CopyFrom(done.reply)
        reply.credential_id = await self._credential(done.state, reply.payment_id, call)
        if any(tool.kind is ToolKind.BALANCE for tool in command.tools):
            # A balance has answered by now, in most cases: the payer learns what it said.
            reply.trade.CopyFrom(trade_to(await self._booked(request.trade_id, call)))
        return reply

    async def _credential(self, view: TradeView, payment_id: str, call: Call) -> str:
        """The payment's credential if it comes in time; else empty: the payment is accepted."""
        attempt = view.attempt(payment_id)
        assert view.trade is not None
        if attempt.state is not AttemptState.PROCESSING:
            return ""
        wait_s = min(START_WAIT_S, 0.8 * (call.deadline - time.monotonic()))
        effect = start_payment(view.trade, attempt)
        [credential_id] = await self._trades.executor.execute([effect], timeout_s=wait_s)
        return credential_id or ""

    async def _booked(self, trade_id: str, call: Call) -> TradeView:
        """The trade as it is once it is booked, or when there is no more time to wait for that."""
        view = await self._trades.load(trade_id)
        return await self._waited(view, call, lambda effect: isinstance(effect, BookTrade))

    async def _refund(
        self, view: TradeView, payment_id: str, call: Call
    ) -> trade_service_pb2.RefundTradeResponse:
        """The answer with what the merchant's money says to the refund, if that comes in time."""

        def carries_it_out(effect: object) -> bool:
            return isinstance(effect, StartPayment) and effect.payment_id == payment_id

        view = await self._waited(view, call, carries_it_out)
        refund = view.refund_by(payment_id)
        assert refund is not None
        return trade_service_pb2.RefundTradeResponse(
            trade=trade_to(view, refund=refund), refund=refund_to(refund)
        )

    async def _waited(self, view: TradeView, call: Call, of: Callable[[object], bool]) -> TradeView:
        """The trade once such effects were carried out; as it was, where it owes none."""
        owed = self._trades.shell.owed(view, self._trades.clock.now())
        effects = [effect for effect in owed if of(effect)]
        if not effects:
            return view
        wait_s = min(START_WAIT_S, 0.8 * (call.deadline - time.monotonic()))
        await self._trades.executor.execute(effects, timeout_s=wait_s)
        assert view.trade is not None
        return await self._trades.load(view.trade.id)


def _claim(method: str, request: Any) -> RequestClaim:
    """Of what is asked about a trade: who names another merchant has his answers from nobody."""
    owner = f"{request.trade_id} {request.merchant_id}"
    return claim(method, owner, request, request.request_id)
