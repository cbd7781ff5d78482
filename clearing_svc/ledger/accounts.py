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


class AccountStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class UnknownSubject(InvalidField):
    """The chart of accounts has no such subject. Nothing was written."""


class AccountNotOpen(PaymentError):
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

    @property
    def span(self) -> tuple[int, int]:
        """The least and the greatest that the balance becomes as its holds are taken."""
        minor, held = self.balance.minor, self.held_minor
        return (minor - held, minor) if self.normal_side is Side.CREDIT else (minor, minor + held)

    @property
    def available_minor(self) -> int | None:
        """How much can still be debited; None: without limit."""
        if self.status is not AccountStatus.OPEN:
            return 0
        least, greatest = self.span
        if self.normal_side is Side.CREDIT:
            return None if self.minimum_minor is None else max(0, least - self.minimum_minor)
        return None if self.maximum_minor is None else max(0, self.maximum_minor - greatest)


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
        subject=subject,
        owner=owner,
        normal_side=of_chart.normal_side,
        balance=Money(currency, 0),
        held_minor=0,
        minimum_minor=of_chart.minimum_minor,
        maximum_minor=of_chart.maximum_minor,
        opened_at=at,
    )


def booked(account: Account, debits: int, *, drawn: int = 0) -> Account:
    """The account after so many net debits in minor units, `drawn` of them from holds.

    Refuses by raising.
    """
    if account.status is not AccountStatus.OPEN:
        raise _refusal(AccountNotOpen, account, "is closed")
    delta = debits if account.normal_side is Side.DEBIT else -debits
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


def reserved(account: Account, minor: int) -> Account:
    """The account with so much more held. Refuses by raising."""
    if account.status is not AccountStatus.OPEN:
        raise _refusal(AccountNotOpen, account, "is closed")
    held = account.held_minor + minor
    return _admitted(account, replace(account, version=account.version + 1, held_minor=held))


def freed(account: Account, minor: int) -> Account:
    """The account with so much less held."""
    held = account.held_minor - minor
    return replace(account, version=account.version + 1, held_minor=held)


def _admitted(before: Account, after: Account) -> Account:
    """The account as it would be. A limit refuses only what leads further beyond it."""
    least, greatest = after.span
    least_before, greatest_before = before.span
    minimum, maximum = after.minimum_minor, after.maximum_minor
    if minimum is not None and least < minimum and least < least_before:
        raise _refusal(InsufficientFunds, after, "would fall below its minimum")
    if maximum is not None and greatest > maximum and greatest > greatest_before:
        raise _refusal(InsufficientFunds, after, "would rise above its maximum")
    if max(-least, greatest) > MINOR_UNITS_MAX:
        raise _refusal(BalanceTooLarge, after, "would not fit into 64 bits")
    return after


def _refusal(error: type[PaymentError], account: Account, why: str) -> PaymentError:
    about = {"account_id": account.id, "subject": account.subject, "owner": account.owner}
    return error(f"{account.subject} of {account.owner} {why}", metadata=about)
