"""PaymentService: message ↔ command, nothing more.

Every answer shows the payment as it stands now, a replayed one too: the trade core asks again
until it sees an end.
"""

from __future__ import annotations

import time
from typing import Any

from payments.pay.v1 import payment_service_pb2, payment_service_pb2_grpc

from pay_svc.domain import ask_prepay
from pay_svc.model import (
    CancelPayment,
    CreatePayment,
    InstructionKind,
    InstructionState,
    PaymentView,
)
from pay_svc.wire import purpose_of, view_to
from paymesh.app import Core
from paymesh.context import Call
from paymesh.errors import NotFound
from paymesh.money import known_currency
from paymesh.rpc import batch, claim, current_call, run
from paymesh.wire import money_of, time_of, tools_of

CREDENTIAL_WAIT_S = 1.5
"""How long CreatePayment waits for the credential before it answers without."""


class PaymentServicer(payment_service_pb2_grpc.PaymentServiceServicer):
    def __init__(self, payments: Core[PaymentView]) -> None:
        self._payments = payments

    async def CreatePayment(self, request: Any, context: Any) -> Any:
        return await self._create(current_call.get(), request)

    async def BatchCreatePayments(self, request: Any, context: Any) -> Any:
        result = payment_service_pb2.BatchCreatePaymentsResult
        results = await batch(request.items, self._create, result)
        return payment_service_pb2.BatchCreatePaymentsResponse(results=results)

    async def CancelPayment(self, request: Any, context: Any) -> Any:
        return await self._cancel(current_call.get(), request)

    async def BatchCancelPayments(self, request: Any, context: Any) -> Any:
        result = payment_service_pb2.BatchCancelPaymentsResult
        results = await batch(request.items, self._cancel, result)
        return payment_service_pb2.BatchCancelPaymentsResponse(results=results)

    async def GetPayment(self, request: Any, context: Any) -> Any:
        return await self._get(current_call.get(), request)

    async def BatchGetPayments(self, request: Any, context: Any) -> Any:
        result = payment_service_pb2.BatchGetPaymentsResult
        results = await batch(request.items, self._get, result)
        return payment_service_pb2.BatchGetPaymentsResponse(results=results)

    async def _create(self, call: Call, request: Any) -> Any:
        known_currency(request.amount.currency_code, field="amount.currency_code")
        command = CreatePayment(
            payment_id=request.payment_id,
            context=call.context,
            trade_id=request.trade_id,
            purpose=purpose_of(request.purpose),
            amount=money_of(request.amount),
            tools=tools_of(request.tools),
            subject=request.subject,
            expires_at=time_of(request.expire_time),
        )
        response = payment_service_pb2.CreatePaymentResponse
        done = await run(
            self._payments.submit,
            command,
            call,
            claim("CreatePayment", request.payment_id, request, request.request_id),
            lambda view: response(payment=view_to(view)),
            response,
        )
        credential_id = await self._credential(done.state, call)
        return response(payment=view_to(done.state), credential_id=credential_id)

    async def _credential(self, view: PaymentView, call: Call) -> str:
        """The collection's credential if it comes in time; else empty: the sweeper goes on."""
        assert view.payment is not None
        effects = [
            ask_prepay(view.payment, i)
            for i in view.instructions
            if i.kind is InstructionKind.CHANNEL_COLLECT and i.state is InstructionState.PROCESSING
        ]
        wait_s = min(CREDENTIAL_WAIT_S, 0.7 * (call.deadline - time.monotonic()))
        values = await self._payments.executor.settle(effects, timeout_s=wait_s)
        return next(filter(None, values), "")

    async def _cancel(self, call: Call, request: Any) -> Any:
        response = payment_service_pb2.CancelPaymentResponse
        done = await run(
            self._payments.submit,
            CancelPayment(request.payment_id, request.return_if_succeeded),
            call,
            claim("CancelPayment", request.payment_id, request, request.request_id),
            lambda view: response(payment=view_to(view)),
            response,
        )
        return response(payment=view_to(done.state))

    async def _get(self, call: Call, request: Any) -> Any:
        view = await self._payments.load(request.payment_id)
        if view.payment is None:
            raise NotFound(f"no payment {request.payment_id}", metadata={"field": "payment_id"})
        return payment_service_pb2.GetPaymentResponse(payment=view_to(view))
