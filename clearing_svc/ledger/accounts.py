"""Accounts: how far a balance may go, and what bookings and holds do to it.

A hold reserves a debit that is to come. On a credit-normal account that is money which cannot be
spent otherwise; on a debit-normal one it is room below the maximum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from clearing_svc.ledger.chart import Chart, Side, Subject
from clearing_svc.ledger.drafts import account_id_of
from paymesh.context import Context
from paymesh.errors import Code, InvalidField, PaymentError
from paymesh.money import MINOR_UNITS_MAX, Money
from paymesh.text import problem


class AccountStatus(StrEnum):
    OPEN = "OPEN"
    FROZEN_IN = "FROZEN_IN"
    """Nothing comes in: its balance grows only by what holds had reserved before."""
    FROZEN_OUT = "FROZEN_OUT"
    """Nothing goes out: its balance falls only by what holds had reserved before."""
    CLOSED = "CLOSED"


class AccountMode(StrEnum):
    """How its balance is kept."""

    DIRECT = "DIRECT"
    """In its row, which each booking locks."""
    BUFFERED = "BUFFERED"
    """What only adds to what is available waits beside it, so that nobody waits for the row."""
    DRAINING = "DRAINING"
    """On the way from BUFFERED to DIRECT: who began before may still add beside it."""


class UnknownSubject(InvalidField):
    """The chart of accounts has no such subject. Nothing was written."""


class AccountNotOpen(PaymentError):
    """Closed, or frozen in this direction."""

    code, reason = Code.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN"


class InsufficientFunds(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS"


class BalanceTooLarge(PaymentError):
    """The balance would not fit into 64 bits."""

    code, reason = Code.FAILED_PRECONDITION, "INVALID_FIELD"


@dataclass(frozen=True, slots=True)
class Account:
    """`subject` of the chart for one owner in one currency (that of its balance)."""

    id: str
    context: Context
    """Of the chain that opened it."""
    version: int
    status: AccountStatus
    mode: AccountMode
    subject: str
    owner: str
    normal_side: Side
    balance: Money
    held_minor: int
    """What holds have reserved of it and not yet taken."""
    minimum_minor: int | None
    maximum_minor: int | None
    """The limits are taken from the chart when it is opened: CHECKs of the database hold them,
    too."""
    opened_at: datetime
    draining_since: int | None = None
    """The version in which it became DRAINING, while it is: which draining this is."""

    @property
    def state(self) -> AccountStatus:
        """What an event says that it is."""
        return self.status

    @property
    def span(self) -> tuple[int, int]:
        """The least and the greatest that the balance becomes as its holds are taken."""
        minor, held = self.balance.minor, self.held_minor
        return (minor - held, minor) if self.normal_side is Side.CREDIT else (minor, minor + held)

    @property
    def takes_debits(self) -> bool:
        """Those that holds reserved it takes until it is closed."""
        return self.status not in {AccountStatus.CLOSED, _NO_DEBITS[self.normal_side]}

    @property
    def takes_credits(self) -> bool:
        return self.status not in {AccountStatus.CLOSED, _NO_CREDITS[self.normal_side]}

    @property
    def available_minor(self) -> int | None:
        """How much can still be debited; None: without limit."""
        if not self.takes_debits:
            return 0
        least, greatest = self.span
        if self.normal_side is Side.CREDIT:
            return None if self.minimum_minor is None else max(0, least - self.minimum_minor)
        return None if self.maximum_minor is None else max(0, self.maximum_minor - greatest)


_NO_DEBITS = {Side.CREDIT: AccountStatus.FROZEN_OUT, Side.DEBIT: AccountStatus.FROZEN_IN}
"""By normal side: the status in which an account takes no debits but those that holds reserved."""
_NO_CREDITS = {Side.CREDIT: AccountStatus.FROZEN_IN, Side.DEBIT: AccountStatus.FROZEN_OUT}
"""By normal side: the status in which an account takes no credits."""


@dataclass(frozen=True, slots=True)
class AccountView:
    account: Account | None


def subject_for(chart: Chart, name: str, owner: str, *, field: str) -> Subject:
    """The subject, if `owner` can have an account of it. Raises UnknownSubject, InvalidField."""
    subject = chart.get(name)
    if subject is None:
        raise UnknownSubject(f"{field}.subject", f"{name!r} is not in the chart")
    if not subject.accepts(owner):
        raise InvalidField(f"{field}.owner", f"{name} belongs to a {subject.owner}")
    return subject


def require_name(owner: str, *, field: str) -> None:
    """Raises InvalidField for an owner that nobody can see: he would be another one than he seems.
    Accounts that are there are taken as they are; none of the kind is opened any more."""
    if why := problem(owner, names=True):
        raise InvalidField(f"{field}.owner", why)


def opened(
    chart: Chart, subject: str, owner: str, currency: str, *, context: Context, at: datetime
) -> Account:
    """An account without entries. Raises KeyError for a subject that is not in the chart."""
    of_chart = chart[subject]
    return Account(
        id=account_id_of(subject, owner, currency),
        context=context,
        version=0,  # its first change makes it 1
        status=AccountStatus.OPEN,
        mode=AccountMode.DIRECT,
        subject=subject,
        owner=owner,
        normal_side=of_chart.normal_side,
        balance=Money(currency, 0),
        held_minor=0,
        minimum_minor=of_chart.minimum_in(currency),
        maximum_minor=of_chart.maximum_in(currency),
        opened_at=at,
    )


def booked(
    account: Account, debits: int, *, drawn: int = 0, whatever_status: bool = False
) -> Account:
    """The account after so many net debits in minor units, `drawn` of them from holds.

    Refuses by raising; `whatever_status`: by its limits alone, for what has happened already.
    """
    delta = debits if account.normal_side is Side.DEBIT else -debits
    if not whatever_status:
        _require_open(account, delta, reserved=0 < debits <= drawn)
    balance = Money(account.balance.currency, account.balance.minor + delta)
    return _admitted(
        account,
        replace(
            account,
            version=account.version + 1,
            balance=balance,
            held_minor=account.held_minor - drawn,
        ),
    )


def _require_open(account: Account, delta: int, *, reserved: bool) -> None:
    """`delta`: of the balance; `reserved`: by holds that were placed before."""
    status = account.status
    if status is AccountStatus.CLOSED:
        raise _refusal(AccountNotOpen, "is closed", account)
    if status is AccountStatus.FROZEN_IN and delta > 0 and not reserved:
        raise _refusal(AccountNotOpen, "is frozen: nothing comes in", account)
    if status is AccountStatus.FROZEN_OUT and delta < 0 and not reserved:
        raise _refusal(AccountNotOpen, "is frozen: nothing goes out", account)


def reserved(account: Account, minor: int) -> Account:
    """The account with so much more held. Refuses by raising."""
    if not account.takes_debits:
        raise _refusal(AccountNotOpen, f"is {account.status}: nothing is held on it", account)
    held = account.held_minor + minor
    return _admitted(account, replace(account, version=account.version + 1, held_minor=held))


def freed(account: Account, minor: int) -> Account:
    """The account with so much less held."""
    held = account.held_minor - minor
    return replace(account, version=account.version + 1, held_minor=held)


def _admitted(before: Account, after: Account) -> Account:
    """The account as it would be. A limit refuses only what leads further beyond it."""
    least, greatest = after.span
    minimum, maximum = after.minimum_minor, after.maximum_minor
    if minimum is not None and least < minimum and least < before.span[0]:
        raise _refusal(InsufficientFunds, "would fall below its minimum", after)
    if maximum is not None and greatest > maximum and greatest > before.span[1]:
        raise _refusal(InsufficientFunds, "would rise above its maximum", after)
    if max(-least, greatest) > MINOR_UNITS_MAX:
        raise _refusal(BalanceTooLarge, "would not fit into 64 bits", after)
    return after


def _refusal(error: type[PaymentError], why: str, account: Account) -> PaymentError:
    about = {"account_id": account.id, "subject": account.subject, "owner": account.owner}
    return error(f"{account.subject} of {account.owner} {why}", metadata=about)
