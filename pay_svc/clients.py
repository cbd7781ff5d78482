"""What the payment core asks of the channel gateway."""

from __future__ import annotations

import grpc
from payments.gateway.v1 import channel_pb2, channel_service_pb2, channel_service_pb2_grpc

from pay_svc.model import AskClose, AskPrepay, AskRefund, ChannelMoved, ChannelOutcome
from paymesh import telemetry
from paymesh.clock import Clock
from paymesh.coalescer import Coalescer
from paymesh.context import Call, Context
from paymesh.effects import Result
from paymesh.errors import Refused
from paymesh.ids import request_id_for
from paymesh.wire import money_of, money_to, time_of, time_to

CALL_TIMEOUT_S = 5.0

_OUTCOMES = {
    channel_pb2.CHANNEL_ORDER_STATE_SUCCEEDED: ChannelOutcome.SUCCEEDED,
    channel_pb2.CHANNEL_ORDER_STATE_FAILED: ChannelOutcome.FAILED,
    channel_pb2.CHANNEL_ORDER_STATE_CLOSED: ChannelOutcome.CLOSED,
}
"""Channel order states that are ends; the others mean: wait."""


def channel_moved(
    order: channel_pb2.ChannelOrder, *, payment_id: str, context: Context
) -> ChannelMoved | None:
    """The command that a channel order's end asks for; None while it is under way."""
    outcome = _OUTCOMES.get(order.state)
    if outcome is None:
        return None
    return ChannelMoved(
        payment_id=payment_id,
        context=context,
        request_no=order.request_no,
        outcome=outcome,
        moved=money_of(order.moved_amount) if order.HasField("moved_amount") else None,
        channel_txn_id=order.channel_txn_id,
        succeeded_at=time_of(order.success_time) if order.HasField("success_time") else None,
    )


class Gateway:
    """Carries out the effects AskPrepay, AskClose and AskRefund."""

    def __init__(self, channel: grpc.aio.Channel, *, clock: Clock) -> None:
        stub = channel_service_pb2_grpc.ChannelServiceStub(channel)
        m = channel_service_pb2
        self._clock = clock
        self._prepay = Coalescer(stub.BatchPrepay, m.BatchPrepayRequest, caller="pay", clock=clock)
        self._close = Coalescer(
            stub.BatchCloseChannelOrders,
            m.BatchCloseChannelOrdersRequest,
            caller="pay",
            clock=clock,
        )
        self._refund = Coalescer(
            stub.BatchRefundChannelOrders,
            m.BatchRefundChannelOrdersRequest,
            caller="pay",
            clock=clock,
        )

    async def prepay(self, effect: AskPrepay) -> Result:
        """Prepay; its value is the credential_id. A final refusal is a failed collection."""
        request = channel_service_pb2.PrepayRequest(
            request_id=request_id_for(effect.request_no, act="prepay"),
            request_no=effect.request_no,
            channel=effect.channel,
            amount=money_to(effect.amount),
            subject=effect.subject,
            expire_time=time_to(effect.expires_at),
            reference=effect.payment_id,
        )
        try:
            response = await self._prepay.call(self._call(effect.context), request)
        except Refused as refusal:
            if not refusal.final:
                raise
            return Result(_refused(effect))
        return Result(
            channel_moved(
                response.channel_order, payment_id=effect.payment_id, context=effect.context
            ),
            response.credential.credential_id,
        )

    async def close(self, effect: AskClose) -> Result:
        """CloseChannelOrder. An order that the gateway never got is asked for again."""
        request = channel_service_pb2.CloseChannelOrderRequest(
            request_id=request_id_for(effect.request_no, act="close"),
            request_no=effect.request_no,
        )
        response = await self._close.call(self._call(effect.context), request)
        return Result(
            channel_moved(
                response.channel_order, payment_id=effect.payment_id, context=effect.context
            )
        )

    async def refund(self, effect: AskRefund) -> Result:
        """RefundChannelOrder. A final refusal goes to a person."""
        request = channel_service_pb2.RefundChannelOrderRequest(
            request_id=request_id_for(effect.request_no, act="refund"),
            request_no=effect.request_no,
            original_request_no=effect.original_request_no,
            amount=money_to(effect.amount),
            reference=effect.payment_id,
        )
        try:
            response = await self._refund.call(self._call(effect.context), request)
        except Refused as refusal:
            if not refusal.final:
                raise
            return Result(_refused(effect))
        return Result(
            channel_moved(
                response.channel_order, payment_id=effect.payment_id, context=effect.context
            )
        )

    def _call(self, context: Context) -> Call:
        return Call(
            context=context,
            deadline=self._clock.monotonic() + CALL_TIMEOUT_S,
            traceparent=telemetry.traceparent(),
        )

    async def stop(self) -> None:
        for coalescer in (self._prepay, self._close, self._refund):
            await coalescer.close()


def _refused(effect: AskPrepay | AskRefund) -> ChannelMoved:
    return ChannelMoved(
        payment_id=effect.payment_id,
        context=effect.context,
        request_no=effect.request_no,
        outcome=ChannelOutcome.FAILED,
        moved=None,
        channel_txn_id="",
        succeeded_at=None,
    )
