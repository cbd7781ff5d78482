"""How a payment goes on: from the results at hand, as far as they allow, in either direction.

Forward: stage by stage through its plan. When a step fails or the payment is cancelled: what is
under way comes to rest, holds are let go of, and money that came in all the same goes back. What
decides is only what the steps' states are, never in which order the results came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pay_svc.course import Course, is_open
from pay_svc.model import (
    Instruction,
    InstructionKind,
    InstructionState,
    PaymentState,
    Purpose,
)
from pay_svc.plan import compensation_of, instruction_id, plan_of

_P, _I, _K = PaymentState, InstructionState, InstructionKind

LOST = frozenset({_I.FAILED, _I.CLOSED, _I.SUSPENDED})
TAKES_FROM_A_HOLD = frozenset({_K.TRANSFER, _K.CHANNEL_PAYOUT, _K.CHANNEL_REFUND})
IRREVOCABLE = frozenset({_K.CHANNEL_PAYOUT, _K.CHANNEL_REFUND})
"""Forward steps after which nothing can be called back."""
RETURNABLE = frozenset({Purpose.PURCHASE, Purpose.TOP_UP, Purpose.TRANSFER})


def advance(c: Course) -> None:
    """Takes the payment as far as it goes."""
    while _NEXT[c.payment.state](c):
        pass


def cancel(c: Course) -> None:
    """Closes what has not moved. Money that is on its way out is not called back."""
    if c.payment.state is _P.PROCESSING and not any(i.kind in IRREVOCABLE for i in c.forward):
        c.move_payment(_P.CLOSING)
        c.close_collections()
        advance(c)


def give_back(c: Course) -> None:
    """Returns a payment that has succeeded, if it is of a kind that can be."""
    if c.payment.state is _P.SUCCEEDED and c.payment.purpose in RETURNABLE:
        c.move_payment(_P.RETURNING)
        advance(c)


# One step of the way, by the payment's state: whether anything changed.


def _processing(c: Course) -> bool:
    if any(i.state in LOST for i in c.forward):
        if any(is_open(i) for i in c.forward) or _to_undo(c):
            c.move_payment(_P.CLOSING, reason=_reason(c.forward))
            c.close_collections()
        else:
            _finish(c)
        return True
    return _all_succeeded(c) and _go_on(c)


def _closing(c: Course) -> bool:
    if any(is_open(i) for i in c.forward):
        return False
    if _came_about(c):
        return _go_on(c)
    if _undo(c):
        return True
    if any(is_open(i) for i in c.backward):
        return False
    _finish(c)
    return True


def _ended_without_money(c: Course) -> bool:
    """FAILED, CLOSED: the channel may still say that money came."""
    if suspended := [i for i in c.forward if i.state is _I.SUSPENDED]:
        c.move_payment(_P.SUSPENDED, reason=_reason(suspended))
        return True
    return _go_on(c) if _came_about(c) else _undo(c)


def _succeeded(c: Course) -> bool:
    bounced = [i for i in c.forward if i.state is _I.BOUNCED]
    if not bounced:
        return False
    # A payout that comes back is its owner's again, a refund its merchant's.
    c.move_payment(_P.RETURNED, reason=_reason(bounced))
    return True


def _returning(c: Course) -> bool:
    if _undo(c):
        return True
    if any(is_open(i) for i in c.backward):
        return False
    # A return that was refused, or carried out otherwise, is for a person to settle.
    done = all(i.state is _I.SUCCEEDED for i in c.backward)
    reason = c.payment.failure_reason if done else _reason(c.backward)
    c.move_payment(_P.RETURNED if done else _P.SUSPENDED, reason=reason)
    return True


def _returned(c: Course) -> bool:
    bounced = [i for i in c.backward if i.state is _I.BOUNCED]
    if bounced:
        c.move_payment(_P.SUSPENDED, reason=_reason(bounced))
    return bool(bounced)


_NEXT: dict[PaymentState, Callable[[Course], bool]] = {
    _P.PROCESSING: _processing,
    _P.CLOSING: _closing,
    _P.SUCCEEDED: _succeeded,
    _P.FAILED: _ended_without_money,
    _P.CLOSED: _ended_without_money,
    _P.RETURNING: _returning,
    _P.RETURNED: _returned,
    _P.SUSPENDED: lambda c: False,
}


# Forward


def _all_succeeded(c: Course) -> bool:
    return all(i.state is _I.SUCCEEDED for i in c.forward)


def _came_about(c: Course) -> bool:
    """Whether a payment that was to be closed has come about after all.

    Money has come in, nothing is missing and nothing was undone. Holds alone do not count: they
    have moved nothing and can still be let go of.
    """
    money = any(i.kind is _K.CHANNEL_COLLECT for i in c.forward)
    return money and not c.backward and _all_succeeded(c)


def _go_on(c: Course) -> bool:
    """Starts the next stage; there is none: the payment has succeeded."""
    for stage in plan_of(c.payment):
        if instruction_id(c.payment.id, stage[0].key) not in c.instructions:
            for step in stage:
                c.start(step)
            return True
    c.move_payment(_P.SUCCEEDED)
    return True


# Backward


def _to_undo(c: Course) -> list[Instruction]:
    """What has succeeded and must not stay. What movements have taken is no longer held."""
    undone = {i.compensates for i in c.backward}
    taken = {
        i.hold_id
        for i in c.forward
        if i.kind in TAKES_FROM_A_HOLD and i.state not in {_I.FAILED, _I.CLOSED}
    }
    return [
        i
        for i in c.forward
        if i.state is _I.SUCCEEDED
        and i.id not in undone
        and not (i.kind is _K.HOLD and i.hold_id in taken)
    ]


def _undo(c: Course) -> bool:
    """Starts what undoes. To let go of holds is a part of closing; all else is a return."""
    todo = _to_undo(c)
    if not todo:
        return False
    holds_only = all(i.kind is _K.HOLD for i in todo)
    if c.payment.state is not _P.RETURNING and not (holds_only and c.payment.state is _P.CLOSING):
        c.move_payment(_P.RETURNING, reason=c.payment.failure_reason or _reason(c.forward))
    for done in todo:
        c.start(compensation_of(done))
    return True


def _finish(c: Course) -> None:
    """Ends a payment that did not come about: nothing is under way, nothing is held any more."""
    if stuck := [i for i in c.backward if i.state is not _I.SUCCEEDED]:
        c.move_payment(_P.SUSPENDED, reason=_reason(stuck))
    elif suspended := [i for i in c.forward if i.state is _I.SUSPENDED]:
        c.move_payment(_P.SUSPENDED, reason=_reason(suspended))
    else:
        to = _P.FAILED if any(i.state is _I.FAILED for i in c.forward) else _P.CLOSED
        c.move_payment(to, reason=c.payment.failure_reason or _reason(c.forward))


def _reason(instructions: Iterable[Instruction]) -> str:
    """The first that one of them gives."""
    return next((i.failure_reason for i in instructions if i.failure_reason), "")
