"""What the payment core asks of the channel gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from payments.gateway.v1 import channel_pb2, channel_service_pb2, channel_service_pb2_grpc

from pay_svc.beneficiaries.domain import BeneficiaryView
from pay_svc.instructions.collect import SendClose, SendPrepay
from pay_svc.instructions.payout import SendPayout
from pay_svc.instructions.refund import SendRefund
from pay_svc.payments.model import ChannelMoved, ChannelOutcome
from paymesh.clock import Clock
from paymesh.coalescer import Coalescer, call_for
from paymesh.context import Context
from paymesh.effects import Result
from paymesh.errors import Refused
from paymesh.ids import request_id_for
from paymesh.secretbox import SecretBox
from paymesh.wire import money_of, money_to, time_of, time_to

_OUTCOMES = {
    channel_pb2.CHANNEL_ORDER_STATE_SUCCEEDED: ChannelOutcome.SUCCEEDED,
    channel_pb2.CHANNEL_ORDER_STATE_FAILED: ChannelOutcome.FAILED,
    channel_pb2.CHANNEL_ORDER_STATE_CLOSED: ChannelOutcome.CLOSED,
    channel_pb2.CHANNEL_ORDER_STATE_BOUNCED: ChannelOutcome.BOUNCED,
}
"""Channel order states that are ends; the others mean: wait."""

Asked = SendPrepay | SendRefund | SendPayout
LoadBeneficiary = Callable[[str], Awaitable[BeneficiaryView]]


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
        reason=order.failure_reason,
    )


class Gateway:
    """Carries out the effects SendPrepay, SendClose, SendRefund and SendPayout."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        clock: Clock,
        beneficiary: LoadBeneficiary,
        box: SecretBox,
    ) -> None:
        stub = channel_service_pb2_grpc.ChannelServiceStub(channel)
        m = channel_service_pb2
        self._clock, self._beneficiary, self._box = clock, beneficiary, box
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
        self._payout = Coalescer(
            stub.BatchPayouts, m.BatchPayoutsRequest, caller="pay", clock=clock
        )

    async def prepay(self, effect: SendPrepay) -> Result:
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
        return await self._asked(
            effect, self._prepay, request, value=lambda r: r.credential.credential_id
        )

    async def close(self, effect: SendClose) -> Result:
        """CloseChannelOrder. An order that the gateway never got is announced first.

        Only then is its end for sure: a Prepay that is still on its way finds it closed.
        """
        try:
            return await self._close_known(effect)
        except Refused as refusal:
            if refusal.reason != "NOT_FOUND":
                raise
        announced = await self.prepay(effect.prepay)
        return announced if announced.command else await self._close_known(effect)

    async def _close_known(self, effect: SendClose) -> Result:
        request = channel_service_pb2.CloseChannelOrderRequest(
            request_id=request_id_for(effect.request_no, act="close"),
            request_no=effect.request_no,
        )
        response = await self._close.call(call_for(effect.context, self._clock), request)
        return Result(_command(effect, response.channel_order))

    async def refund(self, effect: SendRefund) -> Result:
        """RefundChannelOrder. A final refusal is a failed refund."""
        request = channel_service_pb2.RefundChannelOrderRequest(
            request_id=request_id_for(effect.request_no, act="refund"),
            request_no=effect.request_no,
            original_request_no=effect.original_request_no,
            amount=money_to(effect.amount),
            reference=effect.payment_id,
        )
        return await self._asked(effect, self._refund, request)

    async def payout(self, effect: SendPayout) -> Result:
        """Payout; the account number is opened for this call only. A final refusal: failed."""
        to = (await self._beneficiary(effect.beneficiary_id)).beneficiary
        assert to is not None, "a beneficiary is never removed, only marked as deleted"
        account_no = self._box.open(to.sealed_account_no, belongs_to=to.id).decode()
        request = channel_service_pb2.PayoutRequest(
            request_id=request_id_for(effect.request_no, act="payout"),
            request_no=effect.request_no,
            channel=effect.channel,
            amount=money_to(effect.amount),
            payee=channel_service_pb2.Payee(account_no=account_no, account_name=to.account_name),
            reference=effect.payment_id,
        )
        return await self._asked(effect, self._payout, request)

    async def _asked(
        self,
        effect: Asked,
        method: Coalescer,
        request: Message,
        *,
        value: Callable[[Any], str | None] = lambda response: None,
    ) -> Result:
        """What the order's answer says, and its value for who waits."""
        try:
            response = await method.call(call_for(effect.context, self._clock), request)
        except Refused as refusal:
            return Result(_refused(effect, refusal.verdict()))
        return Result(_command(effect, response.channel_order), value(response))

    async def stop(self) -> None:
        for coalescer in (self._prepay, self._close, self._refund, self._payout):
            await coalescer.close()


def _command(effect: Asked | SendClose, order: channel_pb2.ChannelOrder) -> ChannelMoved | None:
    return channel_moved(order, payment_id=effect.payment_id, context=effect.context)


def _refused(effect: Asked, reason: str) -> ChannelMoved:
    return ChannelMoved(
        payment_id=effect.payment_id,
        context=effect.context,
        request_no=effect.request_no,
        outcome=ChannelOutcome.FAILED,
        moved=None,
        channel_txn_id="",
        succeeded_at=None,
        reason=reason,
    )
