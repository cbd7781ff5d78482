"""ChannelService: message ↔ command, nothing more. Answers show the order as it stands now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from payments.gateway.v1 import channel_pb2, channel_service_pb2, channel_service_pb2_grpc

from gateway_svc.channels.port import Channel, Verb
from gateway_svc.orders.model import (
    ChannelOrder,
    OrderKind,
    OrderState,
    OrderView,
    PlaceOrder,
    RequestClose,
    order_id_of,
)
from gateway_svc.orders.payees import Payee, Payees
from gateway_svc.orders.watch import WATCH_MAX_S, Watcher
from gateway_svc.wire import credential_to, order_to
from paymesh.app import Core
from paymesh.context import Call
from paymesh.errors import Code, FieldViolation, NotFound, PaymentError
from paymesh.items import RequestClaim
from paymesh.money import known_currency
from paymesh.rpc import M, RpcContext, batch, claim, current_call, run
from paymesh.wire import money_of, time_asked

PENDING = channel_pb2.CREDENTIAL_STATE_PENDING


class ChannelNotOffered(PaymentError):
    code, reason, decided = Code.FAILED_PRECONDITION, "CHANNEL_NOT_OFFERED", False

    def __init__(self, name: str, verb: Verb) -> None:
        super().__init__(
            f"channel {name!r} is not known or does not {verb.lower()}",
            fields=(FieldViolation("channel", "is not offered"),),
        )


class NotPaid(PaymentError):
    """Only a collection that is paid can be given back. Not stored: it may be paid yet."""

    code, reason, decided = Code.FAILED_PRECONDITION, "ILLEGAL_MOVE", False


class ChannelServicer(channel_service_pb2_grpc.ChannelServiceServicer):
    def __init__(
        self,
        orders: Core[OrderView],
        channels: Mapping[str, Channel],
        watcher: Watcher,
        payees: Payees,
    ) -> None:
        self._orders, self._channels = orders, channels
        self._watcher, self._payees = watcher, payees

    async def Prepay(
        self, request: channel_service_pb2.PrepayRequest, context: RpcContext
    ) -> channel_service_pb2.PrepayResponse:
        return await self._prepay(current_call.get(), request)

    async def BatchPrepay(
        self, request: channel_service_pb2.BatchPrepayRequest, context: RpcContext
    ) -> channel_service_pb2.BatchPrepayResponse:
        result = channel_service_pb2.BatchPrepayResult
        results = await batch(request.items, self._prepay, result)
        return channel_service_pb2.BatchPrepayResponse(results=results)

    async def CloseChannelOrder(
        self, request: channel_service_pb2.CloseChannelOrderRequest, context: RpcContext
    ) -> channel_service_pb2.CloseChannelOrderResponse:
        return await self._close(current_call.get(), request)

    async def BatchCloseChannelOrders(
        self, request: channel_service_pb2.BatchCloseChannelOrdersRequest, context: RpcContext
    ) -> channel_service_pb2.BatchCloseChannelOrdersResponse:
        result = channel_service_pb2.BatchCloseChannelOrdersResult
        results = await batch(request.items, self._close, result)
        return channel_service_pb2.BatchCloseChannelOrdersResponse(results=results)

    async def RefundChannelOrder(
        self, request: channel_service_pb2.RefundChannelOrderRequest, context: RpcContext
    ) -> channel_service_pb2.RefundChannelOrderResponse:
        return await self._refund(current_call.get(), request)

    async def BatchRefundChannelOrders(
        self, request: channel_service_pb2.BatchRefundChannelOrdersRequest, context: RpcContext
    ) -> channel_service_pb2.BatchRefundChannelOrdersResponse:
        result = channel_service_pb2.BatchRefundChannelOrdersResult
        results = await batch(request.items, self._refund, result)
        return channel_service_pb2.BatchRefundChannelOrdersResponse(results=results)

    async def Payout(
        self, request: channel_service_pb2.PayoutRequest, context: RpcContext
    ) -> channel_service_pb2.PayoutResponse:
        return await self._payout(current_call.get(), request)

    async def BatchPayouts(
        self, request: channel_service_pb2.BatchPayoutsRequest, context: RpcContext
    ) -> channel_service_pb2.BatchPayoutsResponse:
        result = channel_service_pb2.BatchPayoutsResult
        results = await batch(request.items, self._payout, result)
        return channel_service_pb2.BatchPayoutsResponse(results=results)

    async def GetChannelOrder(
        self, request: channel_service_pb2.GetChannelOrderRequest, context: RpcContext
    ) -> channel_service_pb2.GetChannelOrderResponse:
        return await self._get(current_call.get(), request)

    async def BatchGetChannelOrders(
        self, request: channel_service_pb2.BatchGetChannelOrdersRequest, context: RpcContext
    ) -> channel_service_pb2.BatchGetChannelOrdersResponse:
        result = channel_service_pb2.BatchGetChannelOrdersResult
        results = await batch(request.items, self._get, result)
        return channel_service_pb2.BatchGetChannelOrdersResponse(results=results)

    async def GetCredential(
        self, request: channel_service_pb2.GetCredentialRequest, context: RpcContext
    ) -> channel_service_pb2.GetCredentialResponse:
        order = await self._credential_order(request.credential_id)
        return channel_service_pb2.GetCredentialResponse(credential=credential_to(order))

    async def WatchCredential(
        self, request: channel_service_pb2.WatchCredentialRequest, context: RpcContext
    ) -> AsyncIterator[Any]:
        order = await self._credential_order(request.credential_id)
        limit_s = context.time_remaining() or WATCH_MAX_S
        async for now in self._watcher.watch(order, limit_s=limit_s):
            credential = credential_to(now)
            yield channel_service_pb2.WatchCredentialResponse(credential=credential)
            if credential.state != PENDING:
                return

    async def _prepay(
        self, call: Call, request: channel_service_pb2.PrepayRequest
    ) -> channel_service_pb2.PrepayResponse:
        known_currency(request.amount.currency_code, field="amount.currency_code")
        self._offered(request.channel, Verb.PREPAY)
        command = PlaceOrder(
            context=call.context,
            kind=OrderKind.COLLECT,
            channel=request.channel,
            request_no=request.request_no,
            amount=money_of(request.amount),
            subject=request.subject,
            expires_at=time_asked(request, "expire_time"),
            reference=request.reference,
        )
        response = channel_service_pb2.PrepayResponse

        def reply(view: OrderView) -> channel_service_pb2.PrepayResponse:
            order = _present(view)
            return response(credential=credential_to(order), channel_order=order_to(order))

        request_claim = claim("Prepay", request.request_no, request, request.request_id)
        done = await run(
            self._orders.submit, command, call, request_claim, reply, response, shows_state=True
        )
        return reply(done.state)

    async def _close(
        self, call: Call, request: channel_service_pb2.CloseChannelOrderRequest
    ) -> channel_service_pb2.CloseChannelOrderResponse:
        return await self._submit(
            call,
            RequestClose(request.request_no),
            claim("CloseChannelOrder", request.request_no, request, request.request_id),
            channel_service_pb2.CloseChannelOrderResponse,
        )

    async def _refund(
        self, call: Call, request: channel_service_pb2.RefundChannelOrderRequest
    ) -> channel_service_pb2.RefundChannelOrderResponse:
        original = await self._order(request.original_request_no)
        # Read without a lock: no collection leaves SUCCEEDED, and a channel never changes.
        if original.kind is not OrderKind.COLLECT or original.state is not OrderState.SUCCEEDED:
            raise NotPaid(f"{original.id} is a {original.kind} in {original.state}")
        self._offered(original.channel, Verb.REFUND)
        money_of(request.amount).require_same_currency(original.amount)
        command = PlaceOrder(
            context=call.context,
            kind=OrderKind.REFUND,
            channel=original.channel,
            request_no=request.request_no,
            amount=money_of(request.amount),
            subject="",
            expires_at=None,
            reference=request.reference,
            original_request_no=request.original_request_no,
        )
        return await self._submit(
            call,
            command,
            claim("RefundChannelOrder", request.request_no, request, request.request_id),
            channel_service_pb2.RefundChannelOrderResponse,
        )

    async def _payout(
        self, call: Call, request: channel_service_pb2.PayoutRequest
    ) -> channel_service_pb2.PayoutResponse:
        known_currency(request.amount.currency_code, field="amount.currency_code")
        self._offered(request.channel, Verb.PAYOUT)
        order_id = order_id_of(request.request_no)
        payee = Payee(request.payee.account_no, request.payee.account_name)
        digest = self._payees.digest(payee, order_id=order_id)
        command = PlaceOrder(
            context=call.context,
            kind=OrderKind.PAYOUT,
            channel=request.channel,
            request_no=request.request_no,
            amount=money_of(request.amount),
            subject="",
            expires_at=None,
            reference=request.reference,
            sealed_payee=self._payees.seal(payee, order_id=order_id),
            payee_digest=digest,
        )
        # The claim keeps a plain hash of the request: an account number could be guessed from it.
        claimed = channel_service_pb2.PayoutRequest()
        claimed.CopyFrom(request)
        claimed.payee.CopyFrom(channel_service_pb2.Payee(account_no=digest))
        return await self._submit(
            call,
            command,
            claim("Payout", request.request_no, claimed, request.request_id),
            channel_service_pb2.PayoutResponse,
        )

    async def _submit(
        self, call: Call, command: Any, request_claim: RequestClaim, response: type[M]
    ) -> M:
        """Submits a command whose answer is the order as it stands."""
        made: Callable[..., M] = response

        def reply(view: OrderView) -> M:
            return made(channel_order=order_to(_present(view)))

        done = await run(
            self._orders.submit, command, call, request_claim, reply, response, shows_state=True
        )
        return reply(done.state)

    async def _get(
        self, call: Call, request: channel_service_pb2.GetChannelOrderRequest
    ) -> channel_service_pb2.GetChannelOrderResponse:
        order = await self._order(request.request_no)
        return channel_service_pb2.GetChannelOrderResponse(channel_order=order_to(order))

    def _offered(self, name: str, verb: Verb) -> None:
        channel = self._channels.get(name)
        if channel is None or verb not in channel.verbs:
            raise ChannelNotOffered(name, verb)

    async def _order(self, request_no: str) -> ChannelOrder:
        view = await self._orders.load(order_id_of(request_no))
        if view.order is None:
            raise NotFound(f"no channel order {request_no}", metadata={"field": "request_no"})
        return view.order

    async def _credential_order(self, credential_id: str) -> ChannelOrder:
        view = await self._orders.load(order_id_of(credential_id.removeprefix("crd_")))
        if view.order is None or view.order.kind is not OrderKind.COLLECT:
            raise NotFound(f"no credential {credential_id}", metadata={"field": "credential_id"})
        return view.order


def _present(view: OrderView) -> ChannelOrder:
    assert view.order is not None, "the command has just written or read it"
    return view.order
