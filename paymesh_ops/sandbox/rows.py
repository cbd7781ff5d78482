"""Rows of the book: one flat JSON object for an order, a refund or a payout, and back.

The same rows are in the book file and in the answer of `GET /admin/book`. Times are RFC 3339 in
UTC with milliseconds; what is not (yet) known is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from paymesh_ops.sandbox.domain import (
    Fate,
    NewOrder,
    NewPayout,
    NewRefund,
    Order,
    OrderState,
    Payout,
    PayoutState,
    Refund,
    RefundState,
)

Json = dict[str, Any]
Entity = Order | Refund | Payout

_TIMES = frozenset(
    {"time_expire", "created_at", "success_time", "closed_at", "failed_time"},
)
_PARAMS: dict[type[Entity], type[NewOrder | NewRefund | NewPayout]] = {
    Order: NewOrder,
    Refund: NewRefund,
    Payout: NewPayout,
}
_STATES: dict[type[Entity], type[StrEnum]] = {
    Order: OrderState,
    Refund: RefundState,
    Payout: PayoutState,
}
KINDS: dict[type[Entity], str] = {Order: "order", Refund: "refund", Payout: "payout"}
CLASSES: dict[str, type[Entity]] = {kind: cls for cls, kind in KINDS.items()}

_COLUMNS: dict[type[Any], tuple[str, ...]] = {
    cls: tuple(field.name for field in fields(cls) if field.name != "params")
    for cls in (*_PARAMS.keys(), *_PARAMS.values())
}


def time_text(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, such as 2026-11-22T10:00:00.000Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_of(text: str) -> datetime:
    """Raises ValueError unless it is a time with an offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"no offset in {text!r}")
    return at.astimezone(UTC)


def to_row(entity: Entity) -> Json:
    """The flat row: parameters first, then what the channel made of them."""
    row: Json = {name: getattr(entity.params, name) for name in _COLUMNS[type(entity.params)]}
    row.update((name, getattr(entity, name)) for name in _COLUMNS[type(entity)])
    for name in _TIMES & row.keys():
        if row[name] is not None:
            row[name] = time_text(row[name])
    return row


def from_row(kind: str, row: Mapping[str, Any]) -> Entity:
    """The entity of a row. Raises KeyError, TypeError or ValueError if it is not one."""
    cls = CLASSES[kind]
    values = dict(row)
    for name in _TIMES & values.keys():
        if values[name] is not None:
            values[name] = time_of(values[name])
    values["state"] = _STATES[cls](values["state"])
    if "fate" in values:
        values["fate"] = Fate(values["fate"])
    params_cls: type[Any] = _PARAMS[cls]
    params = params_cls(**{name: values.pop(name) for name in _COLUMNS[params_cls]})
    entity_cls: type[Any] = cls
    entity: Entity = entity_cls(params=params, **values)
    return entity
