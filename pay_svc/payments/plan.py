"""Plans: of which steps a payment consists, as plain data that always follows from its row.

A plan is a list of stages. The steps of a stage run side by side; the next stage begins when all of
them have succeeded. Every tool brings its part into the payment's transit: a channel by
collecting, a balance by a hold that is then transferred. Steps that cannot be undone come last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pay_svc.payments.model import (
    AccountRef,
    Instruction,
    InstructionKind,
    InstructionState,
    Payment,
    Purpose,
    ToolsNotOffered,
)
from paymesh.ids import body_of, derived_id, shard_of
from paymesh.money import Money
from paymesh.tools import Tool, ToolKind

USER_BALANCE = "USER_BALANCE"
PURCHASES = "MERCHANT_PENDING"
"""Where a merchant's purchases go."""
MERCHANT_SUBJECTS = (
    "MERCHANT_RETURNS_PAYABLE",
    PURCHASES,
    "MERCHANT_AVAILABLE",
    "MERCHANT_RECEIVABLE",
)
"""What a merchant's refunds are taken from, in this order: first what came to an account that took
nothing, last what it may owe us."""

COLLECT, HOLD, TRANSFER, PAYOUT, REFUND = (
    "collect:0",
    "hold:0",
    "transfer:0",
    "payout:0",
    "refund:0",
)
"""Keys of steps. A payment takes at most one channel and one balance, so there is one of each."""

OFFERED: dict[Purpose, frozenset[ToolKind]] = {
    Purpose.PURCHASE: frozenset({ToolKind.CHANNEL, ToolKind.BALANCE}),
    Purpose.TOP_UP: frozenset({ToolKind.CHANNEL}),
    Purpose.TRANSFER: frozenset({ToolKind.BALANCE}),
    Purpose.WITHDRAWAL: frozenset({ToolKind.BALANCE}),
    Purpose.REFUND: frozenset({ToolKind.CHANNEL, ToolKind.BALANCE}),
}
"""The tools that may take part, each at most once."""


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction to be. `key` names it within its payment for ever."""

    key: str
    kind: InstructionKind
    amount: Money
    channel: str = ""
    hold_id: str = ""
    hold_sources: tuple[AccountRef, ...] = ()
    compensates: str = ""


Stage = tuple[Step, ...]
Plan = tuple[Stage, ...]


def require_offered(purpose: Purpose, tools: Sequence[Tool]) -> None:
    """Raises ToolsNotOffered unless payments of this purpose take these tools together."""
    kinds = [tool.kind for tool in tools]
    offered = OFFERED[purpose]
    if not kinds or not offered.issuperset(kinds) or len(set(kinds)) != len(kinds):
        each = " and ".join(sorted(kind.lower() for kind in offered))
        raise ToolsNotOffered(
            f"a {purpose.lower()} takes {each}, each at most once", metadata={"field": "tools"}
        )


def part_of(tools: Sequence[Tool], kind: ToolKind) -> Tool | None:
    """The tool of that kind, if one takes part."""
    return next((tool for tool in tools if tool.kind is kind), None)


def instruction_id(payment_id: str, key: str) -> str:
    """Always follows from payment and step, and so does all that has its 28 characters."""
    return derived_id("ins", bucket=shard_of(payment_id), key=f"{payment_id}:{key}")


def request_no_of(payment_id: str, key: str) -> str:
    """The step's reference at its channel."""
    return body_of(instruction_id(payment_id, key))


def plan_of(payment: Payment) -> Plan:
    stages = _PLANS[payment.purpose](payment)
    return tuple(stage for stage in stages if stage)


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


_UNDONE_BY = {
    InstructionKind.CHANNEL_COLLECT: ("return", InstructionKind.CHANNEL_REFUND),
    InstructionKind.TRANSFER: ("return", InstructionKind.TRANSFER),
    InstructionKind.HOLD: ("release", InstructionKind.RELEASE),
}


def compensation_of(done: Instruction) -> Step:
    """The step that undoes an instruction of a kind that can be undone."""
    act, kind = _UNDONE_BY[done.kind]
    released = kind is InstructionKind.RELEASE
    return Step(
        key=f"{act}:{done.id}",
        kind=kind,
        amount=done.amount,
        channel=done.channel,
        hold_id=done.hold_id if released else "",  # a transfer back comes out of transit
        hold_sources=done.hold_sources if released else (),
        compensates=done.id,
    )


def _bringing_in(payment: Payment) -> Plan:
    """PURCHASE, TOP_UP, TRANSFER: holds and collections side by side, then what is held moves."""
    first, then = [], []
    balance = part_of(payment.tools, ToolKind.BALANCE)
    if balance is not None:
        hold = _hold(payment, balance.amount, (AccountRef(USER_BALANCE, payment.payer_id),))
        first.append(hold)
        then.append(_taking(hold, TRANSFER, InstructionKind.TRANSFER, balance.amount))
    channel = part_of(payment.tools, ToolKind.CHANNEL)
    if channel is not None:
        kind = InstructionKind.CHANNEL_COLLECT
        first.append(Step(COLLECT, kind, channel.amount, channel=channel.channel))
    return (tuple(first), tuple(then))


def _withdrawal(payment: Payment) -> Plan:
    hold = _hold(payment, payment.amount, (AccountRef(USER_BALANCE, payment.payer_id),))
    kind, channel = InstructionKind.CHANNEL_PAYOUT, payment.payout_channel
    return ((hold,), (_taking(hold, PAYOUT, kind, payment.amount, channel=channel),))


def _refund(payment: Payment) -> Plan:
    """The whole is held on the payee; the channel may still say no, so the balance comes last."""
    sources = tuple(AccountRef(s, payment.context.merchant_id) for s in MERCHANT_SUBJECTS)
    hold = _hold(payment, payment.amount, sources)
    stages: list[Stage] = [(hold,)]
    channel = part_of(payment.tools, ToolKind.CHANNEL)
    if channel is not None:
        kind, name = InstructionKind.CHANNEL_REFUND, channel.channel
        stages.append((_taking(hold, REFUND, kind, channel.amount, channel=name),))
    balance = part_of(payment.tools, ToolKind.BALANCE)
    if balance is not None:
        stages.append((_taking(hold, TRANSFER, InstructionKind.TRANSFER, balance.amount),))
    return tuple(stages)


_PLANS: dict[Purpose, Callable[[Payment], Plan]] = {
    Purpose.PURCHASE: _bringing_in,
    Purpose.TOP_UP: _bringing_in,
    Purpose.TRANSFER: _bringing_in,
    Purpose.WITHDRAWAL: _withdrawal,
    Purpose.REFUND: _refund,
}


def payees_of(payment: Payment) -> tuple[AccountRef, ...]:
    """Whom the money of its holds is for, where that is an account that may take nothing."""
    if payment.purpose is Purpose.PURCHASE:
        return (AccountRef(PURCHASES, payment.context.merchant_id),)
    if payment.purpose is Purpose.TRANSFER and payment.payee_id:
        return (AccountRef(USER_BALANCE, payment.payee_id),)
    return ()


def _hold(payment: Payment, amount: Money, sources: tuple[AccountRef, ...]) -> Step:
    hold_id = f"hld_{request_no_of(payment.id, HOLD)}"
    return Step(HOLD, InstructionKind.HOLD, amount, hold_id=hold_id, hold_sources=sources)


def _taking(
    hold: Step, key: str, kind: InstructionKind, amount: Money, *, channel: str = ""
) -> Step:
    """A step whose money comes from the hold."""
    return Step(key, kind, amount, channel, hold.hold_id, hold.hold_sources)
