"""Channel orders, credentials and their events as messages: translation, nothing more."""

from __future__ import annotations

from payments.gateway.v1 import channel_events_pb2, channel_pb2

from gateway_svc.orders.model import ChannelOrder, ChannelResult, OrderKind, OrderState
from paymesh.core import Event
from paymesh.wire import money_to, time_to

_CREDENTIAL_STATES = {
    OrderState.PENDING: "PENDING",
    OrderState.AWAITING_PAYER: "READY",
    OrderState.PROCESSING: "READY",
    OrderState.CLOSING: "FAILED",
    OrderState.SUCCEEDED: "USED",
    OrderState.FAILED: "FAILED",
    OrderState.CLOSED: "FAILED",
}


def order_to(order: ChannelOrder) -> channel_pb2.ChannelOrder:
    return channel_pb2.ChannelOrder(
        channel_order_id=order.id,
        request_no=order.request_no,
        business_id=order.context.business_id,
        channel=order.channel,
        kind=f"CHANNEL_ORDER_KIND_{order.kind}",
        state=f"CHANNEL_ORDER_STATE_{order.state}",
        amount=money_to(order.amount),
        moved_amount=money_to(order.moved_amount) if order.moved_amount else None,
        channel_txn_id=order.channel_txn_id,
        success_time=time_to(order.succeeded_at),
        original_request_no=order.original_request_no,
        failure_reason=order.failure_reason,
        version=order.version,
        reference=order.reference,
    )


def credential_to(order: ChannelOrder) -> channel_pb2.Credential:
    assert order.kind is OrderKind.COLLECT
    return channel_pb2.Credential(
        credential_id=f"crd_{order.request_no}",
        state=f"CREDENTIAL_STATE_{_CREDENTIAL_STATES[order.state]}",
        channel=order.channel,
        channel_fields=order.credential,
        expire_time=time_to(order.expires_at),
    )


def encode(event: Event) -> bytes:
    """The payload of a published event."""
    if isinstance(event.payload, ChannelResult):
        return channel_events_pb2.ChannelResult(
            channel_order=order_to(event.payload.order)
        ).SerializeToString()
    raise TypeError(f"no message for {type(event.payload).__name__} of {event.type}")
