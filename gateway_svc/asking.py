"""The effect AskChannel: the right verb for an order's state, and the answer as a Report."""

from __future__ import annotations

from collections.abc import Mapping

from gateway_svc.breaker import ChannelGuard
from gateway_svc.channels.port import (
    Channel,
    ChannelResult,
    NativeOutcome,
    PrepayOrder,
    RefundOrder,
)
from gateway_svc.domain import (
    ENDS,
    AskChannel,
    ChannelOrder,
    OrderKind,
    OrderState,
    OrderView,
    Report,
    Reported,
)
from paymesh.clock import Clock
from paymesh.effects import Result
from paymesh.money import Money
from paymesh.store.kinds import Aggregate
from paymesh.store.port import Store


class Asking:
    """Calls channels. `guards` by channel name; `callback_base_url` is where they call us."""

    def __init__(
        self,
        *,
        store: Store,
        orders: Aggregate[OrderView],
        channels: Mapping[str, Channel],
        guards: Mapping[str, ChannelGuard],
        callback_base_url: str,
        clock: Clock,
    ) -> None:
        self._store, self._orders = store, orders
        self._channels, self._guards = channels, guards
        self._callback_base_url = callback_base_url.rstrip("/")
        self._clock = clock

    async def ask(self, effect: AskChannel) -> Result:
        """Reads the order again (it may have ended meanwhile), then asks the channel."""
        states = await self._store.load(self._orders, [effect.order_id])
        order: ChannelOrder | None = states[effect.order_id].order
        if order is None or order.state is not effect.state:
            return Result()
        channel, guard = self._channels[order.channel], self._guards[order.channel]
        with guard.call():
            report = await self._call(channel, order, asked=effect.asked)
        if report.reported is Reported.UNKNOWN:
            guard.unanswered()
        else:
            guard.answered()
        return Result(report)

    async def _call(self, channel: Channel, order: ChannelOrder, *, asked: bool) -> Report:
        if order.kind is OrderKind.REFUND:
            if order.state is OrderState.PROCESSING or order.state in ENDS:
                result = await channel.query_refund(order.request_no, order.original_request_no)
            else:
                result = await channel.refund(
                    RefundOrder(
                        refund_no=order.request_no,
                        request_no=order.original_request_no,
                        amount_minor=order.amount.minor,
                        currency=order.amount.currency,
                    )
                )
            return report_of(order, result)
        expired = self._clock.now() >= order.expires_at
        if order.state is OrderState.CLOSING or (expired and asked and order.state not in ENDS):
            return report_of(order, await channel.close(order.request_no))
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
                notify_url=f"{self._callback_base_url}/callbacks/{order.channel}",
            )
        )
        return Report(
            context=order.context,
            request_no=order.request_no,
            reported=Reported(result.state.value),
            reason=result.reason,
            credential=result.channel_credential,
        )


def moved_of(result: ChannelResult) -> Money | None:
    if result.amount_minor is None or result.currency is None:
        return None
    return Money(result.currency, result.amount_minor)


def report_of(order: ChannelOrder, result: ChannelResult) -> Report:
    succeeded = result.state is NativeOutcome.SUCCEEDED
    return Report(
        context=order.context,
        request_no=order.request_no,
        reported=Reported(result.state.value),
        moved=moved_of(result) if succeeded else None,
        channel_txn_id=result.channel_txn_id or "",
        occurred_at=result.occurred_at,
        reason=result.reason,
    )
