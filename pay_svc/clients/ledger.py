"""What the payment core asks of the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2, ledger_service_pb2_grpc
from payments.type.v1 import account_pb2

from pay_svc.instructions.hold import RequestHold
from pay_svc.instructions.release import RequestRelease
from pay_svc.payments.model import AccountRef, HoldMoved, HoldOutcome
from paymesh.clock import Clock
from paymesh.coalescer import Coalescer, call_for
from paymesh.effects import Result
from paymesh.errors import Refused
from paymesh.ids import request_id_for
from paymesh.wire import money_to, time_to


class Ledger:
    """Carries out the effects RequestHold and RequestRelease."""

    def __init__(self, channel: grpc.aio.Channel, *, clock: Clock) -> None:
        stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        m = ledger_service_pb2
        self._clock = clock
        self._place = Coalescer(
            stub.BatchPlaceHolds, m.BatchPlaceHoldsRequest, caller="pay", clock=clock
        )
        self._release = Coalescer(
            stub.BatchReleaseHolds, m.BatchReleaseHoldsRequest, caller="pay", clock=clock
        )

    async def place(self, effect: RequestHold) -> Result:
        """PlaceHold: all of it or nothing. A final refusal is a failed hold, and so is one that the
        ledger has released, because it had asked us and we did not know the payment."""
        request = ledger_service_pb2.PlaceHoldRequest(
            request_id=request_id_for(effect.request_no, act="hold"),
            hold_id=effect.hold_id,
            amount=money_to(effect.amount),
            sources=_accounts(effect.sources),
            reference=effect.payment_id,
            expire_time=time_to(effect.expires_at),
            payees=_accounts(effect.payees),
        )
        if effect.after is not None:
            event_type, business_key = effect.after
            request.after.event_type, request.after.business_key = event_type, business_key
        try:
            response = await self._place.call(call_for(effect.context, self._clock), request)
        except Refused as refusal:
            return _moved(effect, HoldOutcome.FAILED, refusal.verdict())
        if response.hold.state == ledger_pb2.HOLD_STATE_RELEASED:
            return _moved(effect, HoldOutcome.FAILED, "HOLD_ENDED")
        return _moved(effect, HoldOutcome.SUCCEEDED)

    async def release(self, effect: RequestRelease) -> Result:
        """ReleaseHold. What journals have taken already cannot be released: that has failed."""
        request = ledger_service_pb2.ReleaseHoldRequest(
            request_id=request_id_for(effect.request_no, act="release"),
            hold_id=effect.hold_id,
            sources=_accounts(effect.sources),
            currency_code=effect.currency,
        )
        try:
            response = await self._release.call(call_for(effect.context, self._clock), request)
        except Refused as refusal:
            return _moved(effect, HoldOutcome.FAILED, refusal.verdict())
        if response.hold.state == ledger_pb2.HOLD_STATE_RELEASED:
            return _moved(effect, HoldOutcome.SUCCEEDED)
        return _moved(effect, HoldOutcome.FAILED, "HOLD_ENDED")

    async def stop(self) -> None:
        for coalescer in (self._place, self._release):
            await coalescer.close()


def _accounts(sources: Sequence[AccountRef]) -> list[account_pb2.AccountRef]:
    return [account_pb2.AccountRef(subject=s.subject, owner=s.owner) for s in sources]


def _moved(effect: RequestHold | RequestRelease, outcome: HoldOutcome, reason: str = "") -> Result:
    return Result(HoldMoved(effect.payment_id, effect.context, effect.request_no, outcome, reason))
