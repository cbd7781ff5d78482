"""Lists as PostgreSQL arrays, a whole column at a time.

psycopg turns each element into bytes by itself; a batch of 200 journals has 10,000 of them. Here a
list of one type becomes an array literal with one join. The SQL says the array's type.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.adapt import Dumper


class ArrayDumper(Dumper):
    """Dumps a list of str, int, bool, float, bytes, date or datetime, and None among them."""

    oid = 0  # the statement's cast says it

    def dump(self, obj: list[Any]) -> bytes:
        """Raises psycopg.DataError for NUL in a text, which PostgreSQL cannot hold."""
        return literal(obj).encode()


def literal(values: list[Any]) -> str:
    """The array literal. All values are of the first one's type, or None."""
    first = next((value for value in values if value is not None), None)
    if first is None:
        return "{" + ",".join(["NULL"] * len(values)) + "}"
    if isinstance(first, str):
        return _texts(values)
    to_text = _TO_TEXT[type(first)]
    return "{" + ",".join(["NULL" if v is None else to_text(v) for v in values]) + "}"


def _texts(values: list[Any]) -> str:
    try:
        joined = '","'.join(values)
    except TypeError:  # None is among them
        joined = ",".join(["NULL" if v is None else f'"{_escaped(v)}"' for v in values])
        return "{" + _without_nul(joined) + "}"
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join(map(_escaped, values))
    return '{"' + _without_nul(joined) + '"}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return text


_TO_TEXT: dict[type, Callable[[Any], str]] = {
    int: str,
    bool: lambda value: "t" if value else "f",
    float: repr,
    bytes: lambda value: '"\\\\x' + value.hex() + '"',
    datetime: lambda value: f'"{value.isoformat()}"',
    date: date.isoformat,
}
