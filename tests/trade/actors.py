"""Who stands around the trade core in its tests: a payment core, the books, and a merchant."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from aiohttp import web
from payments.clearing.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from payments.pay.v1 import (
    payment_events_pb2,
    payment_pb2,
    payment_service_pb2,
    payment_service_pb2_grpc,
)
from payments.trade.v1 import trade_events_pb2, trade_pb2
from payments.type.v1.event_pb2 import Event, EventBatch

from paymesh.bus.port import HANDLED, Bus, Delivery, Message, Verdict
from paymesh.context import Context
from paymesh.errors import NotFound, PaymentError
from paymesh.ids import new_id, shard_of
from paymesh.signing import SignatureError, verify_notification
from paymesh.status import to_status
from paymesh.wire import call_context_of
from tests.trade.trade_world import until

P = payment_pb2.PaymentState

Answer = tuple[payment_pb2.PaymentState, str] | PaymentError
"""A payment's state with the reason of its failure, or a refusal."""


class PaymentCore(payment_service_pb2_grpc.PaymentServiceServicer):
    """A payment core that does as it is told: `decides` says what becomes of a new payment."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.decides: Callable[[Any], Answer] = lambda request: (P.PAYMENT_STATE_PROCESSING, "")
        self.asked: dict[str, Any] = {}
        """The request by payment_id."""
        self.contexts: dict[str, Any] = {}
        self.times: dict[str, int] = {}
        """How often each was asked for."""
        self.cancelled: list[str] = []
        self.states: dict[str, tuple[payment_pb2.PaymentState, str]] = {}
        self._server = grpc.aio.server()
        payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def BatchCreatePayments(self, request: Any, context: Any) -> Any:
        results = [self._create(item) for item in request.items]
        return payment_service_pb2.BatchCreatePaymentsResponse(results=results)

    def _create(self, item: Any) -> Any:
        result, asked = payment_service_pb2.BatchCreatePaymentsResult, item.request
        payment_id = asked.payment_id
        known = self.asked.setdefault(payment_id, asked)
        assert known == asked, "a retry is the same request"
        self.contexts[payment_id] = item.call_context.context
        self.times[payment_id] = self.times.get(payment_id, 0) + 1
        if payment_id not in self.states:
            answer = self.decides(asked)
            if isinstance(answer, PaymentError):
                return result(error=to_status(answer))
            self.states[payment_id] = answer
        response = payment_service_pb2.CreatePaymentResponse(payment=self._payment(payment_id))
        if response.payment.state == P.PAYMENT_STATE_PROCESSING:
            response.credential_id = f"crd_{payment_id.removeprefix('pay_')}"
        return result(response=response)

    async def BatchCancelPayments(self, request: Any, context: Any) -> Any:
        results = [self._cancel(item.request.payment_id) for item in request.items]
        return payment_service_pb2.BatchCancelPaymentsResponse(results=results)

    def _cancel(self, payment_id: str) -> Any:
        result = payment_service_pb2.BatchCancelPaymentsResult
        if payment_id not in self.states:
            return result(error=to_status(NotFound(f"no payment {payment_id}")))
        self.cancelled.append(payment_id)
        response = payment_service_pb2.CancelPaymentResponse(payment=self._payment(payment_id))
        return result(response=response)

    def _payment(self, payment_id: str) -> payment_pb2.Payment:
        asked, (state, why) = self.asked[payment_id], self.states[payment_id]
        return payment_pb2.Payment(
            payment_id=payment_id,
            trade_id=asked.trade_id,
            state=state,
            amount=asked.amount,
            failure_reason=why,
        )

    async def tells(self, payment_id: str, state: str, why: str = "") -> None:
        """The payment moves to this state, and everybody hears of it."""
        self.states[payment_id] = (P.Value(f"PAYMENT_STATE_{state}"), why)
        moved = payment_events_pb2.PaymentMoved(payment=self._payment(payment_id))
        event = Event(
            event_id=new_id("evt", bucket=shard_of(payment_id)),
            type=f"pay.payment.{state.lower()}",
            schema_version=1,
            aggregate_id=payment_id,
            sequence=2,
            call_context=call_context_of(Context(business_id="biz_told")),
            payload=moved.SerializeToString(),
        )
        body = EventBatch(events=[event]).SerializeToString()
        assert await self._bus.publish([Message(event.event_id, event.type, body)]) == [None]


def succeeds(request: Any) -> Answer:
    """At once, as a payment by balance."""
    return P.PAYMENT_STATE_SUCCEEDED, ""


def fails(request: Any) -> Answer:
    """At once: there is not enough money."""
    return P.PAYMENT_STATE_FAILED, "INSUFFICIENT_FUNDS"


class Books(ledger_service_pb2_grpc.LedgerServiceServicer):
    """The ledger: hears which trades were paid, and is asked before of those booked at once."""

    def __init__(self) -> None:
        self.paid: list[trade_events_pb2.TradePaid] = []
        self.refuses: PaymentError | None = None
        """Why it does not book what it is asked to."""
        self.asked: list[ledger_service_pb2.BookEventRequest] = []
        self._server = grpc.aio.server()
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def BatchBookEvents(self, request: Any, context: Any) -> Any:
        result = ledger_service_pb2.BatchBookEventsResult
        self.asked += [item.request for item in request.items]
        results = [
            result(error=to_status(self.refuses)) if self.refuses else result(response={})
            for _ in request.items
        ]
        return ledger_service_pb2.BatchBookEventsResponse(results=results)

    async def __call__(self, deliveries: Sequence[Delivery]) -> Sequence[Verdict]:
        for delivery in deliveries:
            for event in EventBatch.FromString(delivery.message.body).events:
                assert event.type == "trade.trade.paid"
                self.paid.append(trade_events_pb2.TradePaid.FromString(event.payload))
        return [HANDLED for _ in deliveries]

    async def hears(self, trade: trade_pb2.Trade) -> trade_events_pb2.TradePaid:
        """Waits until it hears that this trade was paid."""

        async def is_heard() -> Any:
            return [paid for paid in self.paid if paid.trade_id == trade.trade_id]

        [paid] = await until(is_heard)
        return paid


class Merchant:
    """A merchant's endpoint: takes notifications, and says by which secret each is signed."""

    def __init__(self) -> None:
        self.secrets: list[bytes] = []
        self.heard: list[dict[str, Any]] = []
        self.signed_by: list[int] = []
        """The index in `secrets`, for each that was heard."""
        self.url = ""
        app = web.Application()
        app.router.add_post("/notify", self._take)
        self._runner = web.AppRunner(app)

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/notify"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        header, now = request.headers["Paymesh-Signature"], int(time.time())
        for index, secret in enumerate(self.secrets):
            try:
                verify_notification(secret, header=header, body=body, now_s=now)
            except SignatureError:
                continue
            told = json.loads(body)
            if told["id"] not in [heard["id"] for heard in self.heard]:  # it may be told twice
                self.signed_by.append(index)
                self.heard.append(told)
            return web.Response(status=204)
        return web.Response(status=401)

    async def hears(self, *types: str) -> list[dict[str, Any]]:
        """Waits for notifications of these types, in this order; all of them."""

        async def are_there() -> bool:
            return len(self.heard) >= len(types)

        await until(are_there)
        assert [heard["type"] for heard in self.heard] == list(types)
        return self.heard
