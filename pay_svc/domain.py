"""Payments and their instructions: what may happen to them, as plain functions.

A payment becomes a plan of instructions. Every step is committed before it is sent, every result
is a compare-and-set, and compensation runs backwards over what succeeded.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pay_svc.model import (
    INSTRUCTION_MOVES,
    PAYMENT_MOVES,
    UNDER_WAY,
    AskClose,
    AskPrepay,
    AskRefund,
    CancelPayment,
    ChannelMoved,
    ChannelOutcome,
    CreatePayment,
    Instruction,
    InstructionKind,
    InstructionMoved,
    InstructionState,
    Payment,
    PaymentMoved,
    PaymentState,
    PaymentView,
    Timing,
    ToolsNotOffered,
)
from paymesh.core import Decision, Event, View, event, history, moved
from paymesh.errors import IllegalMove, NotFound
from paymesh.ids import body_of, derived_id, shard_of
from paymesh.tools import Tool, require_sum

D = Decision[PaymentView]
_P, _I = PaymentState, InstructionState


def create_payment(
    state: PaymentView, c: CreatePayment, at: datetime, view: View, *, timing: Timing
) -> D:
    """Plans the payment: one collection by its channel. Known already: nothing new happens."""
    if state.payment is not None:
        return Decision(state=state, answer=state)
    if len(c.tools) != 1:
        raise ToolsNotOffered("a payment takes exactly one tool", metadata={"field": "tools"})
    require_sum(c.tools, c.amount)
    payment = Payment(
        id=c.payment_id,
        context=c.context,
        version=1,
        state=PaymentState.PROCESSING,
        trade_id=c.trade_id,
        purpose=c.purpose,
        amount=c.amount,
        tools=c.tools,
        subject=c.subject,
        expires_at=c.expires_at,
        created_at=at,
        next_action_at=at + timing.effect_lease,
    )
    instructions = tuple(
        _instruction(payment, InstructionKind.CHANNEL_COLLECT, f"collect:{n}", tool, at)
        for n, tool in enumerate(c.tools)
    )
    new = PaymentView(payment, instructions)
    events = [history(payment, "pay.payment.created")]
    events += [history(i, "pay.instruction.started") for i in instructions]
    return Decision(state=new, events=tuple(events), answer=new)


def _instruction(
    payment: Payment,
    kind: InstructionKind,
    key: str,
    tool: Tool,
    at: datetime,
    compensates: str = "",
) -> Instruction:
    """An instruction whose id, and so whose request_no, always follows from payment and key."""
    id_ = derived_id("ins", bucket=shard_of(payment.id), key=f"{payment.id}:{key}")
    return Instruction(
        id=id_,
        context=payment.context,
        version=1,
        state=InstructionState.PROCESSING,
        payment_id=payment.id,
        kind=kind,
        amount=tool.amount,
        channel=tool.channel,
        request_no=body_of(id_),
        created_at=at,
        compensates=compensates,
    )


def cancel_payment(
    state: PaymentView, c: CancelPayment, at: datetime, view: View, *, timing: Timing
) -> D:
    """Closes what has not moved; returns what has, if that is asked for. Asked twice: once done."""
    payment = _existing(state, c.payment_id)
    if payment.state is PaymentState.PROCESSING:
        return _closing(state, payment, at, timing)
    if payment.state is PaymentState.SUCCEEDED and c.return_if_succeeded:
        return _returning(state, payment, at, timing)
    return Decision(state=state, answer=state)


def _closing(state: PaymentView, payment: Payment, at: datetime, timing: Timing) -> D:
    payment = moved(payment, PaymentState.CLOSING, PAYMENT_MOVES)
    events = [history(payment, "pay.payment.closing")]
    instructions = []
    for i in state.instructions:
        if i.state is InstructionState.PROCESSING:
            i = moved(i, InstructionState.CLOSING, INSTRUCTION_MOVES)
            events.append(history(i, "pay.instruction.closing"))
        instructions.append(i)
    new = PaymentView(_scheduled(payment, at, timing), tuple(instructions))
    return Decision(state=new, events=tuple(events), answer=new)


def _returning(state: PaymentView, payment: Payment, at: datetime, timing: Timing) -> D:
    """Compensates backwards what succeeded; the refund's number is derived, so it is always one."""
    payment = moved(payment, PaymentState.RETURNING, PAYMENT_MOVES)
    refunds = tuple(
        _instruction(
            payment,
            InstructionKind.CHANNEL_REFUND,
            f"return:{i.id}",
            Tool(i.channel, i.amount),
            at,
            compensates=i.id,
        )
        for i in reversed(state.instructions)
        if i.state is InstructionState.SUCCEEDED
    )
    events = [history(payment, "pay.payment.returning")]
    events += [history(refund, "pay.instruction.started") for refund in refunds]
    new = PaymentView(_scheduled(payment, at, timing), (*state.instructions, *refunds))
    return Decision(state=new, events=tuple(events), answer=new)


def channel_moved(
    state: PaymentView, c: ChannelMoved, at: datetime, view: View, *, timing: Timing
) -> D:
    """What the gateway reports, in any order and any number of times."""
    payment = _existing(state, c.payment_id)
    instruction = state.by_request_no(c.request_no)
    to = _instruction_end(instruction, c)
    if to not in INSTRUCTION_MOVES[instruction.state]:
        return Decision(state=state, answer=state)  # known already, or overtaken by the truth
    instruction = moved(
        instruction,
        to,
        INSTRUCTION_MOVES,
        channel_txn_id=c.channel_txn_id or instruction.channel_txn_id,
        succeeded_at=c.succeeded_at or (at if to in _MOVED_MONEY else None),
        observed=c.moved if to is InstructionState.SUSPENDED else None,
    )
    state = state.with_instruction(instruction)
    payment, events = _payment_follows(payment, instruction, at)
    if to in _MOVED_MONEY:
        name = f"pay.instruction.{to.lower()}"
        events.append(event(instruction, name, InstructionMoved(instruction, payment)))
    else:
        events.append(history(instruction, f"pay.instruction.{to.lower()}"))
    new = replace(state, payment=_scheduled(payment, at, timing))
    return Decision(state=new, events=tuple(events), answer=new)


_MOVED_MONEY = frozenset({InstructionState.SUCCEEDED, InstructionState.SUSPENDED})


def _instruction_end(instruction: Instruction, c: ChannelMoved) -> InstructionState:
    if c.outcome is ChannelOutcome.SUCCEEDED:
        fits = c.moved is None or c.moved == instruction.amount
        return InstructionState.SUCCEEDED if fits else InstructionState.SUSPENDED
    return InstructionState(c.outcome.value)


_FOLLOWS = {
    (InstructionKind.CHANNEL_COLLECT, _I.SUCCEEDED): _P.SUCCEEDED,
    (InstructionKind.CHANNEL_COLLECT, _I.FAILED): _P.FAILED,
    (InstructionKind.CHANNEL_COLLECT, _I.CLOSED): _P.CLOSED,
    (InstructionKind.CHANNEL_COLLECT, _I.SUSPENDED): _P.SUSPENDED,
    (InstructionKind.CHANNEL_REFUND, _I.SUCCEEDED): _P.RETURNED,
    # A return that the channel refuses, or carries out otherwise, is for a person to settle.
    (InstructionKind.CHANNEL_REFUND, _I.FAILED): _P.SUSPENDED,
    (InstructionKind.CHANNEL_REFUND, _I.CLOSED): _P.SUSPENDED,
    (InstructionKind.CHANNEL_REFUND, _I.SUSPENDED): _P.SUSPENDED,
}
"""Where a payment goes when an instruction of it ends: each payment has one collection."""


def _payment_follows(
    payment: Payment, instruction: Instruction, at: datetime
) -> tuple[Payment, list[Event]]:
    to = _FOLLOWS[(instruction.kind, instruction.state)]
    if to not in PAYMENT_MOVES[payment.state]:
        raise IllegalMove(f"{payment.id} is {payment.state}; {instruction.id} {instruction.state}")
    changes: dict[str, object] = {}
    if to is PaymentState.SUCCEEDED:
        changes["succeeded_at"] = instruction.succeeded_at or at
    if to is PaymentState.SUSPENDED:
        changes["owner"] = "operator"
    payment = moved(payment, to, PAYMENT_MOVES, **changes)
    return payment, [event(payment, f"pay.payment.{to.lower()}", PaymentMoved(payment))]


def owed(state: PaymentView, at: datetime) -> list[object]:
    """What remains to be asked of the gateway."""
    payment = state.payment
    if payment is None:
        return []
    result: list[object] = []
    for i in state.instructions:
        if i.kind is InstructionKind.CHANNEL_COLLECT and i.state is InstructionState.PROCESSING:
            result.append(ask_prepay(payment, i))
        elif i.kind is InstructionKind.CHANNEL_COLLECT and i.state is InstructionState.CLOSING:
            result.append(AskClose(i.context, payment.id, i.request_no))
        elif i.kind is InstructionKind.CHANNEL_REFUND and i.state is InstructionState.PROCESSING:
            original = next(o for o in state.instructions if o.id == i.compensates)
            result.append(
                AskRefund(i.context, payment.id, i.request_no, original.request_no, i.amount)
            )
    return result


def ask_prepay(payment: Payment, instruction: Instruction) -> AskPrepay:
    return AskPrepay(
        context=payment.context,
        payment_id=payment.id,
        request_no=instruction.request_no,
        channel=instruction.channel,
        amount=instruction.amount,
        subject=payment.subject,
        expires_at=payment.expires_at,
    )


def _scheduled(payment: Payment, at: datetime, timing: Timing) -> Payment:
    """When somebody has to look again: soon while something is under way, else never."""
    due = at + timing.effect_lease if payment.state in UNDER_WAY else None
    return replace(payment, next_action_at=due, action_attempts=0)


def _existing(state: PaymentView, payment_id: str) -> Payment:
    if state.payment is None:
        raise NotFound(f"no payment {payment_id}")
    return state.payment
