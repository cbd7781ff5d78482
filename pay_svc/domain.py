"""Payments and their instructions: what may happen to them, as plain functions.

A payment becomes a plan of instructions. Every step is committed before it is sent, every result
is a compare-and-set, and compensation runs backwards over what succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Decision, Event, Moves, View, event, history, moved
from paymesh.errors import Code, IllegalMove, NotFound, PaymentError
from paymesh.ids import body_of, derived_id, shard_of
from paymesh.money import Money
from paymesh.tools import Tool, require_sum


class Purpose(StrEnum):
    PURCHASE = "PURCHASE"


class PaymentState(StrEnum):
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"
    SUSPENDED = "SUSPENDED"


class InstructionKind(StrEnum):
    CHANNEL_COLLECT = "CHANNEL_COLLECT"
    CHANNEL_REFUND = "CHANNEL_REFUND"


class InstructionState(StrEnum):
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    SUSPENDED = "SUSPENDED"


_P, _I = PaymentState, InstructionState

PAYMENT_MOVES: Moves = {
    _P.PROCESSING: frozenset({_P.SUCCEEDED, _P.FAILED, _P.CLOSED, _P.CLOSING, _P.SUSPENDED}),
    _P.CLOSING: frozenset({_P.SUCCEEDED, _P.FAILED, _P.CLOSED, _P.SUSPENDED}),
    # Late success: the channel's word is the truth, even after an end without money.
    _P.FAILED: frozenset({_P.SUCCEEDED, _P.SUSPENDED}),
    _P.CLOSED: frozenset({_P.SUCCEEDED, _P.SUSPENDED}),
    _P.SUCCEEDED: frozenset({_P.RETURNING}),
    _P.RETURNING: frozenset({_P.RETURNED, _P.SUSPENDED}),
    _P.RETURNED: frozenset(),
    _P.SUSPENDED: frozenset(),
}
INSTRUCTION_MOVES: Moves = {
    _I.PROCESSING: frozenset({_I.SUCCEEDED, _I.FAILED, _I.CLOSED, _I.CLOSING, _I.SUSPENDED}),
    _I.CLOSING: frozenset({_I.SUCCEEDED, _I.FAILED, _I.CLOSED, _I.SUSPENDED}),
    _I.FAILED: frozenset({_I.SUCCEEDED, _I.SUSPENDED}),
    _I.CLOSED: frozenset({_I.SUCCEEDED, _I.SUSPENDED}),
    _I.SUCCEEDED: frozenset(),
    _I.SUSPENDED: frozenset(),
}
UNDER_WAY = frozenset({_P.PROCESSING, _P.CLOSING, _P.RETURNING})


class ToolsNotOffered(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "CHANNEL_NOT_OFFERED"


@dataclass(frozen=True, slots=True)
class Payment:
    id: str
    context: Context
    version: int
    state: PaymentState
    trade_id: str
    purpose: Purpose
    amount: Money
    tools: tuple[Tool, ...]
    subject: str
    expires_at: datetime
    created_at: datetime
    succeeded_at: datetime | None = None
    owner: str = ""
    """Who acts on it when no clock does: `operator` for a suspended payment."""
    next_action_at: datetime | None = None
    action_attempts: int = 0


@dataclass(frozen=True, slots=True)
class Instruction:
    id: str
    context: Context
    version: int
    state: InstructionState
    payment_id: str
    kind: InstructionKind
    amount: Money
    channel: str
    request_no: str
    """Our reference at the channel; committed before the channel hears of it."""
    created_at: datetime
    compensates: str = ""
    channel_txn_id: str = ""
    succeeded_at: datetime | None = None
    observed: Money | None = None
    """What the channel moved, where that differs from the amount."""


@dataclass(frozen=True, slots=True)
class PaymentView:
    payment: Payment | None
    instructions: tuple[Instruction, ...] = ()

    def by_request_no(self, request_no: str) -> Instruction:
        for instruction in self.instructions:
            if instruction.request_no == request_no:
                return instruction
        raise NotFound(f"no instruction with request_no {request_no}")

    def with_instruction(self, changed: Instruction) -> PaymentView:
        return replace(
            self,
            instructions=tuple(changed if i.id == changed.id else i for i in self.instructions),
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the payment core waits before it asks again."""

    effect_lease: timedelta = timedelta(seconds=5)
    """After a commit its own process acts; after this the sweeper does."""


# Commands


@dataclass(frozen=True, slots=True)
class CreatePayment:
    payment_id: str
    context: Context
    trade_id: str
    purpose: Purpose
    amount: Money
    tools: tuple[Tool, ...]
    subject: str
    expires_at: datetime

    @property
    def key(self) -> str:
        return self.payment_id


@dataclass(frozen=True, slots=True)
class CancelPayment:
    payment_id: str
    return_if_succeeded: bool

    @property
    def key(self) -> str:
        return self.payment_id


class ChannelOutcome(StrEnum):
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class ChannelMoved:
    """The end that a channel order has reached: a fact, whatever we had planned."""

    payment_id: str
    context: Context
    request_no: str
    outcome: ChannelOutcome
    moved: Money | None
    channel_txn_id: str
    succeeded_at: datetime | None

    @property
    def key(self) -> str:
        return self.payment_id


# Effects


@dataclass(frozen=True, slots=True)
class AskPrepay:
    context: Context
    payment_id: str
    request_no: str
    channel: str
    amount: Money
    subject: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AskClose:
    context: Context
    payment_id: str
    request_no: str


@dataclass(frozen=True, slots=True)
class AskRefund:
    context: Context
    payment_id: str
    request_no: str
    original_request_no: str
    amount: Money


# Payloads of published events


@dataclass(frozen=True, slots=True)
class PaymentMoved:
    payment: Payment


@dataclass(frozen=True, slots=True)
class InstructionMoved:
    instruction: Instruction
    payment: Payment


D = Decision[PaymentView]


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
