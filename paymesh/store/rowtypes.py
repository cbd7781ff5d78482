"""How frozen dataclasses lie in tables: one RowType per table, one Aggregate per root and children.

The columns of a dataclass field: `Money` gives `<field>_minor` and `<field>_currency`, `Context`
gives its own seven, a field with a JSON codec gives one jsonb column, anything else one column of
the field's name. Every table starts with shard_key, which follows from the row's id.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from paymesh.context import Context, Traffic
from paymesh.ids import shard_of
from paymesh.money import Money

E = TypeVar("E")
S = TypeVar("S")

CONTEXT_COLUMNS = (
    "business_id",
    "merchant_id",
    "order_type",
    "sub_type",
    "pay_org_no",
    "traffic",
    "parent_business_id",
)


@dataclass(frozen=True, slots=True)
class Json:
    """Turns a field into JSON data and back."""

    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its PostgreSQL type, whether it may be NULL, how a value gets in and out."""

    name: str
    type: str
    nullable: bool
    dump: Callable[[Any], Any]
    """From the entity."""


def _plain(annotation: Any) -> tuple[Any, bool]:
    """The type without `| None`, and whether None is allowed."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        options = [a for a in typing.get_args(annotation) if a is not type(None)]
        return options[0], len(options) < len(typing.get_args(annotation))
    return annotation, False


_SCALARS: dict[type, str] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    bytes: "bytea",
    datetime: "timestamptz",
    date: "date",
}
SA_TYPES: dict[str, Any] = {
    "text": sa.Text,
    "bigint": sa.BigInteger,
    "smallint": sa.SmallInteger,
    "boolean": sa.Boolean,
    "bytea": sa.LargeBinary,
    "timestamptz": lambda: sa.DateTime(timezone=True),
    "date": sa.Date,
    "jsonb": lambda: sa.dialects.postgresql.JSONB,  # type: ignore[attr-defined]
}


class RowType(Generic[E]):
    """One table and the dataclass whose instances are its rows.

    `parent`: for children, the field with their aggregate's id. `changing`: the fields that may
    change once a row is there, `version` among them; an update writes no others. `insert_only`:
    records, never changed. `check`: what the table's CHECK constraints say, for the memory adapter.
    `unique`: its unique keys beside the primary one, as field names. `key`: the columns of its
    primary key. `derived`: fields without a column, because others tell them; such rows are not
    loaded. `guard`: (kind, field): a record whose id is a taken name of that kind, held by the
    field.
    """

    def __init__(
        self,
        table: str,
        entity: type[E],
        *,
        parent: str | None = None,
        changing: Sequence[str] = (),
        insert_only: bool = False,
        json_fields: Mapping[str, Json] | None = None,
        check: Callable[[E], bool] | None = None,
        unique: Sequence[tuple[str, ...]] = (),
        key: Sequence[str] = ("shard_key", "id"),
        derived: Sequence[str] = (),
        guard: tuple[str, str] | None = None,
    ) -> None:
        self.table, self.entity, self.parent = table, entity, parent
        self.key, self.guard = tuple(key), guard
        self.insert_only, self.check, self.unique = insert_only, check, tuple(unique)
        assert insert_only or "version" in changing, f"what may change of a {table}?"
        self._json = dict(json_fields or {})
        self.columns: list[Column] = [
            Column("shard_key", "smallint", False, lambda row: shard_of(row.id))
        ]
        self.changing: list[Column] = []
        """The columns of the fields that may change."""
        loaders: list[tuple[int, Callable[..., Any] | None]] = []
        hints = typing.get_type_hints(entity)
        names = [item.name for item in dataclasses.fields(entity)]  # type: ignore[arg-type]
        for name in names:
            if name in derived:
                continue
            before = len(self.columns)
            loaders.append(self._add(name, hints[name]))
            if name in changing:
                self.changing += self.columns[before:]
        self.names = [column.name for column in self.columns]
        self.load: Callable[[Sequence[Any]], E] = _loader(entity, loaders)
        """A row (all columns, in order) as an entity."""
        fixed = [name for name in names if name not in changing]
        self._fixed = attrgetter("id", *fixed)

    def _add(self, name: str, annotation: Any) -> tuple[int, Callable[..., Any] | None]:
        """Adds a field's columns; how many they are, and what makes the field of them, if any."""
        plain, nullable = _plain(annotation)
        width, load = 1, typing.cast("Callable[..., Any] | None", None)
        if name in self._json:
            codec = self._json[name]
            self._column(name, "jsonb", False, _json_dump(name, codec.dump))
            load = codec.load
        elif plain is Money:
            self._column(f"{name}_minor", "bigint", nullable, _part(name, "minor", nullable))
            self._column(f"{name}_currency", "text", nullable, _part(name, "currency", nullable))
            width, load = 2, _load_money
        elif plain is Context:
            for column in CONTEXT_COLUMNS:
                self._column(column, "text", False, attrgetter(f"{name}.{column}"))
            width, load = len(CONTEXT_COLUMNS), _load_context
        elif isinstance(plain, type) and issubclass(plain, enum.StrEnum):
            self._column(name, "text", nullable, attrgetter(name))
            members: dict[str | None, Any] = {member.value: member for member in plain}
            load = {**members, None: None}.__getitem__
        else:
            self._column(name, _SCALARS[plain], nullable, attrgetter(name))
        return width, load

    def _column(self, name: str, type_: str, nullable: bool, dump: Callable[[Any], Any]) -> None:
        self.columns.append(Column(name, type_, nullable, dump))

    def may_follow(self, old: E, new: E) -> bool:
        """Whether only what may change has changed: an update would lose the rest."""
        return bool(self._fixed(old) == self._fixed(new))

    def dump(self, rows: Sequence[E]) -> list[list[Any]]:
        """Entities as one list per column: what unnest takes."""
        return [list(map(column.dump, rows)) for column in self.columns]

    def dump_changing(self, rows: Sequence[E]) -> list[list[Any]]:
        """The same for an update: shard_key, id, and what may change."""
        columns = [self.columns[0], self.columns[1], *self.changing]
        return [list(map(column.dump, rows)) for column in columns]

    def sa_table(self, metadata: sa.MetaData, *constraints: Any) -> sa.Table:
        """The table for SQLAlchemy: migrations are compared with it, everyday queries use it."""
        return sa.Table(
            self.table,
            metadata,
            *(
                sa.Column(
                    column.name,
                    SA_TYPES[column.type](),
                    nullable=column.nullable,
                    autoincrement=False,
                )
                for column in self.columns
            ),
            sa.PrimaryKeyConstraint(*self.key),
            *constraints,
        )


def _loader(
    entity: type[E], loaders: Sequence[tuple[int, Callable[..., Any] | None]]
) -> Callable[[Sequence[Any]], E]:
    """`lambda v: entity(v[1], load2(v[2], v[3]), …)`, written out once: rows come by thousands."""
    at, parts, names = 1, [], {"entity": entity}
    for index, (width, load) in enumerate(loaders):
        values = ", ".join(f"v[{n}]" for n in range(at, at + width))
        parts.append(values if load is None else f"load{index}({values})")
        names[f"load{index}"] = typing.cast(Any, load)
        at += width
    made: Callable[[Sequence[Any]], E] = eval(f"lambda v: entity({', '.join(parts)})", names)
    return made


def _load_money(minor: int | None, currency: str | None) -> Money | None:
    return None if minor is None or currency is None else Money(currency, minor)


def _load_context(*values: str) -> Context:
    business, merchant, order, sub, org, traffic, parent = values
    return Context(business, merchant, order, sub, org, _TRAFFIC[traffic], parent)


_TRAFFIC = {traffic.value: traffic for traffic in Traffic}


def _part(name: str, part: str, nullable: bool) -> Callable[[Any], Any]:
    if not nullable:
        return attrgetter(f"{name}.{part}")
    return lambda row: None if (value := getattr(row, name)) is None else getattr(value, part)


def _json_dump(name: str, dump: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda row: json.dumps(dump(getattr(row, name)), separators=(",", ":"))


@dataclass(frozen=True, eq=False)
class Aggregate(Generic[S]):
    """What one command changes as a whole: a root row and its children, locked by the root.

    `state` is a dataclass whose first field is the root (None where there is none yet) and whose
    other fields are tuples of children, named as in `children`.
    """

    name: str
    state: type[S]
    root: RowType[Any]
    children: Mapping[str, RowType[Any]] = field(default_factory=dict)
    deadline: str = ""
    """The root's column with a time that no ladder may skip, such as expires_at."""
    prelude: str = ""
    """SQL that makes the rows ready before they are locked and loaded. Parameter: ids."""
    shared: str = ""
    """As of a AggregateSet."""

    @cached_property
    def _root_field(self) -> str:
        return dataclasses.fields(self.state)[0].name  # type: ignore[arg-type]

    def is_there(self, state: S) -> bool:
        """Whether a state has a root."""
        return getattr(state, self._root_field) is not None

    def rows(self, state: S) -> list[tuple[RowType[Any], Any]]:
        """All rows of a state with their kinds."""
        root = getattr(state, self._root_field)
        found = [] if root is None else [(self.root, root)]
        for name, kind in self.children.items():
            found.extend((kind, child) for child in getattr(state, name))
        return found

    def build(self, root: Any, children: Mapping[str, Sequence[Any]]) -> S:
        make: Callable[..., S] = self.state
        return make(root, **{name: tuple(children.get(name, ())) for name in self.children})

    def split(self, keys: Sequence[str]) -> list[tuple[Aggregate[Any], Sequence[str]]]:
        """All keys are its own: see AggregateSet."""
        return [(self, keys)]


@dataclass(frozen=True, eq=False)
class AggregateSet(Generic[S]):
    """Several aggregates that one command may change together; a key's prefix says which it is of.

    `members` by prefix, in the order in which their tables are locked. They are not swept.
    `shared`: SQL for one value that every decision of the family sees (View.shared).
    """

    name: str
    members: Mapping[str, Aggregate[Any]]
    shared: str = ""

    def is_there(self, state: Any) -> bool:
        """Whether a state has a root."""
        return self._by_state[type(state)].is_there(state)

    def rows(self, state: Any) -> list[tuple[RowType[Any], Any]]:
        """All rows of a state with their kinds."""
        return self._by_state[type(state)].rows(state)

    @cached_property
    def _by_state(self) -> Mapping[type, Aggregate[Any]]:
        return {member.state: member for member in self.members.values()}

    def split(self, keys: Sequence[str]) -> list[tuple[Aggregate[Any], Sequence[str]]]:
        """Each member with the keys that are its own; raises LookupError for a key of none."""
        own: dict[str, list[str]] = {prefix: [] for prefix in self.members}
        for key in keys:
            own[key.split("_", 1)[0]].append(key)
        return [(self.members[prefix], found) for prefix, found in own.items() if found]
