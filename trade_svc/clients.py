"""What the trade core asks of the payment core, and of the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc
import structlog
from payments.clearing.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from payments.pay.v1 import (
    beneficiary_pb2,
    beneficiary_service_pb2,
    beneficiary_service_pb2_grpc,
    payment_pb2,
    payment_service_pb2,
    payment_service_pb2_grpc,
)

from paymesh.clock import Clock
from paymesh.coalescer import Coalescer, call_for
from paymesh.effects import Result
from paymesh.errors import NotFound, PaymentError, Refused
from paymesh.ids import request_id_for
from paymesh.wire import money_to, time_to, tools_to
from trade_svc.trades.attempts import paid
from trade_svc.trades.model import (
    BookTrade,
    CancelPayment,
    PaymentMoved,
    PaymentOutcome,
    StartPayment,
    TradeBooked,
)
from trade_svc.trades.refusals import BeneficiaryNotUsable
from trade_svc.wire import encode

log = structlog.get_logger()
ASK_TIMEOUT_S = 1.0
"""How long CreateTrade waits for what is said of a beneficiary: the payment asks again."""

_OUTCOMES = {
    payment_pb2.PAYMENT_STATE_SUCCEEDED: PaymentOutcome.SUCCEEDED,
    payment_pb2.PAYMENT_STATE_FAILED: PaymentOutcome.FAILED,
    payment_pb2.PAYMENT_STATE_CLOSED: PaymentOutcome.CLOSED,
    payment_pb2.PAYMENT_STATE_RETURNED: PaymentOutcome.RETURNED,
    payment_pb2.PAYMENT_STATE_SUSPENDED: PaymentOutcome.SUSPENDED,
}
"""The payment states that mean something to a trade; the others mean: wait."""


NOT_TAKEN = frozenset({"ACCOUNT_NOT_OPEN", "INSUFFICIENT_FUNDS"})
"""Verdicts of the ledger's on accounts, which it keeps. Anything else is for a person: the trade
waits, and the ledger is asked again."""


def outcome_of(state: payment_pb2.PaymentState) -> PaymentOutcome | None:
    return _OUTCOMES.get(state)


class PaymentCore:
    """Carries out the effects StartPayment and CancelPayment."""

    def __init__(self, channel: grpc.aio.Channel, *, clock: Clock) -> None:
        stub = payment_service_pb2_grpc.PaymentServiceStub(channel)
        self._clock = clock
        self._create = Coalescer(
            stub.BatchCreatePayments,
            payment_service_pb2.BatchCreatePaymentsRequest,
            caller="trade",
            clock=clock,
        )
        self._cancel = Coalescer(
            stub.BatchCancelPayments,
            payment_service_pb2.BatchCancelPaymentsRequest,
            caller="trade",
            clock=clock,
        )

    async def start_payment(self, effect: StartPayment) -> Result:
        """CreatePayment; its value is the credential_id.

        A final refusal makes the attempt or refund a failed one; anything else is asked again.
        """
        request = payment_service_pb2.CreatePaymentRequest(
            request_id=request_id_for(effect.payment_id, act="create"),
            payment_id=effect.payment_id,
            trade_id=effect.trade_id,
            purpose=f"PAYMENT_PURPOSE_{effect.purpose}",
            amount=money_to(effect.amount),
            tools=tools_to(effect.tools),
            expire_time=time_to(effect.expires_at),
            subject=effect.subject,
            payer_id=effect.payer_id,
            beneficiary_id=effect.beneficiary_id,
            original_payment_id=effect.original_payment_id,
            payee_id=effect.payee_id,
            beneficiary_owner_id=effect.beneficiary_owner_id,
        )
        try:
            response = await self._create.call(call_for(effect.context, self._clock), request)
        except Refused as refusal:
            return Result(_moved(effect, PaymentOutcome.FAILED, refusal.verdict()))
        return Result(_payment_moved(effect, response.payment), response.credential_id)

    async def cancel_payment(self, effect: CancelPayment) -> Result:
        """CancelPayment. A payment of which nothing is known is a closed one, in time."""
        request = payment_service_pb2.CancelPaymentRequest(
            request_id=request_id_for(
                effect.payment_id, act="return" if effect.return_if_succeeded else "cancel"
            ),
            payment_id=effect.payment_id,
            return_if_succeeded=effect.return_if_succeeded,
            reason="the trade does not take it",
        )
        try:
            response = await self._cancel.call(call_for(effect.context, self._clock), request)
        except Refused as refusal:
            if refusal.reason == "NOT_FOUND" and effect.unknown_means_closed:
                return Result(_moved(effect, PaymentOutcome.CLOSED))
            raise
        return Result(_payment_moved(effect, response.payment))

    async def close(self) -> None:
        await self._create.close()
        await self._cancel.close()


Withdrawable = Callable[..., Awaitable[PaymentError | None]]
"""Of beneficiary_id, merchant_id and owner_id: why nothing can be withdrawn to it, if so."""


class Beneficiaries:
    """What the payment core knows of beneficiaries."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = beneficiary_service_pb2_grpc.BeneficiaryServiceStub(channel)

    async def refusal(
        self, beneficiary_id: str, *, merchant_id: str, owner_id: str
    ) -> PaymentError | None:
        """None: its owner may withdraw to it; or nobody answers, and the payment is to say."""
        if not beneficiary_id:
            return None
        request = beneficiary_service_pb2.GetBeneficiaryRequest(
            beneficiary_id=beneficiary_id, merchant_id=merchant_id
        )
        try:
            response = await self._stub.GetBeneficiary(request, timeout=ASK_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                log.warning("beneficiary.not_asked", error=error.details())
                return None
            return _no_beneficiary(beneficiary_id)
        if response.beneficiary.owner_id != owner_id:
            return _no_beneficiary(beneficiary_id)
        if response.beneficiary.state == beneficiary_pb2.BENEFICIARY_STATE_DELETED:
            return BeneficiaryNotUsable(
                f"{beneficiary_id} was deleted; create another one",
                metadata={"field": "beneficiary_id"},
            )
        return None


def _no_beneficiary(beneficiary_id: str) -> NotFound:
    return NotFound(
        f"no beneficiary {beneficiary_id} of this payer's", metadata={"field": "beneficiary_id"}
    )


class Ledger:
    """Carries out the effect BookTrade."""

    def __init__(self, channel: grpc.aio.Channel, *, clock: Clock) -> None:
        stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self._clock = clock
        self._book = Coalescer(
            stub.BatchBookEvents,
            ledger_service_pb2.BatchBookEventsRequest,
            caller="trade",
            clock=clock,
        )

    async def book(self, effect: BookTrade) -> Result:
        """BookEvent with what everybody hears once it is booked: then the ledger knows it.

        Where an account does not take it, nothing is booked, however often this request comes.
        """
        trade = effect.trade
        event = paid(trade)
        request = ledger_service_pb2.BookEventRequest(
            request_id=request_id_for(effect.payment_id, act="book"),
            event_type=event.type,
            occurred_time=time_to(trade.paid_at),
            payload=encode(event),
        )
        refusal = ""
        try:
            await self._book.call(call_for(effect.context, self._clock), request)
        except Refused as refused:
            if refused.reason not in NOT_TAKEN:
                raise
            refusal = refused.reason
        return Result(TradeBooked(trade.id, effect.payment_id, effect.context, refusal))

    async def close(self) -> None:
        await self._book.close()


def _payment_moved(
    effect: StartPayment | CancelPayment, payment: payment_pb2.Payment
) -> PaymentMoved | None:
    """What a payment's state tells the trade; None: wait."""
    outcome = outcome_of(payment.state)
    return _moved(effect, outcome, payment.failure_reason) if outcome else None


def _moved(
    effect: StartPayment | CancelPayment, outcome: PaymentOutcome, failure_reason: str = ""
) -> PaymentMoved:
    return PaymentMoved(
        trade_id=effect.trade_id,
        payment_id=effect.payment_id,
        outcome=outcome,
        amount=effect.amount,
        context=effect.context,
        failure_reason=failure_reason,
    )
