"""The chart of accounts: which subjects there are, whose accounts they have, how far they may go.

The chart itself is configuration: chart.yaml, read by clearing_svc.ledger.loading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

PLATFORM = "platform"


class Side(StrEnum):
    DEBIT = "DEBIT"
    CREDIT = "CREDIT"


class SubjectClass(StrEnum):
    ASSET = "asset"
    LIABILITY = "liability"
    REVENUE = "revenue"
    EXPENSE = "expense"


class OwnerKind(StrEnum):
    """Whose accounts a subject has."""

    PLATFORM = "platform"
    CHANNEL = "channel"
    """A channel with its contract number: "alipay:2088…"."""
    MERCHANT = "merchant"
    USER = "user"
    ANY = "any"
    """Whoever has the account that it is booked beside: so both lie in one shard."""


RETURNS: Mapping[OwnerKind, str] = {
    OwnerKind.MERCHANT: "MERCHANT_RETURNS_PAYABLE",
    OwnerKind.USER: "USER_RETURNS_PAYABLE",
}
"""By kind of owner: where his money goes that an account of his does not take."""


ByCurrency = tuple[tuple[str, int], ...]
"""Currency codes with minor units of each."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One line of the chart of accounts."""

    name: str
    subject_class: SubjectClass
    owner: OwnerKind
    minimum_minor: int | None
    """What a balance may not fall below, in minor units; None: as far as it likes."""
    maximum_minor: int | None
    """What a balance may not rise above, in minor units; None: as far as it likes."""
    needs_reference: bool
    """Whether each entry must say what it is for, so that its reference can come out even."""
    exchanges: bool = False
    """Whether it is an exchange position, by which a journal crosses from currency to currency."""
    is_system: bool = False
    """Whether only the ledger itself books on it: templates, legs of split journals, reversals."""
    minima: ByCurrency = ()
    maxima: ByCurrency = ()
    """In place of the limits above, in the currencies that these name."""

    def minimum_in(self, currency: str) -> int | None:
        return dict(self.minima).get(currency, self.minimum_minor)

    def maximum_in(self, currency: str) -> int | None:
        return dict(self.maxima).get(currency, self.maximum_minor)

    @property
    def normal_side(self) -> Side:
        """The side that increases the balance."""
        debit = self.subject_class in {SubjectClass.ASSET, SubjectClass.EXPENSE}
        return Side.DEBIT if debit else Side.CREDIT

    def accepts(self, owner: str) -> bool:
        """Whether an account of this subject can belong to `owner`."""
        if self.owner is OwnerKind.PLATFORM:
            return owner == PLATFORM
        if self.owner is OwnerKind.CHANNEL:
            return ":" in owner
        return owner != ""


Chart = Mapping[str, Subject]
