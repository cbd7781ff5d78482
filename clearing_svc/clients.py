"""What the ledger asks of others: the payment core, whether it still needs a hold."""

from __future__ import annotations

import grpc
from payments.pay.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from payments.type.v1 import instruction_pb2

from clearing_svc.ledger.holds import QueryHoldOwner
from paymesh.clock import Clock
from paymesh.coalescer import Coalescer, call_for
from paymesh.context import DeadlineClass
from paymesh.effects import Result
from paymesh.errors import Refused

OVER = frozenset(
    {
        payment_pb2.PAYMENT_STATE_SUCCEEDED,
        payment_pb2.PAYMENT_STATE_FAILED,
        payment_pb2.PAYMENT_STATE_CLOSED,
        payment_pb2.PAYMENT_STATE_RETURNED,
    }
)
"""States in which a payment begins no step any more that could take from a hold. Of one that is
suspended a person may still decide anything."""
NOTHING_TAKEN = frozenset(
    {instruction_pb2.INSTRUCTION_STATE_FAILED, instruction_pb2.INSTRUCTION_STATE_CLOSED}
)
TAKES_NOTHING = frozenset(
    {instruction_pb2.INSTRUCTION_KIND_HOLD, instruction_pb2.INSTRUCTION_KIND_RELEASE}
)


def needs(payment: payment_pb2.Payment, hold_id: str) -> bool:
    """Whether a payment may take from its hold, or has, and that is perhaps not booked yet.

    Once it is False nothing will be taken: a payment that is over begins no step, and a step that
    was given up takes nothing, even if its channel says later that it has moved money (that comes
    out of suspense). A state or a kind of step that we do not know needs the hold.
    """
    return payment.state not in OVER or any(
        step.hold_id == hold_id
        and step.kind not in TAKES_NOTHING
        and step.state not in NOTHING_TAKEN
        for step in payment.instructions
    )


class Owners:
    """Carries out the effect QueryHoldOwner."""

    def __init__(self, channel: grpc.aio.Channel, *, clock: Clock) -> None:
        stub = payment_service_pb2_grpc.PaymentServiceStub(channel)
        self._clock = clock
        self._get = Coalescer(
            stub.BatchGetPayments,
            payment_service_pb2.BatchGetPaymentsRequest,
            caller="clearing",
            clock=clock,
        )

    async def query(self, effect: QueryHoldOwner) -> Result:
        """ExpireHold if the payment will never need it, else nothing: it is asked again later.

        Raises Unavailable and the like where nobody answers: the hold stays.
        """
        background = DeadlineClass.BACKGROUND
        call = call_for(effect.context, self._clock, deadline_class=background)
        request = payment_service_pb2.GetPaymentRequest(payment_id=effect.payment_id)
        try:
            payment = (await self._get.call(call, request)).payment
        except Refused as refusal:
            if refusal.reason != "NOT_FOUND":
                raise
            return Result(effect.expire if effect.unknown_ends else None)
        return Result(None if needs(payment, effect.expire.hold_id) else effect.expire)

    async def close(self) -> None:
        await self._get.close()
