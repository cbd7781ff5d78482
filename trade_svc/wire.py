"""Trades, merchants and their events as messages: translation, nothing more."""

from __future__ import annotations

from payments.trade.v1 import merchant_pb2, trade_events_pb2, trade_pb2
from payments.type.v1 import money_pb2

from paymesh.core import Event
from paymesh.money import Money
from paymesh.wire import money_to, time_to, tools_to
from trade_svc.merchants.business_codes import BusinessCode
from trade_svc.merchants.domain import Merchant
from trade_svc.trades.model import (
    Attempt,
    Refund,
    Trade,
    TradeClosed,
    TradePaid,
    TradeRefundEnded,
    TradeReturned,
    TradeView,
)
from trade_svc.types.declaration import RefundState, TradeType


def type_of(number: trade_pb2.TradeType) -> TradeType:
    return TradeType(trade_pb2.TradeType.Name(number).removeprefix("TRADE_TYPE_"))


def _attempt_to(attempt: Attempt) -> trade_pb2.Attempt:
    return trade_pb2.Attempt(
        payment_id=attempt.id,
        state=f"ATTEMPT_STATE_{attempt.state}",
        tools=tools_to(attempt.tools),
        create_time=time_to(attempt.created_at),
        failure_reason=attempt.failure_reason,
    )


def refund_to(refund: Refund) -> trade_pb2.Refund:
    return trade_pb2.Refund(
        refund_id=refund.id,
        business_id=refund.context.business_id,
        payment_id=refund.payment_id,
        state=f"REFUND_STATE_{refund.state}",
        amount=money_to(refund.amount),
        tools=tools_to(refund.tools),
        reason=refund.reason,
        failure_reason=refund.failure_reason,
        create_time=time_to(refund.created_at),
        end_time=time_to(refund.ended_at),
        returned_amount=_returned_of(refund),
    )


def _returned_of(refund: Refund) -> money_pb2.Money | None:
    if refund.state is not RefundState.RETURNED:
        return None
    return money_to(Money(refund.amount.currency, refund.returned_minor))


def trade_to(view: TradeView, *, refund: Refund | None = None) -> trade_pb2.Trade:
    """With all its refunds, or with this one alone: there may be hundreds."""
    trade = view.trade
    assert trade is not None
    refunds = view.refunds if refund is None else (refund,)
    context, currency = trade.context, trade.amount.currency
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
        payee_id=trade.payee_id,
        beneficiary_id=trade.beneficiary_id,
        refunded_amount=money_to(Money(currency, trade.refunded_minor)),
        refunding_amount=money_to(Money(currency, trade.refunding_minor)),
        refunds=[refund_to(r) for r in sorted(refunds, key=lambda r: (r.created_at, r.id))],
    )


def merchant_to(merchant: Merchant) -> merchant_pb2.Merchant:
    return merchant_pb2.Merchant(
        merchant_id=merchant.id,
        display_name=merchant.display_name,
        notify_url=merchant.notify_url,
        state=f"MERCHANT_STATE_{merchant.state}",
        create_time=time_to(merchant.created_at),
        version=merchant.version,
        wallet_scope=merchant.wallet_scope,
    )


def business_code_to(code: BusinessCode) -> merchant_pb2.BusinessCode:
    return merchant_pb2.BusinessCode(
        merchant_id=code.context.merchant_id,
        order_type=code.context.order_type,
        sub_type=code.context.sub_type,
        pay_org_no=code.context.pay_org_no,
        description=code.description,
        create_time=time_to(code.created_at),
    )


def encode(event: Event) -> bytes:
    """The payload of a published event."""
    payload = event.payload
    if isinstance(payload, TradePaid):
        return _paid(payload.trade).SerializeToString()
    if isinstance(payload, TradeClosed):
        return _closed(payload).SerializeToString()
    if isinstance(payload, TradeRefundEnded):
        return _refund_ended(payload).SerializeToString()
    if isinstance(payload, TradeReturned):
        return _returned(payload.trade).SerializeToString()
    raise TypeError(f"no message for {type(payload).__name__} of {event.type}")


def _paid(trade: Trade) -> trade_events_pb2.TradePaid:
    return trade_events_pb2.TradePaid(
        trade_id=trade.id,
        merchant_id=trade.context.merchant_id,
        merchant_order_no=trade.merchant_order_no,
        product_code=trade.declaration.product_code,
        payment_id=trade.paid_payment_id,
        amount=money_to(trade.amount),
        pay_time=time_to(trade.paid_at),
        payer_id=trade.wallet(trade.payer_id),
        payee_id=trade.wallet(trade.payee_id),
    )


def _closed(payload: TradeClosed) -> trade_events_pb2.TradeClosed:
    trade = payload.trade
    return trade_events_pb2.TradeClosed(
        trade_id=trade.id,
        merchant_id=trade.context.merchant_id,
        merchant_order_no=trade.merchant_order_no,
        reason=payload.reason,
        close_time=time_to(trade.closed_at),
    )


def _refund_ended(payload: TradeRefundEnded) -> trade_events_pb2.TradeRefundEnded:
    trade = payload.trade
    return trade_events_pb2.TradeRefundEnded(
        trade_id=trade.id,
        merchant_id=trade.context.merchant_id,
        merchant_order_no=trade.merchant_order_no,
        refund=refund_to(payload.refund),
        refunded_amount=money_to(Money(trade.amount.currency, trade.refunded_minor)),
    )


def _returned(trade: Trade) -> trade_events_pb2.TradeReturned:
    return trade_events_pb2.TradeReturned(
        trade_id=trade.id,
        merchant_id=trade.context.merchant_id,
        merchant_order_no=trade.merchant_order_no,
        payment_id=trade.paid_payment_id,
        amount=money_to(trade.amount),
    )
