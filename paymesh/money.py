"""Money: int64 minor units and an ISO 4217 currency; never a float."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from iso4217 import Currency

from paymesh.errors import CurrencyMismatch, InvalidField

MINOR_UNITS_MAX = 2**63 - 1
EXPONENTS: dict[str, int] = {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}
"""Digits after the point by currency code: EUR 2, JPY 0, KWD 3 (ISO 4217)."""

_EXACT = Context(prec=100, rounding=ROUND_HALF_UP)  # the usual 28 digits would round twice


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in minor units of a currency. Arithmetic refuses to mix currencies."""

    currency: str
    minor: int

    def __add__(self, other: Money) -> Money:
        self.require_same_currency(other)
        return Money(self.currency, self.minor + other.minor)

    def __sub__(self, other: Money) -> Money:
        self.require_same_currency(other)
        return Money(self.currency, self.minor - other.minor)

    def require_same_currency(self, other: Money) -> None:
        """Raises CurrencyMismatch unless both are of one currency."""
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not mix")

    def __str__(self) -> str:
        """For people: `EUR 12.34`, `JPY 500`, `KWD 1.234`."""
        exponent = EXPONENTS.get(self.currency, 0)
        sign, digits = (
            ("-" if self.minor < 0 else ""),
            str(abs(self.minor)).rjust(exponent + 1, "0"),
        )
        if exponent == 0:
            return f"{self.currency} {sign}{int(digits):,}"
        return f"{self.currency} {sign}{int(digits[:-exponent]):,}.{digits[-exponent:]}"


def known_currency(code: str, *, field: str) -> str:
    """The code itself if ISO 4217 knows it and gives it an exponent; else InvalidField."""
    if code not in EXPONENTS:
        raise InvalidField(field, f"{code!r} is not an ISO 4217 currency with a minor unit")
    return code


def total(amounts: Iterable[Money], *, currency: str) -> Money:
    """The sum; zero of the currency for no amounts."""
    result = Money(currency, 0)
    for amount in amounts:
        result = result + amount
    return result


def share(amount: Money, rate: Decimal) -> Money:
    """`rate` of the amount, rounded half up to a whole minor unit, exactly."""
    minor = _EXACT.multiply(Decimal(amount.minor), rate).quantize(Decimal(1), context=_EXACT)
    return Money(amount.currency, int(minor))
