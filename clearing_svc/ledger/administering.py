"""Administering accounts: opening them with terms of their own, freezing, closing, their mode.

A BUFFERED account is booked on by many who do not lock it. So whoever changes what may be booked
on it must first know that they have all seen that it is BUFFERED no more: from BUFFERED to DIRECT
an account passes DRAINING (see clearing_svc.draining), and only a DIRECT one changes its status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from clearing_svc.ledger.accounts import (
    Account,
    AccountMode,
    AccountStatus,
    AccountView,
    opened,
    require_name,
    subject_for,
)
from clearing_svc.ledger.acts import act
from clearing_svc.ledger.chart import RETURNS, Chart, Subject
from clearing_svc.ledger.diverting import ReturnsView, due
from clearing_svc.ledger.drafts import AccountRef, account_id_of
from clearing_svc.ledger.holds import States
from paymesh.context import Context
from paymesh.core import Decision, View, event
from paymesh.errors import Code, IllegalMove, InvalidField, NotFound, PaymentError
from paymesh.money import MINOR_UNITS_MAX, Money, known_currency

STATUS_MOVES: Mapping[AccountStatus, frozenset[AccountStatus]] = {
    AccountStatus.OPEN: frozenset(
        {AccountStatus.FROZEN_IN, AccountStatus.FROZEN_OUT, AccountStatus.CLOSED}
    ),
    AccountStatus.FROZEN_IN: frozenset(
        {AccountStatus.OPEN, AccountStatus.FROZEN_OUT, AccountStatus.CLOSED}
    ),
    AccountStatus.FROZEN_OUT: frozenset(
        {AccountStatus.OPEN, AccountStatus.FROZEN_IN, AccountStatus.CLOSED}
    ),
    # Its name allows no second account.
    AccountStatus.CLOSED: frozenset({AccountStatus.OPEN}),
}


class AccountExists(PaymentError):
    """The account is there, with other terms."""

    code, reason = Code.ALREADY_EXISTS, "ACCOUNT_EXISTS"


# Commands


@dataclass(frozen=True, slots=True)
class CreateAccount:
    context: Context
    account: AccountRef
    currency: str
    mode: AccountMode = AccountMode.DIRECT
    minimum_minor: int | None = None
    """None: as the chart says; so with the maximum."""
    maximum_minor: int | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return (account_id_of(self.account.subject, self.account.owner, self.currency),)


@dataclass(frozen=True, slots=True)
class SetAccountStatus:
    context: Context
    account_id: str
    status: AccountStatus
    why: str
    returns_id: str = ""
    """Of what of its owner's lies on RETURNS_PAYABLE, if he can have any."""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.account_id, self.returns_id)))


@dataclass(frozen=True, slots=True)
class SetAccountMode:
    """DIRECT or BUFFERED."""

    context: Context
    account_id: str
    mode: AccountMode

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.account_id,)


@dataclass(frozen=True, slots=True)
class EndDraining:
    """All transactions that may have taken the account for BUFFERED have ended."""

    account_id: str
    draining_since: int
    """Of the draining that ends by it. A later one ends by itself."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.account_id,)


@dataclass(frozen=True, slots=True)
class AccountStatusChanged:
    """Payload of the event of the same name."""

    account: Account


# Rules


def create_account(
    state: States, command: CreateAccount, at: datetime, view: View, *, chart: Chart
) -> Decision[States]:
    """Opens an account without entries. With the same terms again it is answered as it is."""
    subject = subject_for(chart, command.account.subject, command.account.owner, field="account")
    known_currency(command.currency, field="currency_code")
    if command.mode is AccountMode.DRAINING:
        raise InvalidField("mode", "must be DIRECT or BUFFERED")
    minimum, maximum = _limits(subject, command)
    if subject.name in RETURNS.values():
        raise InvalidField("account", f"{subject.name} opens by itself, when money comes for it")
    [key] = command.keys
    known: Account | None = state[key].account
    if known is not None:
        buffered = known.mode is AccountMode.BUFFERED
        as_asked = buffered == (command.mode is AccountMode.BUFFERED)
        if (known.minimum_minor, known.maximum_minor) != (minimum, maximum) or not as_asked:
            raise AccountExists(
                f"{known.subject} of {known.owner} in {command.currency} is there with other "
                f"terms: minimum {known.minimum_minor}, maximum "
                f"{known.maximum_minor}, {known.mode}",
                metadata={"account_id": known.id},
            )
        return Decision(state={}, answer=AccountView(known))
    require_name(command.account.owner, field="account")
    account = replace(
        opened(
            chart,
            subject.name,
            command.account.owner,
            command.currency,
            context=command.context,
            at=at,
        ),
        version=1,
        mode=command.mode,
        minimum_minor=minimum,
        maximum_minor=maximum,
    )
    return Decision(state={key: AccountView(account)}, answer=AccountView(account))


def _limits(subject: Subject, command: CreateAccount) -> tuple[int | None, int | None]:
    """Minimum and maximum. They are the chart's or stricter: the chart is the risk that is taken.

    An account begins with nothing, which must lie between them.
    """
    low, high = subject.minimum_in(command.currency), subject.maximum_in(command.currency)
    least = -MINOR_UNITS_MAX if low is None else low
    greatest = MINOR_UNITS_MAX if high is None else high
    minimum = low if command.minimum_minor is None else command.minimum_minor
    maximum = high if command.maximum_minor is None else command.maximum_minor
    if command.minimum_minor is not None and not least <= command.minimum_minor <= 0:
        raise InvalidField(
            "minimum_minor_units", f"must lie between the chart's, {least}, and 0, the beginning"
        )
    if command.maximum_minor is not None and not 0 <= command.maximum_minor <= greatest:
        raise InvalidField(
            "maximum_minor_units", f"must lie between 0, the beginning, and the chart's, {greatest}"
        )
    return minimum, maximum


def set_account_status(
    state: States, command: SetAccountStatus, at: datetime, view: View
) -> Decision[States]:
    """An account that has the status already is answered as it is. One that is opened is given what
    came for it meanwhile."""
    account = _there(state, command.account_id)
    if account.status is command.status:
        return Decision(state={}, answer=AccountView(account))
    if account.subject in RETURNS.values():
        raise _illegal(account, "takes what closed and frozen accounts do not: it is always OPEN")
    if command.status not in STATUS_MOVES[account.status]:
        raise _illegal(account, f"is {account.status} and cannot become {command.status}")
    if account.mode is not AccountMode.DIRECT:
        raise _illegal(
            account,
            f"is {account.mode}: others book on it without looking at its status; "
            "set its mode to DIRECT, and ask again once it is",
        )
    if command.status is AccountStatus.CLOSED and (account.balance.minor or account.held_minor):
        held = Money(account.balance.currency, account.held_minor)
        raise _illegal(
            account, f"has {account.balance}, and {held} is held: only an empty account is closed"
        )
    changed = replace(account, version=account.version + 1, status=command.status)
    status_changed = event(
        changed, "clearing.account.status_changed", AccountStatusChanged(changed)
    )
    kept = _kept(changed, str(command.status), command.why, context=command.context, at=at)
    decision = replace(kept, events=(status_changed,))
    waiting = state[command.returns_id].returns if command.returns_id else None
    if waiting is None or not waiting.parts:
        return decision
    return replace(
        decision, state={**decision.state, command.returns_id: ReturnsView(due(waiting, at))}
    )


def set_account_mode(
    state: States, command: SetAccountMode, at: datetime, view: View
) -> Decision[States]:
    """To BUFFERED at once, back through DRAINING. What is so already is answered as it is."""
    account = _there(state, command.account_id)
    to = command.mode
    if to is AccountMode.DIRECT and account.mode is not AccountMode.DIRECT:
        to = AccountMode.DRAINING
    if account.mode is to:
        return Decision(state={}, answer=AccountView(account))
    if to is AccountMode.BUFFERED and account.status is not AccountStatus.OPEN:
        raise _illegal(account, f"is {account.status}: only an open account is BUFFERED")
    version = account.version + 1
    since = version if to is AccountMode.DRAINING else None
    changed = replace(account, version=version, mode=to, draining_since=since)
    return _kept(changed, str(to), "", context=command.context, at=at)


def end_draining(state: States, command: EndDraining, at: datetime, view: View) -> Decision[States]:
    """To DIRECT: what was buffered has been folded as the account was locked. Again: nothing."""
    account: Account | None = state[command.account_id].account
    if (
        account is None
        or account.mode is not AccountMode.DRAINING
        or account.draining_since != command.draining_since
    ):
        return Decision(state={})
    changed = replace(
        account, version=account.version + 1, mode=AccountMode.DIRECT, draining_since=None
    )
    return _kept(changed, str(changed.mode), "", context=account.context, at=at)


def _there(state: Mapping[str, Any], account_id: str) -> Account:
    account: Account | None = state[account_id].account
    if account is None:
        raise NotFound(f"no account {account_id}", metadata={"field": "account_id"})
    return account


def _illegal(account: Account, why: str) -> IllegalMove:
    return IllegalMove(
        f"{account.subject} of {account.owner} {why}",
        metadata={
            "account_id": account.id,
            "status": str(account.status),
            "mode": str(account.mode),
        },
    )


def _kept(
    account: Account, what: str, why: str, *, context: Context, at: datetime
) -> Decision[States]:
    """The account as changed, with the act that says so."""
    view = AccountView(account)
    return Decision(
        state={account.id: view},
        answer=view,
        records=(act(account.id, account.version, what, why, context=context, at=at),),
    )
