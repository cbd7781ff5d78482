"""Trades, merchants and their events as messages: translation, nothing more."""

from __future__ import annotations

from payments.trade.v1 import merchant_pb2, trade_events_pb2, trade_pb2

from paymesh.core import Event
from paymesh.wire import money_to, time_to, tools_to
from trade_svc.merchants import Merchant
from trade_svc.model import Attempt, TradeClosed, TradePaid, TradeType, TradeView


def type_of(number: trade_pb2.TradeType) -> TradeType:
    return TradeType(trade_pb2.TradeType.Name(number).removeprefix("TRADE_TYPE_"))


def _attempt_to(attempt: Attempt) -> trade_pb2.Attempt:
    return trade_pb2.Attempt(
        payment_id=attempt.id,
        state=f"ATTEMPT_STATE_{attempt.state}",
        tools=tools_to(attempt.tools),
        create_time=time_to(attempt.created_at),
    )


def trade_to(view: TradeView) -> trade_pb2.Trade:
    trade = view.trade
    assert trade is not None
    context = trade.context
    return trade_pb2.Trade(
        trade_id=trade.id,
        business_id=context.business_id,
        merchant_id=context.merchant_id,
        order_type=context.order_type,
        sub_type=context.sub_type,
        pay_org_no=context.pay_org_no,
        merchant_order_no=trade.merchant_order_no,
        type=f"TRADE_TYPE_{trade.type}",
        state=f"TRADE_STATE_{trade.state}",
        amount=money_to(trade.amount),
        subject=trade.subject,
        payer_id=trade.payer_id,
        expire_time=time_to(trade.expires_at),
        create_time=time_to(trade.created_at),
        pay_time=time_to(trade.paid_at),
        close_time=time_to(trade.closed_at),
        paid_payment_id=trade.paid_payment_id,
        attempts=[_attempt_to(a) for a in sorted(view.attempts, key=lambda a: a.created_at)],
        version=trade.version,
    )


def merchant_to(merchant: Merchant) -> merchant_pb2.Merchant:
    return merchant_pb2.Merchant(
        merchant_id=merchant.id,
        display_name=merchant.display_name,
        notify_url=merchant.notify_url,
        state=f"MERCHANT_STATE_{merchant.state}",
        create_time=time_to(merchant.created_at),
        version=merchant.version,
    )


def encode(event: Event) -> bytes:
    """The payload of a published event."""
    payload = event.payload
    if isinstance(payload, TradePaid):
        trade = payload.trade
        return trade_events_pb2.TradePaid(
            trade_id=trade.id,
            merchant_id=trade.context.merchant_id,
            merchant_order_no=trade.merchant_order_no,
            product_code=trade.kind.product_code,
            payment_id=trade.paid_payment_id,
            amount=money_to(trade.amount),
            pay_time=time_to(trade.paid_at),
        ).SerializeToString()
    if isinstance(payload, TradeClosed):
        trade = payload.trade
        return trade_events_pb2.TradeClosed(
            trade_id=trade.id,
            merchant_id=trade.context.merchant_id,
            merchant_order_no=trade.merchant_order_no,
            reason=payload.reason,
            close_time=time_to(trade.closed_at),
        ).SerializeToString()
    raise TypeError(f"no message for {type(payload).__name__} of {event.type}")
