"""The payment core's neighbours: small gRPC servers that do what their contracts say, and what a
test wants."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from payments.clearing.v1 import ledger_pb2, ledger_service_pb2, ledger_service_pb2_grpc
from payments.gateway.v1 import (
    channel_events_pb2,
    channel_pb2,
    channel_service_pb2,
    channel_service_pb2_grpc,
)
from payments.type.v1 import context_pb2
from payments.type.v1.context_pb2 import CallContext
from payments.type.v1.event_pb2 import Event, EventBatch

from paymesh.bus.port import Bus, Message
from paymesh.context import Call
from paymesh.errors import Code, NotFound, PaymentError, Refused, Unavailable
from paymesh.ids import new_id
from paymesh.outbox import SCHEMA_VERSION
from paymesh.rpc import batch
from paymesh.server import Service


class Doors:
    """Methods that a test has closed, or that refuse; and how often each was called."""

    def __init__(self) -> None:
        self.refusals: dict[str, PaymentError] = {}
        self.calls: Counter[str] = Counter()
        self._closed: dict[str, asyncio.Event] = {}

    def close(self, method: str) -> None:
        """Calls of it wait from now on."""
        self._closed[method] = asyncio.Event()

    def open(self, method: str) -> None:
        self._closed.pop(method).set()

    async def passed(self, method: str) -> None:
        """One call goes through. Raises the refusal that is set for it."""
        self.calls[method] += 1
        if method in self._closed:
            await self._closed[method].wait()
        if method in self.refusals:
            raise self.refusals[method]


class GatewayStandIn(channel_service_pb2_grpc.ChannelServiceServicer):
    """Keeps channel orders as it is told; a test says how they end."""

    def __init__(self, bus: Bus) -> None:
        self.doors = Doors()
        self.orders: dict[str, channel_pb2.ChannelOrder] = {}
        self.payees: dict[str, channel_service_pb2.Payee] = {}
        self._contexts: dict[str, Call] = {}
        self._bus = bus

    async def BatchPrepay(self, request: Any, context: Any) -> Any:
        results = await batch(request.items, self._prepay, channel_service_pb2.BatchPrepayResult)
        return channel_service_pb2.BatchPrepayResponse(results=results)

    async def BatchCloseChannelOrders(self, request: Any, context: Any) -> Any:
        result = channel_service_pb2.BatchCloseChannelOrdersResult
        results = await batch(request.items, self._close, result)
        return channel_service_pb2.BatchCloseChannelOrdersResponse(results=results)

    async def BatchRefundChannelOrders(self, request: Any, context: Any) -> Any:
        result = channel_service_pb2.BatchRefundChannelOrdersResult
        results = await batch(request.items, self._refund, result)
        return channel_service_pb2.BatchRefundChannelOrdersResponse(results=results)

    async def BatchPayouts(self, request: Any, context: Any) -> Any:
        results = await batch(request.items, self._payout, channel_service_pb2.BatchPayoutsResult)
        return channel_service_pb2.BatchPayoutsResponse(results=results)

    async def _prepay(self, call: Call, request: Any) -> Any:
        await self.doors.passed("prepay")
        order = self._placed(call, request, "COLLECT", channel=request.channel)
        credential = channel_pb2.Credential(credential_id=f"crd_{request.request_no}")
        return channel_service_pb2.PrepayResponse(channel_order=order, credential=credential)

    async def _close(self, call: Call, request: Any) -> Any:
        await self.doors.passed("close")
        order = self.orders.get(request.request_no)
        if order is None:
            raise NotFound(f"no channel order {request.request_no}")
        if order.state == channel_pb2.CHANNEL_ORDER_STATE_PENDING:
            order.state = channel_pb2.CHANNEL_ORDER_STATE_CLOSED
        return channel_service_pb2.CloseChannelOrderResponse(channel_order=order)

    async def _refund(self, call: Call, request: Any) -> Any:
        await self.doors.passed("refund")
        original = request.original_request_no
        order = self._placed(call, request, "REFUND", original_request_no=original)
        return channel_service_pb2.RefundChannelOrderResponse(channel_order=order)

    async def _payout(self, call: Call, request: Any) -> Any:
        await self.doors.passed("payout")
        self.payees[request.request_no] = request.payee
        order = self._placed(call, request, "PAYOUT", channel=request.channel)
        return channel_service_pb2.PayoutResponse(channel_order=order)

    def _placed(self, call: Call, request: Any, kind: str, **more: str) -> Any:
        self._contexts[request.request_no] = call
        return self.orders.setdefault(
            request.request_no,
            channel_pb2.ChannelOrder(
                channel_order_id=f"chn_{request.request_no}",
                request_no=request.request_no,
                kind=f"CHANNEL_ORDER_KIND_{kind}",
                state=channel_pb2.CHANNEL_ORDER_STATE_PENDING,
                amount=request.amount,
                reference=request.reference,
                version=1,
                **more,
            ),
        )

    async def ends(self, request_no: str, state: str, *, reason: str = "") -> None:
        """The order ends, and the gateway tells so."""
        order = self.orders[request_no]
        order.state = channel_pb2.ChannelOrderState.Value(f"CHANNEL_ORDER_STATE_{state}")
        order.version += 1
        order.failure_reason = reason
        if state in {"SUCCEEDED", "BOUNCED"}:
            order.moved_amount.CopyFrom(order.amount)
            order.channel_txn_id = f"txn_{request_no}"
        event = Event(
            event_id=new_id("evt", bucket=1),
            type="gateway.channel.result",
            schema_version=SCHEMA_VERSION,
            aggregate_id=order.channel_order_id,
            sequence=order.version,
            call_context=CallContext(context=_context_of(self._contexts[request_no])),
            payload=channel_events_pb2.ChannelResult(channel_order=order).SerializeToString(),
        )
        body = EventBatch(events=[event]).SerializeToString()
        [failure] = await self._bus.publish([Message(event.event_id, event.type, body)])
        assert failure is None


def _context_of(call: Call) -> context_pb2.Context:
    context = call.context
    return context_pb2.Context(business_id=context.business_id, merchant_id=context.merchant_id)


class LedgerStandIn(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Holds what there is on its first source, by `balances` of (subject, owner)."""

    def __init__(self) -> None:
        self.doors = Doors()
        self.balances: Counter[tuple[str, str]] = Counter()
        self.holds: dict[str, ledger_pb2.Hold] = {}
        self.asked: list[Any] = []

    async def BatchPlaceHolds(self, request: Any, context: Any) -> Any:
        result = ledger_service_pb2.BatchPlaceHoldsResult
        results = await batch(request.items, self._place, result)
        return ledger_service_pb2.BatchPlaceHoldsResponse(results=results)

    async def BatchReleaseHolds(self, request: Any, context: Any) -> Any:
        result = ledger_service_pb2.BatchReleaseHoldsResult
        results = await batch(request.items, self._release, result)
        return ledger_service_pb2.BatchReleaseHoldsResponse(results=results)

    async def _place(self, call: Call, request: Any) -> Any:
        await self.doors.passed("place")
        self.asked.append(request)
        if request.hold_id not in self.holds:
            account = (request.sources[0].subject, request.sources[0].owner)
            if self.balances[account] < request.amount.minor_units:
                raise refused("INSUFFICIENT_FUNDS")
            self.balances[account] -= request.amount.minor_units
            self.holds[request.hold_id] = ledger_pb2.Hold(
                hold_id=request.hold_id, state=ledger_pb2.HOLD_STATE_HELD, amount=request.amount
            )
        return ledger_service_pb2.PlaceHoldResponse(hold=self.holds[request.hold_id])

    async def _release(self, call: Call, request: Any) -> Any:
        await self.doors.passed("release")
        hold = self.holds[request.hold_id]
        if hold.state == ledger_pb2.HOLD_STATE_HELD:
            account = (request.sources[0].subject, request.sources[0].owner)
            self.balances[account] += hold.amount.minor_units
            hold.state = ledger_pb2.HOLD_STATE_RELEASED
        return ledger_service_pb2.ReleaseHoldResponse(hold=hold)


def refused(reason: str, code: Code = Code.FAILED_PRECONDITION) -> PaymentError:
    return Refused(code=code, reason=reason, message=reason.lower())


AWAY = Unavailable("not now")


def gateway_service(servicer: GatewayStandIn) -> Service:
    return Service(
        channel_service_pb2.DESCRIPTOR.services_by_name["ChannelService"],
        channel_service_pb2_grpc.add_ChannelServiceServicer_to_server,
        servicer,
    )


def ledger_service(servicer: LedgerStandIn) -> Service:
    return Service(
        ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"],
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server,
        servicer,
    )
