"""Payments: what may be asked of them, and what is reported to them, as plain functions.

Every step is committed before it is sent, every result is a compare-and-set. Each function notes
what has come and lets the payment go on as far as that allows (progress.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pay_svc.beneficiaries.domain import usable
from pay_svc.instructions import HANDLERS
from pay_svc.payments.model import (
    INSTRUCTION_MOVES,
    PUBLISHED_MOVEMENTS,
    CancelPayment,
    ChannelMoved,
    ChannelOutcome,
    CreatePayment,
    HoldMoved,
    Instruction,
    InstructionState,
    Payment,
    PaymentState,
    PaymentTiming,
    PaymentView,
)
from pay_svc.payments.plan import require_offered
from pay_svc.payments.progress import advance, cancel, give_back
from pay_svc.payments.transition import Transition
from pay_svc.purposes import PURPOSES
from pay_svc.tools import TOOLS
from paymesh.core import Decision, View
from paymesh.errors import IllegalMove, InvalidField
from paymesh.tools import Tool, require_sum

D = Decision[PaymentView]
_I = InstructionState
WITHOUT_MONEY = frozenset({_I.FAILED, _I.CLOSED})


def create_payment(
    state: PaymentView, command: CreatePayment, at: datetime, view: View, *, timing: PaymentTiming
) -> D:
    """Starts the payment's plan. Known already: nothing new happens."""
    if state.payment is not None:
        return Decision(state=state, answer=state)
    require_offered(command.purpose, command.tools)
    require_sum(command.tools, command.amount)
    _require_parties(command)
    payout_channel = ""
    if "beneficiary_id" in PURPOSES[command.purpose].needs:
        owner_id, merchant_id = (
            command.beneficiary_owner_id or command.payer_id,
            command.context.merchant_id,
        )
        payout_channel = usable(
            command.beneficiary, by=owner_id, merchant_id=merchant_id, at=at
        ).channel
    payment = Payment(
        id=command.payment_id,
        context=command.context,
        version=1,
        state=PaymentState.PROCESSING,
        trade_id=command.trade_id,
        purpose=command.purpose,
        amount=command.amount,
        tools=command.tools,
        subject=command.subject,
        expires_at=command.expires_at,
        created_at=at,
        payer_id=command.payer_id if _of_payer(command.tools) else "",
        beneficiary_id=command.beneficiary_id,
        payout_channel=payout_channel,
        original_payment_id=command.original_payment_id,
        payee_id=command.payee_id,
    )
    transition = Transition.begin(payment, at)
    advance(transition)
    return transition.decision(timing)


def _require_parties(command: CreatePayment) -> None:
    """Raises InvalidField for who is missing, or does not belong here."""
    if _of_payer(command.tools) and not command.payer_id:
        raise InvalidField("payer_id", "is required where a balance takes part")
    declared = PURPOSES[command.purpose]
    for field in sorted({name for d in PURPOSES.values() for name in d.needs | d.takes}):
        value = getattr(command, field)
        if field in declared.needs and not value:
            raise InvalidField(field, f"is required for the purpose {command.purpose}")
        if field not in declared.needs | declared.takes and value:
            others = (d.purpose for d in PURPOSES.values() if field in d.needs | d.takes)
            raise InvalidField(field, f"is for the purpose {' or '.join(others)} only")


def _of_payer(tools: Sequence[Tool]) -> bool:
    """Whether something is taken from the payer's balance."""
    return any(TOOLS[tool.kind].of_payer for tool in tools)


def cancel_payment(
    state: PaymentView, command: CancelPayment, at: datetime, view: View, *, timing: PaymentTiming
) -> D:
    """Closes what has not moved; returns what has, if that is asked for. Asked twice: once done."""
    transition = Transition.of(state, command.payment_id, at)
    if transition.payment.state is PaymentState.PROCESSING:
        cancel(transition)
    elif command.return_if_succeeded:
        give_back(transition)
    return transition.decision(timing)


def channel_moved(
    state: PaymentView, command: ChannelMoved, at: datetime, view: View, *, timing: PaymentTiming
) -> D:
    """What the gateway reports, in any order and any number of times."""
    transition = Transition.of(state, command.payment_id, at)
    if command.outcome is ChannelOutcome.BOUNCED:
        instruction = transition.by_request_no(command.request_no)
        if not HANDLERS[instruction.kind].irrevocable:
            raise IllegalMove(f"{instruction.id} is a {instruction.kind} and cannot bounce")
        # It had succeeded before, even if nobody has told us: that is booked, too.
        _take(transition, command, ChannelOutcome.SUCCEEDED)
    _take(transition, command, command.outcome)
    return transition.decision(timing)


def _take(transition: Transition, command: ChannelMoved, outcome: ChannelOutcome) -> None:
    instruction = transition.by_request_no(command.request_no)
    to, reason = _result(instruction, command, outcome)
    if to not in INSTRUCTION_MOVES[instruction.state]:
        return  # known already, or overtaken by the truth
    now = transition.at if to in PUBLISHED_MOVEMENTS else None
    transition.move(
        instruction,
        to,
        channel_txn_id=command.channel_txn_id or instruction.channel_txn_id,
        succeeded_at=instruction.succeeded_at or command.succeeded_at or now,
        observed=(command.moved or instruction.amount) if to is _I.SUSPENDED else None,
        failure_reason=reason,
    )
    advance(transition)


def _result(
    instruction: Instruction, command: ChannelMoved, outcome: ChannelOutcome
) -> tuple[InstructionState, str]:
    """What the channel's word makes of an instruction, and why."""
    if outcome is not ChannelOutcome.SUCCEEDED:
        return InstructionState(outcome.value), command.reason
    moved = command.moved or instruction.amount
    if moved != instruction.amount:
        other_currency = moved.currency != instruction.amount.currency
        return _I.SUSPENDED, "CURRENCY_MISMATCH" if other_currency else "AMOUNT_MISMATCH"
    forward = not instruction.compensates
    if forward and HANDLERS[instruction.kind].irrevocable and instruction.state in WITHOUT_MONEY:
        return _I.SUSPENDED, "HOLD_ENDED"  # its money was released when it had failed
    return _I.SUCCEEDED, ""


def hold_moved(
    state: PaymentView, command: HoldMoved, at: datetime, view: View, *, timing: PaymentTiming
) -> D:
    """What the ledger answers to a HOLD or a RELEASE, any number of times."""
    transition = Transition.of(state, command.payment_id, at)
    instruction = transition.by_request_no(command.request_no)
    to = InstructionState(command.outcome.value)
    if to in INSTRUCTION_MOVES[instruction.state]:
        done = at if to is _I.SUCCEEDED else None
        transition.move(instruction, to, succeeded_at=done, failure_reason=command.reason)
        advance(transition)
    return transition.decision(timing)
