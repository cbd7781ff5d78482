"""Journals by the thousand, as plain functions: the rules of domain.py on columns of plain values.

One object per journal and none per entry: what a batch does to its accounts is kept in integers,
and whatever is not plainly right is decided, and refused, by the rules in domain.py and accounts.py
themselves. So there is one set of rules; this module knows only when they have nothing to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import attrgetter
from typing import NamedTuple

from clearing_svc.ledger.accounts import (
    Account,
    AccountMode,
    AccountStatus,
    booked,
    require_name,
    subject_for,
)
from clearing_svc.ledger.chart import Chart, Side, Subject
from clearing_svc.ledger.domain import booking_day, same_journal
from clearing_svc.ledger.drafts import JournalDraft, account_id_of
from paymesh.context import Context
from paymesh.errors import PaymentError
from paymesh.ids import shard_of
from paymesh.money import EXPONENTS, MINOR_UNITS_MAX, Money


class AccountKey(NamedTuple):
    """What follows from an account's name. They sort in the order in which rows are locked."""

    shard: int
    id: str
    subject: Subject
    owner: str
    currency: str
    credit_normal: bool


def account_key(chart: Chart, subject: str, owner: str, currency: str) -> AccountKey | None:
    """None for a name that no account can have."""
    try:
        of_chart = subject_for(chart, subject, owner, field="")
    except PaymentError:
        return None
    if currency not in EXPONENTS:
        return None
    id_ = account_id_of(subject, owner, currency)
    credit_normal = of_chart.normal_side is Side.CREDIT
    return AccountKey(shard_of(id_), id_, of_chart, owner, currency, credit_normal)


EntryRequest = tuple[AccountKey, bool, int, str]
"""One entry: account, whether it is a debit, minor units, reference."""


class JournalRequest(NamedTuple):
    """A journal as asked for, checked by itself: it balances, in each currency."""

    id: str
    shard: int
    event_type: str
    business_key: str
    digest: str
    entries: Sequence[EntryRequest]
    context: Sequence[str]
    """The columns of a Context."""
    accounting_date: date | None
    deadline: float
    """Monotonic seconds."""


class BalanceChange:
    """What a batch does to an account if all of it is posted, in minor units of its balance."""

    __slots__ = ("changes", "delta", "highest", "key", "lowest")

    def __init__(self, key: AccountKey, delta: int) -> None:
        self.key, self.changes = key, 1
        self.delta = self.lowest = self.highest = delta
        """In all; and the lowest and the highest that it comes to between two journals."""

    def add(self, delta: int) -> None:
        """One more journal."""
        self.changes += 1
        self.delta = after = self.delta + delta
        if after < self.lowest:
            self.lowest = after
        elif after > self.highest:
            self.highest = after


def balance_changes(
    requests: Sequence[JournalRequest], *, now: float
) -> list[BalanceChange] | None:
    """What a batch does if nothing in it is refused, in the order in which rows are locked.

    An account that bears the lowest and the highest of its change bears each journal of the batch:
    so where all accounts do, the batch is posted as a whole, as `book` would post it. None where
    that can't be told so: for a journal that is there twice, that names its day, or that is late
    (`now`: monotonic seconds).
    """
    found: dict[str, BalanceChange] = {}
    for journal in requests:
        if journal.accounting_date is not None or journal.deadline < now:
            return None
        for key, net in _nets(journal):
            delta = -net if key.credit_normal else net
            change = found.get(key.id)
            if change is None:
                found[key.id] = BalanceChange(key, delta)
            else:
                change.add(delta)
    if len({journal.id for journal in requests}) < len(requests):
        return None
    return sorted(found.values(), key=attrgetter("key"))


class WorkingBalance:
    """An account while a batch is decided. All amounts are in minor units."""

    __slots__ = (
        "balance", "buffered", "changes", "context", "delta", "greatest", "held", "is_open",
        "key", "least", "maximum", "minimum", "status",
    )  # fmt: skip

    def __init__(
        self,
        key: AccountKey,
        balance: int,
        held: int,
        minimum: int | None,
        maximum: int | None,
        status: str,
        *,
        buffered: bool = False,
        context: Sequence[str] = (),
    ) -> None:
        """`buffered`: its row is not locked, what it really has is not known, and others may be
        booking on it: so where it has a limit, a batch may only lead away from it, and nowhere
        far. `context`: of the journal that opens it; empty where it is there."""
        self.key, self.balance, self.held = key, balance, held
        self.minimum, self.maximum, self.status = minimum, maximum, status
        self.buffered, self.context = buffered, context
        self.is_open = status == AccountStatus.OPEN
        below, above = (held, 0) if key.credit_normal else (0, held)
        # What the balance may not fall below or rise above without a closer look.
        if buffered:
            far = UNLOCKED_NET_MAX if abs(balance) + held <= MINOR_UNITS_MAX // 2 else 0
            self.least = balance - (far if minimum is None else 0)
            self.greatest = balance + (far if maximum is None else 0)
        else:
            self.least = below + (-MINOR_UNITS_MAX if minimum is None else minimum)
            self.greatest = (MINOR_UNITS_MAX if maximum is None else maximum) - above
        self.delta = self.changes = 0

    def balance_after(self, net: int) -> int:
        """The balance after so many net debits. Raises PaymentError, or AccountsUnlocked."""
        after = self.balance - net if self.key.credit_normal else self.balance + net
        if self.is_open and self.least <= after <= self.greatest:
            return after
        if self.buffered:
            raise AccountsUnlocked({self.key.id})
        return booked(self._account(), net).balance.minor

    def _account(self) -> Account:
        key = self.key
        return Account(
            id=key.id,
            context=Context(business_id=""),
            version=1,
            status=AccountStatus(self.status),
            mode=AccountMode.DIRECT,
            subject=key.subject.name,
            owner=key.owner,
            normal_side=key.subject.normal_side,
            balance=Money(key.currency, self.balance),
            held_minor=self.held,
            minimum_minor=self.minimum,
            maximum_minor=self.maximum,
            opened_at=datetime.min,
        )


class AccountsUnlocked(Exception):
    """Some accounts have to be locked and folded first: their ids."""

    def __init__(self, account_ids: Collection[str]) -> None:
        super().__init__(*account_ids)
        self.account_ids = account_ids


UNLOCKED_NET_MAX = 2**40
"""Minor units that one batch books on an account without knowing its balance. What is buffered on
one is folded long before there are a million such rows, so it cannot leave 64 bits unseen."""


def opened(of: AccountKey, context: Sequence[str]) -> WorkingBalance:
    """An account that is not there yet."""
    minimum = of.subject.minimum_in(of.currency)
    maximum = of.subject.maximum_in(of.currency)
    return WorkingBalance(of, 0, 0, minimum, maximum, AccountStatus.OPEN, context=context)


@dataclass(slots=True)
class Booking:
    """What a batch posts: the journals with their days, and the accounts that they change."""

    verdicts: list[PaymentError | str] = field(default_factory=list)
    """One a journal asked for: "" if posted now, "again" if it was posted before, or a refusal."""
    posted: list[tuple[JournalRequest, date]] = field(default_factory=list)
    changed: list[WorkingBalance] = field(default_factory=list)


def book(
    requests: Sequence[JournalRequest],
    accounts: dict[str, WorkingBalance],
    before: Mapping[str, str],
    at: datetime,
    *,
    last_closed: date | None,
    now: float,
    late: PaymentError,
) -> Booking:
    """Decides journal by journal, each seeing the balances that the last one left. Raises
    AccountsUnlocked.

    `accounts`: those that are there; others are opened. `before`: the digests of journals that were
    posted before, by id. `now`: monotonic seconds; what was to be done before it is refused as
    `late`.
    """
    result = Booking()
    unlocked: set[str] = set()
    digests = dict(before)
    today = booking_day(None, at, last_closed=last_closed)
    for journal in requests:
        digest = digests.get(journal.id)
        try:
            if digest is not None:
                same_journal(_draft(journal), digest)
                result.verdicts.append("again")
                continue
            if journal.deadline < now:
                raise late
            day = today
            if journal.accounting_date is not None:
                day = booking_day(journal.accounting_date, at, last_closed=last_closed)
            _apply(journal, accounts)
        except PaymentError as refusal:
            result.verdicts.append(refusal)
            continue
        except AccountsUnlocked as found:  # all of them in one go, then all is decided again
            unlocked.update(found.account_ids)
            continue
        digests[journal.id] = journal.digest
        result.verdicts.append("")
        result.posted.append((journal, day))
    if unlocked:
        raise AccountsUnlocked(unlocked)
    result.changed = [account for account in accounts.values() if account.changes]
    return result


def _apply(journal: JournalRequest, accounts: dict[str, WorkingBalance]) -> None:
    """Changes the accounts, all or none. Raises PaymentError, or AccountsUnlocked."""
    after = []
    for key, net in _nets(journal):
        account = accounts.get(key.id)
        if account is None:
            require_name(key.owner, field=f"entries[{_line_of(journal, key)}]")
            account = opened(key, journal.context)
        after.append((account, account.balance_after(net)))
    for account, balance in after:
        accounts[account.key.id] = account
        account.delta += balance - account.balance
        account.balance = balance
        account.changes += 1


def _line_of(journal: JournalRequest, key: AccountKey) -> int:
    return next(n for n, (account, *_) in enumerate(journal.entries) if account.id == key.id)


def _nets(journal: JournalRequest) -> Sequence[tuple[AccountKey, int]]:
    """Debits less credits, of each account once."""
    each = [(key, minor if debit else -minor) for key, debit, minor, _ in journal.entries]
    if len(each) == 2 and each[0][0].id != each[1][0].id:  # nearly always
        return each
    nets: dict[AccountKey, int] = {}
    for key, net in each:
        nets[key] = nets.get(key, 0) + net
    return list(nets.items())


def _draft(journal: JournalRequest) -> JournalDraft:
    return JournalDraft(journal.event_type, journal.business_key, (), journal.digest)
