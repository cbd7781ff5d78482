"""Beneficiaries: the accounts outside to which an owner's withdrawals may go. Plain, without I/O.

The account number is sealed before it comes here, and only a payout opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Decision, Moves, View, history, moved
from paymesh.errors import Code, NotFound, PaymentError

SHOWN = 4
CARD_DIGITS = range(13, 20)


class BeneficiaryState(StrEnum):
    ACTIVE = "ACTIVE"
    DELETED = "DELETED"


BENEFICIARY_MOVES: Moves = {
    BeneficiaryState.ACTIVE: frozenset({BeneficiaryState.DELETED}),
    BeneficiaryState.DELETED: frozenset(),
}


class BeneficiaryNotUsable(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "BENEFICIARY_NOT_USABLE"


@dataclass(frozen=True, slots=True)
class Beneficiary:
    id: str
    context: Context
    version: int
    state: BeneficiaryState
    owner_id: str
    channel: str
    """The channel that pays out."""
    sealed_account_no: bytes
    masked_account_no: str
    account_name: str
    usable_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BeneficiaryView:
    beneficiary: Beneficiary | None

    def of_merchant(self, beneficiary_id: str, merchant_id: str) -> Beneficiary:
        """The beneficiary, if it is this merchant's: another's is NotFound, as none is."""
        found = self.beneficiary
        if found is None or found.context.merchant_id != merchant_id:
            raise NotFound(f"no beneficiary {beneficiary_id}", metadata={"field": "beneficiary_id"})
        return found


# Commands


@dataclass(frozen=True, slots=True)
class CreateBeneficiary:
    beneficiary_id: str
    context: Context
    owner_id: str
    channel: str
    sealed_account_no: bytes
    masked_account_no: str
    account_name: str

    @property
    def key(self) -> str:
        return self.beneficiary_id


@dataclass(frozen=True, slots=True)
class DeleteBeneficiary:
    beneficiary_id: str
    merchant_id: str

    @property
    def key(self) -> str:
        return self.beneficiary_id


# Rules

D = Decision[BeneficiaryView]


def create_beneficiary(
    state: BeneficiaryView,
    command: CreateBeneficiary,
    at: datetime,
    view: View,
    *,
    cooling_off: timedelta,
) -> D:
    beneficiary = Beneficiary(
        id=command.beneficiary_id,
        context=command.context,
        version=1,
        state=BeneficiaryState.ACTIVE,
        owner_id=command.owner_id,
        channel=command.channel,
        sealed_account_no=command.sealed_account_no,
        masked_account_no=command.masked_account_no,
        account_name=command.account_name,
        usable_at=at + cooling_off,
        created_at=at,
    )
    return Decision(
        state=BeneficiaryView(beneficiary),
        events=(history(beneficiary, "pay.beneficiary.created"),),
        answer=beneficiary,
    )


def delete_beneficiary(
    state: BeneficiaryView, command: DeleteBeneficiary, at: datetime, view: View
) -> D:
    """It stays, with its number: payouts that are under way still need it."""
    beneficiary = state.of_merchant(command.beneficiary_id, command.merchant_id)
    if beneficiary.state is BeneficiaryState.DELETED:
        return Decision(state=state, answer=beneficiary)
    beneficiary = moved(beneficiary, BeneficiaryState.DELETED, BENEFICIARY_MOVES)
    return Decision(
        state=BeneficiaryView(beneficiary),
        events=(history(beneficiary, "pay.beneficiary.deleted"),),
        answer=beneficiary,
    )


def usable(
    beneficiary: Beneficiary | None, *, by: str, merchant_id: str, at: datetime
) -> Beneficiary:
    """The beneficiary, if this merchant's payer may withdraw to it now. Else raises
    BeneficiaryNotUsable."""
    owner = (merchant_id, by)
    if beneficiary is None or (beneficiary.context.merchant_id, beneficiary.owner_id) != owner:
        # Whether somebody else has such a beneficiary is nobody's business.
        raise BeneficiaryNotUsable("the payer has no such beneficiary; create one")
    if beneficiary.state is not BeneficiaryState.ACTIVE:
        raise BeneficiaryNotUsable(f"{beneficiary.id} was deleted; create another one")
    if at < beneficiary.usable_at:
        raise BeneficiaryNotUsable(
            f"{beneficiary.id} is new: it can be paid from {beneficiary.usable_at} on"
        )
    return beneficiary


# Account numbers


def masked(account_no: str) -> str:
    """With all but the last four characters hidden."""
    return "*" * (len(account_no) - SHOWN) + account_no[-SHOWN:]


def looks_like_a_card(account_no: str) -> bool:
    """Whether it is as long as a card number and passes its check (Luhn)."""
    if not (account_no.isascii() and account_no.isdigit() and len(account_no) in CARD_DIGITS):
        return False
    digits = [int(digit) for digit in reversed(account_no)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
