"""PaymentService: message ↔ command, nothing more.

Every answer shows the payment as it stands now, a replayed one too: the trade core asks again
until it sees an end.
"""

from __future__ import annotations

import time

from payments.pay.v1 import payment_service_pb2, payment_service_pb2_grpc

from pay_svc.beneficiaries.domain import BeneficiaryView
from pay_svc.instructions import HANDLERS
from pay_svc.payments.effects import awaited
from pay_svc.payments.model import (
    CancelPayment,
    CreatePayment,
    InstructionState,
    PaymentState,
    PaymentView,
)
from pay_svc.wire import purpose_of, view_to
from paymesh.app import Core
from paymesh.context import Call
from paymesh.errors import NotFound
from paymesh.money import known_currency
from paymesh.rpc import RpcContext, batch, claim, current_call, run
from paymesh.wire import money_of, time_asked, tools_of

CREDENTIAL_WAIT_S = 1.5
"""How long CreatePayment waits for holds and credential before it answers without."""

ADVICE = ("payee_id", "beneficiary_owner_id")
"""Fields of CreatePayment that versions of the trade core learned to say."""


class PaymentServicer(payment_service_pb2_grpc.PaymentServiceServicer):
    def __init__(self, payments: Core[PaymentView], beneficiaries: Core[BeneficiaryView]) -> None:
        self._payments, self._beneficiaries = payments, beneficiaries

    async def CreatePayment(
        self, request: payment_service_pb2.CreatePaymentRequest, context: RpcContext
    ) -> payment_service_pb2.CreatePaymentResponse:
        return await self._create(current_call.get(), request)

    async def BatchCreatePayments(
        self, request: payment_service_pb2.BatchCreatePaymentsRequest, context: RpcContext
    ) -> payment_service_pb2.BatchCreatePaymentsResponse:
        result = payment_service_pb2.BatchCreatePaymentsResult
        results = await batch(request.items, self._create, result)
        return payment_service_pb2.BatchCreatePaymentsResponse(results=results)

    async def CancelPayment(
        self, request: payment_service_pb2.CancelPaymentRequest, context: RpcContext
    ) -> payment_service_pb2.CancelPaymentResponse:
        return await self._cancel(current_call.get(), request)

    async def BatchCancelPayments(
        self, request: payment_service_pb2.BatchCancelPaymentsRequest, context: RpcContext
    ) -> payment_service_pb2.BatchCancelPaymentsResponse:
        result = payment_service_pb2.BatchCancelPaymentsResult
        results = await batch(request.items, self._cancel, result)
        return payment_service_pb2.BatchCancelPaymentsResponse(results=results)

    async def GetPayment(
        self, request: payment_service_pb2.GetPaymentRequest, context: RpcContext
    ) -> payment_service_pb2.GetPaymentResponse:
        return await self._get(current_call.get(), request)

    async def BatchGetPayments(
        self, request: payment_service_pb2.BatchGetPaymentsRequest, context: RpcContext
    ) -> payment_service_pb2.BatchGetPaymentsResponse:
        result = payment_service_pb2.BatchGetPaymentsResult
        results = await batch(request.items, self._get, result)
        return payment_service_pb2.BatchGetPaymentsResponse(results=results)

    async def _create(
        self, call: Call, request: payment_service_pb2.CreatePaymentRequest
    ) -> payment_service_pb2.CreatePaymentResponse:
        known_currency(request.amount.currency_code, field="amount.currency_code")
        beneficiary = None
        if request.beneficiary_id:
            beneficiary = (await self._beneficiaries.load(request.beneficiary_id)).beneficiary
        expires_at = time_asked(request, "expire_time")
        assert expires_at is not None, "the contract requires it"
        command = CreatePayment(
            payment_id=request.payment_id,
            context=call.context,
            trade_id=request.trade_id,
            purpose=purpose_of(request.purpose),
            amount=money_of(request.amount),
            tools=tools_of(request.tools),
            subject=request.subject,
            expires_at=expires_at,
            payer_id=request.payer_id,
            beneficiary_id=request.beneficiary_id,
            beneficiary=beneficiary,
            beneficiary_owner_id=request.beneficiary_owner_id,
            original_payment_id=request.original_payment_id,
            payee_id=request.payee_id,
        )
        id_, response = request.payment_id, payment_service_pb2.CreatePaymentResponse
        done = await run(
            self._payments.submit,
            command,
            call,
            claim("CreatePayment", id_, request, request.request_id, advice=ADVICE),
            lambda view: response(payment=view_to(view)),
            response,
            shows_state=True,
        )
        view, credential_id = await self._prepared(done.state, call)
        return response(payment=view_to(view), credential_id=credential_id)

    async def _prepared(self, view: PaymentView, call: Call) -> tuple[PaymentView, str]:
        """The payment once its holds have answered, and its collection's credential.

        If they do not come in time: the payment as it is, without one; the sweeper goes on. The
        payer gets to pay the channel's part only when all that is to be held is held.
        """
        payment = view.payment
        assert payment is not None
        if payment.state is not PaymentState.PROCESSING:
            return view, ""
        wait_s = min(CREDENTIAL_WAIT_S, 0.7 * (call.deadline - time.monotonic()))
        values = await self._payments.executor.execute(awaited(view), timeout_s=wait_s)
        credential_id = next(filter(None, values), "")
        if not credential_id or any(i.hold_id for i in view.instructions):
            view = await self._payments.load(payment.id)
        return view, credential_id if _payable(view) else ""

    async def _cancel(
        self, call: Call, request: payment_service_pb2.CancelPaymentRequest
    ) -> payment_service_pb2.CancelPaymentResponse:
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

    async def _get(
        self, call: Call, request: payment_service_pb2.GetPaymentRequest
    ) -> payment_service_pb2.GetPaymentResponse:
        view = await self._payments.load(request.payment_id)
        of = request.merchant_id
        if view.payment is None or of not in {"", view.payment.context.merchant_id}:
            raise NotFound(f"no payment {request.payment_id}", metadata={"field": "payment_id"})
        return payment_service_pb2.GetPaymentResponse(payment=view_to(view))


def _payable(view: PaymentView) -> bool:
    """Whether the payer may pay at the channel now."""
    assert view.payment is not None
    return view.payment.state is PaymentState.PROCESSING and all(
        i.state is InstructionState.SUCCEEDED for i in view.instructions if HANDLERS[i.kind].holds
    )
