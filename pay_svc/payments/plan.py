"""Plans: of which steps a payment consists, as plain data that always follows from its row.

A plan is a list of stages. The steps of a stage run side by side; the next stage begins when all of
them have succeeded. Every tool brings its part into the payment's transit: a channel by
collecting, a balance by a hold that is then transferred. Steps that cannot be undone come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pay_svc.instructions import HANDLERS
from pay_svc.payments.model import (
    Instruction,
    InstructionState,
    Payment,
    Purpose,
    ToolsNotOffered,
)
from pay_svc.payments.steps import Plan, Step, instruction_id
from pay_svc.purposes import PURPOSES
from paymesh.ids import body_of
from paymesh.tools import Tool


def require_offered(purpose: Purpose, tools: Sequence[Tool]) -> None:
    """Raises ToolsNotOffered unless payments of this purpose take these tools together."""
    kinds = [tool.kind for tool in tools]
    offered = PURPOSES[purpose].tools
    if not kinds or not offered.issuperset(kinds) or len(set(kinds)) != len(kinds):
        each = " and ".join(sorted(kind.lower() for kind in offered))
        raise ToolsNotOffered(
            f"a {purpose.lower()} takes {each}, each at most once", metadata={"field": "tools"}
        )


def plan_of(payment: Payment) -> Plan:
    return tuple(stage for stage in PURPOSES[payment.purpose].plan(payment) if stage)


def instruction_of(payment: Payment, step: Step, at: datetime) -> Instruction:
    id_ = instruction_id(payment.id, step.key)
    return Instruction(
        id=id_,
        context=payment.context,
        version=1,
        state=InstructionState.PROCESSING,
        payment_id=payment.id,
        kind=step.kind,
        amount=step.amount,
        channel=step.channel,
        request_no=body_of(id_),
        created_at=at,
        compensates=step.compensates,
        hold_id=step.hold_id,
        hold_sources=step.hold_sources,
    )


def compensation_of(done: Instruction) -> Step:
    """The step that undoes an instruction of a kind that can be undone."""
    undone_by = HANDLERS[done.kind].undone_by
    assert undone_by is not None, f"nothing undoes a {done.kind}"
    act, kind = undone_by
    released = HANDLERS[done.kind].holds
    return Step(
        key=f"{act}:{done.id}",
        kind=kind,
        amount=done.amount,
        channel=done.channel,
        hold_id=done.hold_id if released else "",  # a transfer back comes out of transit
        hold_sources=done.hold_sources if released else (),
        compensates=done.id,
    )
