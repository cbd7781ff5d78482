"""What the trade core hears: payments that moved, accounts that were shut or opened; and its own
trades, to notify merchants."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from google.protobuf.message import DecodeError
from payments.clearing.v1 import account_events_pb2, ledger_pb2
from payments.pay.v1 import payment_events_pb2
from payments.trade.v1 import trade_events_pb2, trade_pb2
from payments.type.v1.event_pb2 import Event, EventBatch

from paymesh.app import Core
from paymesh.bus.port import Delivery, Leftover, Verdict
from paymesh.clock import Clock
from paymesh.consumer import Consumer, Translate
from paymesh.errors import PaymentError
from paymesh.items import Mode
from paymesh.money import Money
from paymesh.wire import context_of, money_of, time_of
from trade_svc.clients import outcome_of
from trade_svc.merchants.domain import HearAccount, MerchantView
from trade_svc.merchants.readers import Merchants
from trade_svc.notifications.domain import (
    AddNotification,
    NotificationState,
    PassOver,
    StreamView,
    notification_body,
    stream_id_of,
)
from trade_svc.trades.model import PaymentMoved, TradeView

PAYMENTS = "trade.payments"
ACCOUNTS = "trade.accounts"
NOTIFICATIONS = "trade.notifications"
SEND_LIMIT_S = 6.0


def _payment_moved(event: Event) -> PaymentMoved | None:
    payment = payment_events_pb2.PaymentMoved.FromString(event.payload).payment
    outcome = outcome_of(payment.state)
    if outcome is None:
        return None  # a state that is new to us
    return PaymentMoved(
        trade_id=payment.trade_id,
        payment_id=payment.payment_id,
        outcome=outcome,
        amount=money_of(payment.amount),
        context=context_of(event.call_context.context),
        failure_reason=payment.failure_reason,
    )


def payments(core: Core[TradeView], clock: Clock) -> Consumer:
    names = ("succeeded", "failed", "closed", "returned", "suspended")
    commands: dict[str, Translate] = {f"pay.payment.{name}": _payment_moved for name in names}
    return Consumer(PAYMENTS, commands, core.shell.process, clock)


def _account_changed(event: Event) -> HearAccount:
    changed = account_events_pb2.AccountStatusChanged.FromString(event.payload)
    account = changed.account
    shut = (ledger_pb2.ACCOUNT_STATUS_CLOSED, ledger_pb2.ACCOUNT_STATUS_FROZEN_IN)
    takes = account.status not in shut
    return HearAccount(account.owner, account.subject, account.currency_code, takes)


def accounts(core: Core[MerchantView], clock: Clock) -> Consumer:
    """Of an account the newest word counts."""
    commands: dict[str, Translate] = {"clearing.account.status_changed": _account_changed}
    return Consumer(ACCOUNTS, commands, core.shell.process, clock, mode=Mode.STATE)


def _paid(event: Event) -> AddNotification:
    paid = trade_events_pb2.TradePaid.FromString(event.payload)
    amount = money_of(paid.amount)
    return _notification(
        event,
        {
            "trade_id": paid.trade_id,
            "merchant_order_no": paid.merchant_order_no,
            "state": "PAID",
            "payment_id": paid.payment_id,
            "amount": _amount(amount),
            "pay_time": time_of(paid.pay_time).isoformat(),
        },
    )


def _closed(event: Event) -> AddNotification:
    closed = trade_events_pb2.TradeClosed.FromString(event.payload)
    return _notification(
        event,
        {
            "trade_id": closed.trade_id,
            "merchant_order_no": closed.merchant_order_no,
            "state": "CLOSED",
            "reason": closed.reason,
            "close_time": time_of(closed.close_time).isoformat(),
        },
    )


def _refund_ended(event: Event) -> AddNotification:
    ended = trade_events_pb2.TradeRefundEnded.FromString(event.payload)
    refund = ended.refund
    return _notification(
        event,
        {
            "trade_id": ended.trade_id,
            "merchant_order_no": ended.merchant_order_no,
            "state": "PAID",
            "refunded_amount": _amount(money_of(ended.refunded_amount)),
            "refund": {
                "refund_id": refund.refund_id,
                "state": trade_pb2.RefundState.Name(refund.state).removeprefix("REFUND_STATE_"),
                "amount": _amount(money_of(refund.amount)),
                "reason": refund.reason,
                "failure_reason": refund.failure_reason,
                **_what_came_back(refund),
                "end_time": time_of(refund.end_time).isoformat(),
            },
        },
    )


def _what_came_back(refund: trade_pb2.Refund) -> dict[str, object]:
    """Nothing, for a refund that is not RETURNED."""
    if not refund.HasField("returned_amount"):
        return {}
    return {"returned_amount": _amount(money_of(refund.returned_amount))}


def _returned(event: Event) -> AddNotification:
    returned = trade_events_pb2.TradeReturned.FromString(event.payload)
    return _notification(
        event,
        {
            "trade_id": returned.trade_id,
            "merchant_order_no": returned.merchant_order_no,
            "state": "RETURNED",
            "payment_id": returned.payment_id,
            "amount": _amount(money_of(returned.amount)),
        },
    )


def _amount(amount: Money) -> dict[str, object]:
    return {"currency_code": amount.currency, "minor_units": amount.minor}


def _notification(event: Event, trade: dict[str, object]) -> AddNotification:
    return AddNotification(
        trade_id=event.aggregate_id,
        sequence=event.sequence,
        context=context_of(event.call_context.context),
        body=notification_body(
            event_id=event.event_id,
            type_=event.type.removeprefix("trade."),
            sequence=event.sequence,
            trade=trade,
        ),
    )


class Notifier:
    """Writes notifications down and sends them; what was not delivered climbs the ladder.

    A merchant without a notify_url wants none: of its trades nothing is written down, and what
    still waits is cancelled.
    """

    def __init__(self, core: Core[StreamView], merchants: Merchants, clock: Clock) -> None:
        self._core, self._merchants = core, merchants
        commands: dict[str, Translate] = {
            "trade.trade.paid": _paid,
            "trade.trade.closed": _closed,
            "trade.trade.refunded": _refund_ended,
            "trade.trade.refund_failed": _refund_ended,
            "trade.trade.refund_returned": _refund_ended,
            "trade.trade.returned": _returned,
        }
        self._consumer = Consumer(NOTIFICATIONS, commands, core.shell.process, clock)

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Verdict]:
        events = [_events(delivery) for delivery in deliveries]
        silent = await self._without_url(event for of in events for event in of)
        verdicts = await self._passing_over(silent).handle(deliveries)
        # What has climbed the ladder was written down before its merchant wanted none.
        streams = [
            [] if v.dead or v.retry else _streams(of, set() if delivery.attempt else silent)
            for of, v, delivery in zip(events, verdicts, deliveries, strict=True)
        ]
        keys = {key for of in streams for key in of}
        if not keys:
            return verdicts
        await self._send(keys)
        shell = self._core.shell
        views = await shell.store.load(shell.aggregate, sorted(keys))
        return [
            _wake_later(delivery, [views[key] for key in keys]) if keys else verdict
            for delivery, verdict, keys in zip(deliveries, verdicts, streams, strict=True)
        ]

    async def _without_url(self, events: Iterable[Event]) -> set[str]:
        """The merchants that want no notifications; of whom nothing can be read, wants them."""
        silent = set()
        for merchant_id in set(map(_merchant, events)):
            with suppress(PaymentError):
                if not (await self._merchants.get(merchant_id)).notify_url:
                    silent.add(merchant_id)
        return silent

    def _passing_over(self, silent: set[str]) -> Consumer:
        """The consumer that writes nothing down for these merchants."""

        def unless_silent(translate: Translate) -> Translate:
            return lambda event: PassOver() if _merchant(event) in silent else translate(event)

        commands = {t: unless_silent(command) for t, command in self._consumer.commands.items()}
        return replace(self._consumer, commands=commands)

    async def _send(self, keys: set[str]) -> None:
        """Sends each stream's pending notifications, one after the other, while time allows."""
        shell = self._core.shell
        before: dict[str, int] = {}
        while keys:
            views = await shell.store.load(shell.aggregate, sorted(keys))
            pending = {key: view.oldest_pending for key, view in views.items()}
            # A stream whose oldest did not move was just refused: it waits for the next rung.
            keys = {
                key for key, n in pending.items() if n is not None and before.get(key) != n.sequence
            }
            before.update({key: n.sequence for key, n in pending.items() if n is not None})
            now = self._core.clock.now()
            owed = [effect for key in sorted(keys) for effect in shell.owed(views[key], now)]
            await self._core.executor.execute(owed, timeout_s=SEND_LIMIT_S)


def _merchant(event: Event) -> str:
    return event.call_context.context.merchant_id


def _streams(events: Iterable[Event], silent: set[str]) -> list[str]:
    """The streams of events whose merchants want to hear of them, each once."""
    wanted = (stream_id_of(e.aggregate_id) for e in events if _merchant(e) not in silent)
    return list(dict.fromkeys(wanted))


def _events(delivery: Delivery) -> Sequence[Event]:
    try:
        return EventBatch.FromString(delivery.message.body).events
    except DecodeError:
        return ()  # the consumer parks what nobody can read


def _wake_later(delivery: Delivery, views: Sequence[StreamView]) -> Verdict:
    """Undelivered: the message comes back after its rung. Given up: it is parked."""
    message = delivery.message
    errors = [n.last_error for v in views if (n := v.oldest_pending) is not None]
    if errors:
        return Verdict(retry=(Leftover(message.id, message.body, errors[0] or "not sent yet"),))
    dead = [
        n.last_error for v in views for n in v.notifications if n.state is NotificationState.DEAD
    ]
    if dead:
        return Verdict(dead=(Leftover(message.id, message.body, json.dumps(dead[:3])),))
    return Verdict()
