"""Orders, refunds and payouts as the channel sees them: plain data and plain functions.

Every function takes what is and gives what shall be (a new row), or raises Refusal. No I/O, no
clock, no randomness: times, ids and fates are passed in. Amounts are minor units, times are UTC.

A number that is known is answered before anything else is checked: a repeated request gets the
same answer even if it would be refused as new (its order expired, its refund used up the amount).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

REFUNDS_PER_ORDER_MAX = 50


class OrderState(StrEnum):
    NOTPAY = "NOTPAY"
    SUCCESS = "SUCCESS"
    CLOSED = "CLOSED"


class RefundState(StrEnum):
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class PayoutState(StrEnum):
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    BOUNCED = "BOUNCED"


class Fate(StrEnum):
    """What will become of a refund or payout. Fixed and written when it is accepted, so that a
    restart changes nothing."""

    SUCCEED = "SUCCEED"
    DECLINE = "DECLINE"
    STUCK = "STUCK"
    """Stays PROCESSING for ever."""
    BOUNCE = "BOUNCE"
    """Succeeds, and some time later the money comes back."""


class Refusal(Exception):
    """The channel says no: an HTTP status and a code that are part of its API."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class NewOrder:
    out_trade_no: str
    amount: int
    currency: str
    subject: str
    time_expire: datetime
    notify_url: str


@dataclass(frozen=True, slots=True)
class NewRefund:
    out_refund_no: str
    out_trade_no: str
    amount: int


@dataclass(frozen=True, slots=True)
class NewPayout:
    out_payout_no: str
    amount: int
    currency: str
    account: str
    name: str
    notify_url: str


@dataclass(frozen=True, slots=True)
class Order:
    params: NewOrder
    prepay_id: str
    created_at: datetime
    state: OrderState = OrderState.NOTPAY
    paid_amount: int | None = None
    """What the payer really paid; differs from params.amount only by a fault."""
    transaction_id: str | None = None
    success_time: datetime | None = None
    closed_at: datetime | None = None
    """Stays when a late success follows, so the book shows that it was one."""


@dataclass(frozen=True, slots=True)
class Refund:
    params: NewRefund
    refund_id: str
    currency: str
    created_at: datetime
    fate: Fate = Fate.SUCCEED
    state: RefundState = RefundState.PROCESSING
    success_time: datetime | None = None
    failed_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Payout:
    params: NewPayout
    payout_id: str
    created_at: datetime
    fate: Fate = Fate.SUCCEED
    state: PayoutState = PayoutState.PROCESSING
    success_time: datetime | None = None
    failed_time: datetime | None = None


REFUND_NEXT = {
    (RefundState.PROCESSING, Fate.SUCCEED): RefundState.SUCCESS,
    (RefundState.PROCESSING, Fate.BOUNCE): RefundState.SUCCESS,
    (RefundState.PROCESSING, Fate.DECLINE): RefundState.FAILED,
    (RefundState.SUCCESS, Fate.BOUNCE): RefundState.FAILED,
}
"""Where a refund goes by itself; what is not here stays as it is."""

PAYOUT_NEXT = {
    (PayoutState.PROCESSING, Fate.SUCCEED): PayoutState.SUCCESS,
    (PayoutState.PROCESSING, Fate.BOUNCE): PayoutState.SUCCESS,
    (PayoutState.PROCESSING, Fate.DECLINE): PayoutState.FAILED,
    (PayoutState.SUCCESS, Fate.BOUNCE): PayoutState.BOUNCED,
}

PAYOUT_FATES = {"0001": Fate.DECLINE, "0002": Fate.STUCK, "0003": Fate.BOUNCE}
"""Magic account numbers, by their last four digits."""
SHORT_OF_FUNDS_SUFFIX = "0004"
"""A payout to such an account is refused with NOT_ENOUGH and nothing is kept."""


def create_order(known: Order | None, new: NewOrder, *, prepay_id: str, now: datetime) -> Order:
    """The order for this number. Raises ORDER_MISMATCH if it is known with other parameters."""
    if known is not None:
        if known.params != new:
            raise Refusal(409, "ORDER_MISMATCH", "this out_trade_no has other parameters")
        return known
    if new.time_expire <= now:
        raise Refusal(400, "INVALID_REQUEST", "time_expire is in the past")
    return Order(params=new, prepay_id=prepay_id, created_at=now)


def expire(order: Order, *, now: datetime) -> Order:
    """The order as it is at `now`: an unpaid one closes by itself at its time_expire."""
    if order.state is OrderState.NOTPAY and order.params.time_expire <= now:
        return replace(order, state=OrderState.CLOSED, closed_at=order.params.time_expire)
    return order


def close_order(order: Order, *, now: datetime) -> Order:
    """Close it; closing twice is the same answer. Raises ORDER_PAID."""
    if order.state is OrderState.SUCCESS:
        raise Refusal(409, "ORDER_PAID", "the order is paid")
    if order.state is OrderState.CLOSED:
        return order
    return replace(order, state=OrderState.CLOSED, closed_at=now)


def pay_order(
    order: Order, *, transaction_id: str, paid_amount: int, late_allowed: bool, now: datetime
) -> Order:
    """Take the payer's money, once. Raises ORDER_CLOSED, unless a late success is allowed."""
    if order.state is OrderState.SUCCESS:
        return order
    if order.state is OrderState.CLOSED and not late_allowed:
        raise Refusal(409, "ORDER_CLOSED", "the order is closed or has expired")
    return replace(
        order,
        state=OrderState.SUCCESS,
        paid_amount=paid_amount,
        transaction_id=transaction_id,
        success_time=now,
    )


def create_refund(
    known: Refund | None,
    new: NewRefund,
    order: Order | None,
    others: Iterable[Refund],
    *,
    refund_id: str,
    now: datetime,
) -> Refund:
    """The refund for this number; `others` are the refunds that the order already has.

    Raises REFUND_MISMATCH, ORDER_NOT_EXIST, ORDER_NOT_PAID, REFUND_EXCEEDS, REFUND_LIMIT.
    """
    if known is not None:
        if known.params != new:
            raise Refusal(409, "REFUND_MISMATCH", "this out_refund_no has other parameters")
        return known
    if order is None:
        raise Refusal(404, "ORDER_NOT_EXIST", "no such order")
    if order.state is not OrderState.SUCCESS or order.paid_amount is None:
        raise Refusal(409, "ORDER_NOT_PAID", "the order is not paid")
    earlier = list(others)
    if len(earlier) >= REFUNDS_PER_ORDER_MAX:
        raise Refusal(409, "REFUND_LIMIT", f"an order has at most {REFUNDS_PER_ORDER_MAX} refunds")
    taken = sum(r.params.amount for r in earlier if r.state is not RefundState.FAILED)
    if taken + new.amount > order.paid_amount:
        raise Refusal(409, "REFUND_EXCEEDS", "the refunds would exceed what was paid")
    return Refund(params=new, refund_id=refund_id, currency=order.params.currency, created_at=now)


def finish_refund(refund: Refund, *, now: datetime) -> Refund:
    """One step of the refund's fate; the same row if there is none left."""
    state = REFUND_NEXT.get((refund.state, refund.fate))
    if state is None:
        return refund
    if state is RefundState.SUCCESS:
        return replace(refund, state=state, success_time=now)
    return replace(refund, state=state, failed_time=now)


def create_payout(known: Payout | None, new: NewPayout, *, payout_id: str, now: datetime) -> Payout:
    """The payout for this number. Raises PAYOUT_MISMATCH; NOT_ENOUGH for the magic account."""
    if known is not None:
        if known.params != new:
            raise Refusal(409, "PAYOUT_MISMATCH", "this out_payout_no has other parameters")
        return known
    if new.account.endswith(SHORT_OF_FUNDS_SUFFIX):
        raise not_enough()
    fate = PAYOUT_FATES.get(new.account[-4:], Fate.SUCCEED)
    return Payout(params=new, payout_id=payout_id, fate=fate, created_at=now)


def finish_payout(payout: Payout, *, now: datetime) -> Payout:
    """One step of the payout's fate; the same row if there is none left."""
    state = PAYOUT_NEXT.get((payout.state, payout.fate))
    if state is None:
        return payout
    if state is PayoutState.SUCCESS:
        return replace(payout, state=state, success_time=now)
    return replace(payout, state=state, failed_time=now)


def not_enough() -> Refusal:
    """Nothing was kept: the same number may be sent again when there is money."""
    return Refusal(403, "NOT_ENOUGH", "the merchant's account at the channel is short of funds")
