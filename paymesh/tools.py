"""Means of payment as plain data: what the payer pays with, and how much of the amount by each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from paymesh.errors import AmountMismatch, FieldViolation
from paymesh.money import Money, total


class ToolKind(StrEnum):
    CHANNEL = "CHANNEL"
    """An external channel, which `Tool.channel` names."""
    BALANCE = "BALANCE"
    """The payer's own balance."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One means of payment with its part of the amount."""

    channel: str
    """Empty where it is no channel."""
    amount: Money
    kind: ToolKind = ToolKind.CHANNEL


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
        {
            "kind": t.kind.value,
            "channel": t.channel,
            "minor": t.amount.minor,
            "currency": t.amount.currency,
        }
        for t in tools
    ]


def load_tools(data: Sequence[dict[str, Any]]) -> tuple[Tool, ...]:
    """From JSON data."""
    return tuple(
        Tool(
            t["channel"],
            Money(t["currency"], t["minor"]),
            ToolKind(t.get("kind", ToolKind.CHANNEL)),  # before balances there were channels only
        )
        for t in data
    )
