"""What the payment core hears: channel orders that reached their end."""

from __future__ import annotations

from payments.gateway.v1 import channel_events_pb2
from payments.type.v1.event_pb2 import Event

from pay_svc.clients.gateway import channel_moved
from pay_svc.payments.model import ChannelMoved, PaymentView
from paymesh.app import Core
from paymesh.clock import Clock
from paymesh.consumer import Consumer
from paymesh.wire import context_of

CHANNEL_RESULTS = "pay.channel-results"


def _result(event: Event) -> ChannelMoved | None:
    order = channel_events_pb2.ChannelResult.FromString(event.payload).channel_order
    context = context_of(event.call_context.context)
    return channel_moved(order, payment_id=order.reference, context=context)


def channel_results(core: Core[PaymentView], clock: Clock) -> Consumer:
    return Consumer(CHANNEL_RESULTS, {"gateway.channel.result": _result}, core.shell.process, clock)
