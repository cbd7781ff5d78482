"""One decision about a payment on its way: the rows as they stand, and what has happened to them.

It only keeps the book: each move makes a version and an event. Which moves, progress.py says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from pay_svc.instructions import HANDLERS
from pay_svc.payments.model import (
    INSTRUCTION_MOVES,
    OPEN,
    PAYMENT_MOVES,
    PUBLISHED_MOVEMENTS,
    PUBLISHED_PAYMENTS,
    UNDER_WAY,
    Instruction,
    InstructionMoved,
    InstructionState,
    Payment,
    PaymentMoved,
    PaymentState,
    PaymentTiming,
    PaymentView,
)
from pay_svc.payments.plan import instruction_of
from pay_svc.payments.steps import Step
from paymesh.core import Decision, Event, event, history, moved
from paymesh.errors import NotFound


@dataclass(slots=True)
class Transition:
    before: PaymentView
    payment: Payment
    instructions: dict[str, Instruction]
    """By id."""
    at: datetime
    happened: list[tuple[Payment | Instruction, str]] = field(default_factory=list)
    """Each new version of a row, with its event's type."""

    @classmethod
    def of(cls, state: PaymentView, payment_id: str, at: datetime) -> Transition:
        """Raises NotFound if there is no such payment."""
        if state.payment is None:
            raise NotFound(f"no payment {payment_id}", metadata={"field": "payment_id"})
        return cls(state, state.payment, {i.id: i for i in state.instructions}, at)

    @classmethod
    def begin(cls, payment: Payment, at: datetime) -> Transition:
        """Of a payment that is new."""
        return cls(PaymentView(None), payment, {}, at, [(payment, "pay.payment.created")])

    # What is there

    @property
    def forward(self) -> list[Instruction]:
        """The steps of the plan that were started."""
        return [i for i in self.instructions.values() if not i.compensates]

    @property
    def backward(self) -> list[Instruction]:
        """The steps that undo others."""
        return [i for i in self.instructions.values() if i.compensates]

    def by_request_no(self, request_no: str) -> Instruction:
        for instruction in self.instructions.values():
            if instruction.request_no == request_no:
                return instruction
        raise NotFound(f"no instruction with request_no {request_no}")

    # What happens

    def start(self, step: Step) -> None:
        """Begins a step. One that calls nobody is done with that."""
        instruction = instruction_of(self.payment, step, self.at)
        self.instructions[instruction.id] = instruction
        self.happened.append((instruction, "pay.instruction.started"))
        if HANDLERS[step.kind].immediate:
            self.move(instruction, InstructionState.SUCCEEDED, succeeded_at=self.at)

    def move(self, instruction: Instruction, to: InstructionState, **changes: object) -> None:
        instruction = moved(instruction, to, INSTRUCTION_MOVES, **changes)
        self.instructions[instruction.id] = instruction
        self.happened.append((instruction, f"pay.instruction.{to.lower()}"))

    def close_collections(self) -> None:
        """What the payer could still pay is to be closed."""
        for i in self.forward:
            if HANDLERS[i.kind].collects and i.state is InstructionState.PROCESSING:
                self.move(i, InstructionState.CLOSING)

    def move_payment(self, to: PaymentState, *, reason: str = "") -> None:
        changes: dict[str, object] = {"failure_reason": reason}
        if to is PaymentState.SUCCEEDED:
            times = [i.succeeded_at or self.at for i in self.forward]
            changes["succeeded_at"] = max(times, default=self.at)
        if to is PaymentState.SUSPENDED:
            changes["owner"] = "operator"
        self.payment = moved(self.payment, to, PAYMENT_MOVES, **changes)
        self.happened.append((self.payment, f"pay.payment.{to.lower()}"))

    # What comes of it

    def decision(self, timing: PaymentTiming) -> Decision[PaymentView]:
        """Nothing happened: the state as it was."""
        if not self.happened:
            return Decision(state=self.before, answer=self.before)
        # Somebody looks again: soon while something is under way, else never.
        due = self.at + timing.effect_lease if self.payment.state in UNDER_WAY else None
        payment = replace(self.payment, next_action_at=due, action_attempts=0)
        new = PaymentView(payment, tuple(self.instructions.values()))
        events = tuple(self._event(row, type_) for row, type_ in self.happened)
        return Decision(state=new, events=events, answer=new)

    def _event(self, row: Payment | Instruction, type_: str) -> Event:
        if isinstance(row, Payment):
            if row.state in PUBLISHED_PAYMENTS:
                return event(row, type_, PaymentMoved(row))
        elif HANDLERS[row.kind].moves_money and row.state in PUBLISHED_MOVEMENTS:
            return event(row, type_, InstructionMoved(row, self.payment))
        return history(row, type_)


def is_open(instruction: Instruction) -> bool:
    return instruction.state in OPEN
