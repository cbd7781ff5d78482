"""How a payment goes on: from the results at hand, as far as they allow, in either direction.

Forward: stage by stage through its plan. When a step fails or the payment is cancelled: what is
under way comes to rest, holds are released, and money that came in all the same goes back. What
decides is only what the steps' states are, never in which order the results came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pay_svc.instructions import HANDLERS
from pay_svc.payments.model import (
    Instruction,
    InstructionState,
    PaymentState,
)
from pay_svc.payments.plan import compensation_of, plan_of
from pay_svc.payments.steps import instruction_id
from pay_svc.payments.transition import Transition, is_open
from pay_svc.purposes import PURPOSES

_P, _I = PaymentState, InstructionState

LOST = frozenset({_I.FAILED, _I.CLOSED, _I.SUSPENDED})


def advance(transition: Transition) -> None:
    """Takes the payment as far as it goes."""
    while _NEXT[transition.payment.state](transition):
        pass


def cancel(transition: Transition) -> None:
    """Closes what has not moved. Money that is on its way out is not called back."""
    if transition.payment.state is _P.PROCESSING and not any(
        HANDLERS[i.kind].irrevocable for i in transition.forward
    ):
        transition.move_payment(_P.CLOSING)
        transition.close_collections()
        advance(transition)


def give_back(transition: Transition) -> None:
    """Returns a payment that has succeeded, if it is of a kind that can be."""
    returnable = PURPOSES[transition.payment.purpose].returnable
    if transition.payment.state is _P.SUCCEEDED and returnable:
        transition.move_payment(_P.RETURNING)
        advance(transition)


# One step of the way, by the payment's state: whether anything changed.


def _processing(transition: Transition) -> bool:
    if any(i.state in LOST for i in transition.forward):
        if any(is_open(i) for i in transition.forward) or _to_undo(transition):
            transition.move_payment(_P.CLOSING, reason=_reason(transition.forward))
            transition.close_collections()
        else:
            _finish(transition)
        return True
    return _all_succeeded(transition) and _go_on(transition)


def _closing(transition: Transition) -> bool:
    if any(is_open(i) for i in transition.forward):
        return False
    if _came_about(transition):
        return _go_on(transition)
    if _undo(transition):
        return True
    if any(is_open(i) for i in transition.backward):
        return False
    _finish(transition)
    return True


def _ended_without_money(transition: Transition) -> bool:
    """FAILED, CLOSED: the channel may still say that money came."""
    if suspended := [i for i in transition.forward if i.state is _I.SUSPENDED]:
        transition.move_payment(_P.SUSPENDED, reason=_reason(suspended))
        return True
    return _go_on(transition) if _came_about(transition) else _undo(transition)


def _succeeded(transition: Transition) -> bool:
    bounced = [i for i in transition.forward if i.state is _I.BOUNCED]
    if not bounced:
        return False
    # A payout that comes back is its owner's again, a refund its merchant's.
    transition.move_payment(_P.RETURNED, reason=_reason(bounced))
    return True


def _returning(transition: Transition) -> bool:
    if _undo(transition):
        return True
    if any(is_open(i) for i in transition.backward):
        return False
    # A return that was refused, or carried out otherwise, is for a person to decide.
    done = all(i.state is _I.SUCCEEDED for i in transition.backward)
    reason = transition.payment.failure_reason if done else _reason(transition.backward)
    transition.move_payment(_P.RETURNED if done else _P.SUSPENDED, reason=reason)
    return True


def _returned(transition: Transition) -> bool:
    bounced = [i for i in transition.backward if i.state is _I.BOUNCED]
    if bounced:
        transition.move_payment(_P.SUSPENDED, reason=_reason(bounced))
    return bool(bounced)


_NEXT: dict[PaymentState, Callable[[Transition], bool]] = {
    _P.PROCESSING: _processing,
    _P.CLOSING: _closing,
    _P.SUCCEEDED: _succeeded,
    _P.FAILED: _ended_without_money,
    _P.CLOSED: _ended_without_money,
    _P.RETURNING: _returning,
    _P.RETURNED: _returned,
    _P.SUSPENDED: lambda _: False,
}


# Forward


def _all_succeeded(transition: Transition) -> bool:
    return all(i.state is _I.SUCCEEDED for i in transition.forward)


def _came_about(transition: Transition) -> bool:
    """Whether a payment that was to be closed has come about after all.

    Money has come in, nothing is missing and nothing was undone. Holds alone do not count: they
    have moved nothing and can still be released.
    """
    money = any(HANDLERS[i.kind].collects for i in transition.forward)
    return money and not transition.backward and _all_succeeded(transition)


def _go_on(transition: Transition) -> bool:
    """Starts the next stage; there is none: the payment has succeeded."""
    for stage in plan_of(transition.payment):
        if instruction_id(transition.payment.id, stage[0].key) not in transition.instructions:
            for step in stage:
                transition.start(step)
            return True
    transition.move_payment(_P.SUCCEEDED)
    return True


# Backward


def _to_undo(transition: Transition) -> list[Instruction]:
    """What has succeeded and must not stay. What movements have taken is no longer held."""
    undone = {i.compensates for i in transition.backward}
    taken = {
        i.hold_id
        for i in transition.forward
        if HANDLERS[i.kind].draws and i.state not in {_I.FAILED, _I.CLOSED}
    }
    return [
        i
        for i in transition.forward
        if i.state is _I.SUCCEEDED
        and i.id not in undone
        and not (HANDLERS[i.kind].holds and i.hold_id in taken)
    ]


def _undo(transition: Transition) -> bool:
    """Starts what undoes. To release holds is a part of closing; all else is a return."""
    todo = _to_undo(transition)
    if not todo:
        return False
    holds_only = all(HANDLERS[i.kind].holds for i in todo)
    if transition.payment.state is not _P.RETURNING and not (
        holds_only and transition.payment.state is _P.CLOSING
    ):
        transition.move_payment(
            _P.RETURNING, reason=transition.payment.failure_reason or _reason(transition.forward)
        )
    for done in todo:
        transition.start(compensation_of(done))
    return True


def _finish(transition: Transition) -> None:
    """Ends a payment that did not come about: nothing is under way, nothing is held any more."""
    if stuck := [i for i in transition.backward if i.state is not _I.SUCCEEDED]:
        transition.move_payment(_P.SUSPENDED, reason=_reason(stuck))
    elif suspended := [i for i in transition.forward if i.state is _I.SUSPENDED]:
        transition.move_payment(_P.SUSPENDED, reason=_reason(suspended))
    else:
        to = _P.FAILED if any(i.state is _I.FAILED for i in transition.forward) else _P.CLOSED
        transition.move_payment(
            to, reason=transition.payment.failure_reason or _reason(transition.forward)
        )


def _reason(instructions: Iterable[Instruction]) -> str:
    """The first that one of them gives."""
    return next((i.failure_reason for i in instructions if i.failure_reason), "")
