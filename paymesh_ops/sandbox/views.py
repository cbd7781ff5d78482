"""What the API and the callbacks show of a row. What is not known is left out."""

from __future__ import annotations

from datetime import datetime

from paymesh_ops.sandbox.domain import Order, OrderState, Payout, PayoutState, Refund, RefundState
from paymesh_ops.sandbox.rows import Entity, Json, time_text
from paymesh_ops.sandbox.state import Notice

_ORDER_EVENTS = {OrderState.SUCCESS: "TRANSACTION.SUCCESS"}
_REFUND_EVENTS = {RefundState.SUCCESS: "REFUND.SUCCESS", RefundState.FAILED: "REFUND.FAILED"}
_PAYOUT_EVENTS = {
    PayoutState.SUCCESS: "PAYOUT.SUCCESS",
    PayoutState.FAILED: "PAYOUT.FAILED",
    PayoutState.BOUNCED: "PAYOUT.BOUNCED",
}


def event_type(entity: Entity) -> str | None:
    """The callback that this state of a row owes; None if it owes none."""
    match entity:
        case Order():
            return _ORDER_EVENTS.get(entity.state)
        case Refund():
            return _REFUND_EVENTS.get(entity.state)
        case Payout():
            return _PAYOUT_EVENTS.get(entity.state)


def view(entity: Entity) -> Json:
    """The row as the API answers it."""
    match entity:
        case Order():
            return order_view(entity)
        case Refund():
            return refund_view(entity)
        case Payout():
            return payout_view(entity)


def order_view(order: Order) -> Json:
    """`amount` is what was collected once it is paid, before that what is asked."""
    params = order.params
    return _known(
        out_trade_no=params.out_trade_no,
        trade_state=order.state.value,
        amount=params.amount if order.paid_amount is None else order.paid_amount,
        order_amount=params.amount,
        currency=params.currency,
        transaction_id=order.transaction_id,
        success_time=order.success_time,
    )


def refund_view(refund: Refund) -> Json:
    params = refund.params
    return _known(
        out_refund_no=params.out_refund_no,
        out_trade_no=params.out_trade_no,
        refund_id=refund.refund_id,
        refund_status=refund.state.value,
        amount=params.amount,
        currency=refund.currency,
        success_time=refund.success_time,
        failed_time=refund.failed_time,
        fail_reason="ACCOUNT_ABNORMAL" if refund.state is RefundState.FAILED else None,
    )


def payout_view(payout: Payout) -> Json:
    params = payout.params
    failed = payout.state in (PayoutState.FAILED, PayoutState.BOUNCED)
    return _known(
        out_payout_no=params.out_payout_no,
        payout_id=payout.payout_id,
        payout_status=payout.state.value,
        amount=params.amount,
        currency=params.currency,
        success_time=payout.success_time,
        failed_time=payout.failed_time,
        fail_reason="ACCOUNT_INVALID" if failed else None,
    )


def callback_body(notice: Notice, *, amount_off_by: int = 0) -> Json:
    """The JSON of a callback; `amount_off_by` makes it lie about the amount (a fault)."""
    resource = view(notice.subject)
    resource["amount"] += amount_off_by
    return {
        "id": notice.id,
        "create_time": time_text(notice.create_time),
        "event_type": notice.event_type,
        "resource": resource,
    }


def _known(**values: str | int | datetime | None) -> Json:
    return {
        name: time_text(value) if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }
