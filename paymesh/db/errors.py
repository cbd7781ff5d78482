"""What may be told of a database's error: never what is in a row.

PostgreSQL puts the row into DETAIL ("Failing row contains (…)", "Key (…)=(…) already exists"),
psycopg puts DETAIL into the text of its exceptions, SQLAlchemy adds the parameters. A log is read
by more people than a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import DBAPIError, StatementError

_NAMES = ("constraint_name", "table_name", "column_name")


def error_text(error: BaseException) -> str:
    """An exception's text; of a database's error the state, the message, and what it is about."""
    if isinstance(error, StatementError) and error.orig is not None:
        return error_text(error.orig)
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return " ".join(str(error).split()) or type(error).__name__
    message = error.diag.message_primary or type(error).__name__
    if error.sqlstate.startswith("22"):  # it quotes the value that it refuses
        message = re.sub(r'"[^"]*"', '"…"', message)
    about = [f"{name.removesuffix('_name')} {value}" for name in _NAMES
             if (value := getattr(error.diag, name))]  # fmt: skip
    return f"{error.sqlstate}: {message}" + (f" ({', '.join(about)})" if about else "")


def silence(error: BaseException | None) -> None:
    """From now on the exception, and whatever it came from, says no more than `told`: also where
    others print it, with its traceback."""
    for one in _chain(error, set()):
        if isinstance(one, psycopg.Error) and one.sqlstate is not None:
            one.args = (error_text(one),)
        elif isinstance(one, StatementError):
            one.hide_parameters = True
            if isinstance(one, DBAPIError):
                one.args = (f"({type(one.orig).__name__}) {error_text(one)}",)


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    # What `orig` is, is mostly the cause too.
    for one in (error.__cause__, error.__context__, getattr(error, "orig", None), *inner):
        yield from _chain(one, seen)
