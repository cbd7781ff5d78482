"""When a hold ends by itself: what its tests share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from payments.pay.v1 import payment_pb2
from payments.type.v1 import instruction_pb2

from clearing_svc.ledger.holds import Hold, HoldView, owed
from paymesh.ids import derived_id
from tests.clearing.ledger_world import AT, hold_id, place

PAYMENT = derived_id("pay", bucket=7, key="p")


PAST = timedelta(seconds=-1)


def expired(name: str = "h", minor: int = 40, *, by: timedelta = -PAST, **changes: Any) -> Any:
    """A hold of the payment's on ann's balance that expired a second ago."""
    at = datetime.now(UTC) - by
    return place(name, minor, reference=PAYMENT, expires_at=at, **changes)


def payment(state: str, **steps: str) -> payment_pb2.Payment:
    """Its steps by kind; each names the hold "h"."""
    return payment_pb2.Payment(
        payment_id=PAYMENT,
        state=f"PAYMENT_STATE_{state}",
        instructions=[
            instruction_pb2.Instruction(
                kind=f"INSTRUCTION_KIND_{kind}",
                state=f"INSTRUCTION_STATE_{of}",
                hold_id=hold_id("h"),
            )
            for kind, of in steps.items()
        ],
    )


def asks(hold: Hold, after: timedelta = timedelta()) -> list[Any]:
    return list(owed(HoldView(hold), AT + after, unknown_ends_after=timedelta(days=7)))
