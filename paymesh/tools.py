"""Means of payment as plain data: what the payer pays with, and how much of the amount by each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from paymesh.errors import AmountMismatch, FieldViolation
from paymesh.money import Money, total


@dataclass(frozen=True, slots=True)
class Tool:
    """A channel with its part of the amount."""

    channel: str
    amount: Money


def require_sum(tools: Iterable[Tool], amount: Money) -> None:
    """Raises CurrencyMismatch or AmountMismatch unless the parts sum exactly to the amount."""
    parts = list(tools)
    for tool in parts:
        tool.amount.require_same_currency(amount)
    paid = total((tool.amount for tool in parts), currency=amount.currency)
    if paid != amount:
        raise AmountMismatch(
            f"the tools sum to {paid}, the amount is {amount}",
            fields=(FieldViolation("tools", f"must sum to {amount}"),),
        )


def dump_tools(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """As JSON data."""
    return [
        {"channel": t.channel, "minor": t.amount.minor, "currency": t.amount.currency}
        for t in tools
    ]


def load_tools(data: Sequence[dict[str, Any]]) -> tuple[Tool, ...]:
    """From JSON data."""
    return tuple(Tool(t["channel"], Money(t["currency"], t["minor"])) for t in data)
