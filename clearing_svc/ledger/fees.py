"""What the platform takes of a payment, by accounting product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from paymesh.money import Money, share


@dataclass(frozen=True, slots=True)
class Fees:
    """Rates by product code: 0 to 1 of the amount, with at most six decimals."""

    rates: Mapping[str, Decimal]

    def of(self, product: str, amount: Money) -> Money:
        """The fee in whole minor units, rounded half up. Raises KeyError for another product."""
        return share(amount, self.rates[product])
