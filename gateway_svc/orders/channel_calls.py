"""The effect CallChannel: the right verb for an order's state, and the answer as a Report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import structlog

from gateway_svc.channels.port import (
    Channel,
    ChannelResult,
    PayoutOrder,
    PrepayOrder,
    RefundOrder,
)
from gateway_svc.orders.breaker import ChannelGuard
from gateway_svc.orders.model import (
    ENDS,
    CallChannel,
    ChannelOrder,
    OrderKind,
    OrderState,
    OrderView,
    Report,
    ReportedState,
)
from gateway_svc.orders.payees import Payees
from paymesh import metrics
from paymesh.clock import Clock
from paymesh.effects import Result
from paymesh.money import Money

log = structlog.get_logger()


class ChannelCalls:
    """Calls channels. `load` reads an order by its id; `guards` by channel name;
    `callback_base_url` is where they call us."""

    def __init__(
        self,
        *,
        load: Callable[[str], Awaitable[OrderView]],
        channels: Mapping[str, Channel],
        guards: Mapping[str, ChannelGuard],
        payees: Payees,
        callback_base_url: str,
        clock: Clock,
    ) -> None:
        self._load = load
        self._channels, self._guards, self._payees = channels, guards, payees
        self._callback_base_url = callback_base_url.rstrip("/")
        self._clock = clock

    async def call(self, effect: CallChannel) -> Result:
        """Reads the order again (it may have ended meanwhile), then asks the channel."""
        order = (await self._load(effect.order_id)).order
        if order is None or order.state is not effect.state:
            return Result()
        channel, guard = self._channels[order.channel], self._guards[order.channel]
        with guard.call():
            report = await self._call(channel, order, asked=effect.asked)
        if report.reported is ReportedState.UNKNOWN:
            guard.unanswered()
        else:
            guard.answered()
        _alarm(order, report)
        return Result(report)

    async def _call(self, channel: Channel, order: ChannelOrder, *, asked: bool) -> Report:
        match order.kind:
            case OrderKind.COLLECT:
                return await self._collect(channel, order, asked=asked)
            case OrderKind.REFUND:
                return report_of(order, await self._refund(channel, order))
            case OrderKind.PAYOUT:
                return report_of(order, await self._payout(channel, order))

    async def _refund(self, channel: Channel, order: ChannelOrder) -> ChannelResult:
        if order.state is not OrderState.PENDING:
            return await channel.query_refund(order.request_no, order.original_request_no)
        return await channel.refund(
            RefundOrder(
                refund_no=order.request_no,
                request_no=order.original_request_no,
                amount_minor=order.amount.minor,
                currency=order.amount.currency,
            )
        )

    async def _payout(self, channel: Channel, order: ChannelOrder) -> ChannelResult:
        if order.state is not OrderState.PENDING:
            return await channel.query_payout(order.request_no)
        # As long as it is not known that the channel has it, the same again: its number makes
        # two of them one, and a query would not tell "never" from "not yet".
        payee = self._payees.open(order.sealed_payee, order_id=order.id)
        return await channel.payout(
            PayoutOrder(
                payout_no=order.request_no,
                amount_minor=order.amount.minor,
                currency=order.amount.currency,
                account_no=payee.account_no,
                account_name=payee.account_name,
                notify_url=self._notify_url(order),
            )
        )

    async def _collect(self, channel: Channel, order: ChannelOrder, *, asked: bool) -> Report:
        expired = self._clock.now() >= order.expires_at
        if order.state is OrderState.CLOSING or (expired and asked and order.state not in ENDS):
            closed = await channel.close(order.request_no)
            if closed.state is ReportedState.NOT_FOUND and not expired:
                # Only what the channel has heard of can be closed for sure: our announcement may
                # still be on its way.
                await self._prepay(channel, order)
                closed = await channel.close(order.request_no)
            return report_of(order, closed)
        if order.state is OrderState.PENDING and not expired:
            return await self._prepay(channel, order)
        return report_of(order, await channel.query(order.request_no))

    async def _prepay(self, channel: Channel, order: ChannelOrder) -> Report:
        result = await channel.prepay(
            PrepayOrder(
                request_no=order.request_no,
                amount_minor=order.amount.minor,
                currency=order.amount.currency,
                subject=order.subject,
                expires_at=order.expires_at,
                notify_url=self._notify_url(order),
            )
        )
        return Report(
            context=order.context,
            request_no=order.request_no,
            reported=result.state,
            asked_in=order.state,
            reason=result.reason,
            credential=result.channel_credential,
        )

    def _notify_url(self, order: ChannelOrder) -> str:
        return f"{self._callback_base_url}/callbacks/{order.channel}"


def _alarm(order: ChannelOrder, report: Report) -> None:
    """Tells people what only they can help with."""
    if report.reported is ReportedState.WAITING_FUNDS:
        metrics.CHANNEL_WAITING_FUNDS.labels(order.channel).inc()
        log.warning("channel.waiting_funds", channel=order.channel, order_id=order.id)
    elif report.reported is ReportedState.SUCCEEDED and not order.moves[order.state]:
        # A refund or payout that had failed, or come back: nothing here may undo that.
        log.error("channel.contradicts_itself", order_id=order.id, state=order.state.value)


def moved_of(result: ChannelResult) -> Money | None:
    if result.amount_minor is None or result.currency is None:
        return None
    return Money(result.currency, result.amount_minor)


def report_of(order: ChannelOrder, result: ChannelResult) -> Report:
    succeeded = result.state is ReportedState.SUCCEEDED
    return Report(
        context=order.context,
        request_no=order.request_no,
        reported=result.state,
        asked_in=order.state,
        moved=moved_of(result) if succeeded else None,
        channel_txn_id=result.channel_txn_id or "",
        occurred_at=result.occurred_at,
        reason=result.reason,
    )
