"""What trade, pay and gateway do: a transaction, a call or a message, a transaction."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from payments.gateway.v1 import channel_pb2, channel_service_pb2, channel_service_pb2_grpc
from payments.pay.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from payments.trade.v1 import trade_pb2, trade_service_pb2, trade_service_pb2_grpc
from payments.type.v1 import context_pb2, money_pb2
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from paymesh.ids import body_of, bucket_of, new_id, shard_of
from paymesh_ops.bench.naive.bus import Body
from paymesh_ops.bench.naive.models import (
    Attempt,
    Callback,
    Instruction,
    Order,
    Payment,
    Request,
    Trade,
)

Sessions = async_sessionmaker[AsyncSession]
Event = tuple[str, Body]
"""A routing key and what it tells."""
Publish = Callable[[str, Body], Awaitable[None]]

RPC_TIMEOUT_S = 10.0
CONTEXT_METADATA = "payments-context-bin"
BUSINESS_CODE = ("merchant_id", "order_type", "sub_type", "pay_org_no")
AS_ORDERED = (*BUSINESS_CODE, "merchant_order_no", "subject", "payer_id")
"""What a trade keeps of the request as it is."""


class Trades(trade_service_pb2_grpc.TradeServiceServicer):
    def __init__(self, sessions: Sessions, pay: Any) -> None:
        self._sessions, self._pay = sessions, pay

    async def CreateTrade(self, request: Any, context: Any) -> Any:
        trade = Trade(
            id=new_id("trd", bucket=bucket_of(request.merchant_id)),
            amount=request.amount.minor_units,
            currency=request.amount.currency_code,
            **{name: getattr(request, name) for name in AS_ORDERED},
        )
        try:
            async with self._sessions.begin() as session:
                session.add_all([trade, Request(request_id=request.request_id, trade_id=trade.id)])
        except IntegrityError:
            async with self._sessions() as session:
                answered = await session.get_one(Request, request.request_id)
                trade = await session.get_one(Trade, answered.trade_id)
        return trade_service_pb2.CreateTradeResponse(trade=_trade_to(trade))

    async def PayTrade(self, request: Any, context: Any) -> Any:
        payment_id = new_id("pay", bucket=shard_of(request.trade_id))
        async with self._sessions.begin() as session:
            trade = await session.get_one(Trade, request.trade_id)
            if trade.state == "PAID":
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it is paid")
            session.add(Attempt(payment_id=payment_id, trade_id=trade.id))
        code = {name: getattr(trade, name) for name in BUSINESS_CODE}
        told = context_pb2.Context(business_id=trade.id, **code)
        created = await self._pay.CreatePayment(
            payment_service_pb2.CreatePaymentRequest(
                request_id=str(uuid.uuid4()),
                payment_id=payment_id,
                trade_id=trade.id,
                purpose=payment_pb2.PAYMENT_PURPOSE_PURCHASE,
                amount=_money(trade),
                tools=request.tools,
                subject=trade.subject,
            ),
            metadata=((CONTEXT_METADATA, told.SerializeToString()),),
            timeout=RPC_TIMEOUT_S,
        )
        async with self._sessions.begin() as session:
            mine = update(Attempt).where(Attempt.payment_id == payment_id)
            await session.execute(mine.values(credential_id=created.credential_id))
        return trade_service_pb2.PayTradeResponse(
            trade=_trade_to(trade), payment_id=payment_id, credential_id=created.credential_id
        )

    async def on_payment(self, session: AsyncSession, body: Body) -> list[Event]:
        attempt = await session.get_one(Attempt, body["payment_id"], with_for_update=True)
        trade = await session.get_one(Trade, attempt.trade_id, with_for_update=True)
        attempt.state = "SUCCEEDED"
        trade.state, trade.paid_payment_id = "PAID", attempt.payment_id
        return [("trade.trade.paid", {**body, "merchant_id": trade.merchant_id})]


class Payments(payment_service_pb2_grpc.PaymentServiceServicer):
    def __init__(self, sessions: Sessions, gateway: Any) -> None:
        self._sessions, self._gateway = sessions, gateway

    async def CreatePayment(self, request: Any, context: Any) -> Any:
        told = dict(context.invocation_metadata())[CONTEXT_METADATA]
        amount = request.amount.minor_units
        instruction = Instruction(
            request_no=body_of(new_id("ins", bucket=shard_of(request.payment_id))),
            channel=request.tools[0].channel.channel,
            amount=amount,
        )
        payment = Payment(
            id=request.payment_id,
            trade_id=request.trade_id,
            pay_org_no=context_pb2.Context.FromString(told).pay_org_no,
            amount=amount,
            currency=request.amount.currency_code,
            instructions=[instruction],
        )
        async with self._sessions.begin() as session:
            session.add(payment)
        prepaid = await self._gateway.Prepay(
            channel_service_pb2.PrepayRequest(
                request_id=str(uuid.uuid4()),
                request_no=instruction.request_no,
                channel=instruction.channel,
                amount=request.amount,
                subject=request.subject,
                reference=payment.id,
            ),
            timeout=RPC_TIMEOUT_S,
        )
        credential_id = prepaid.credential.credential_id
        async with self._sessions.begin() as session:
            mine = update(Payment).where(Payment.id == payment.id)
            await session.execute(mine.values(credential_id=credential_id))
        answer = payment_pb2.Payment(payment_id=payment.id, trade_id=payment.trade_id)
        return payment_service_pb2.CreatePaymentResponse(
            payment=answer, credential_id=credential_id
        )

    async def on_result(self, session: AsyncSession, body: Body) -> list[Event]:
        instruction = await session.get_one(Instruction, body["request_no"], with_for_update=True)
        payment = await session.get_one(Payment, instruction.payment_id, with_for_update=True)
        instruction.state = payment.state = "SUCCEEDED"
        paid = {"payment_id": payment.id, "amount": payment.amount, "currency": payment.currency}
        where = {"channel": instruction.channel, "pay_org_no": payment.pay_org_no}
        collected = {**paid, **where, "amount": instruction.amount}
        return [("pay.instruction.succeeded", collected), ("pay.payment.succeeded", paid)]


class Orders(channel_service_pb2_grpc.ChannelServiceServicer):
    def __init__(self, sessions: Sessions, publish: Publish) -> None:
        self._sessions, self._publish = sessions, publish
        self._paying: set[asyncio.Task[None]] = set()

    async def Prepay(self, request: Any, context: Any) -> Any:
        order = Order(
            request_no=request.request_no,
            reference=request.reference,
            channel=request.channel,
            amount=request.amount.minor_units,
            currency=request.amount.currency_code,
        )
        async with self._sessions.begin() as session:
            session.add(order)
        task = asyncio.create_task(self._pays(order.request_no))
        self._paying.add(task)
        task.add_done_callback(self._paying.discard)
        credential = channel_pb2.Credential(
            credential_id=f"crd_{order.request_no}",
            state=channel_pb2.CREDENTIAL_STATE_PENDING,
            channel=order.channel,
        )
        return channel_service_pb2.PrepayResponse(credential=credential)

    async def _pays(self, request_no: str) -> None:
        """What a channel's callback does; this channel calls back at once."""
        async with self._sessions.begin() as session:
            order = await session.get_one(Order, request_no, with_for_update=True)
            order.state = "SUCCEEDED"
            told = Callback(id=f"evt_{request_no}", request_no=request_no, outcome=order.state)
            session.add(told)
        await self._publish("gateway.channel.result", {"request_no": request_no})


def _money(of: Trade) -> money_pb2.Money:
    return money_pb2.Money(currency_code=of.currency, minor_units=of.amount)


def _trade_to(trade: Trade) -> trade_pb2.Trade:
    state = trade_pb2.TRADE_STATE_PAID if trade.state == "PAID" else trade_pb2.TRADE_STATE_PENDING
    return trade_pb2.Trade(
        trade_id=trade.id,
        state=state,
        amount=_money(trade),
        paid_payment_id=trade.paid_payment_id,
        **{name: getattr(trade, name) for name in AS_ORDERED},
    )
