"""How every connection of ours to PostgreSQL begins, whoever opens it, and what its URL may be.

A server, a database, a role and the environment all have settings that change what a statement
means. Ours are said at each start of a connection, and those of the environment are forgotten:
what a number or a time is must not depend on where a process runs.
"""

from __future__ import annotations

import os
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

CONNECT_TIMEOUT_S = 5
DRIVERS = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
ENCODE = "a character of its user or password must be percent-encoded"
ENCODED = "@ is %40, / is %2F, : is %3A, % is %25, a space is %20"

_SETTINGS = {
    # Which rows are meant, and what a transaction sees and promises.
    "search_path": "public",
    "default_transaction_isolation": r"read\ committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "on",
    # How values are read and written.
    "DateStyle": "ISO,MDY",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "xmloption": "content",
    # Whoever wants limits says so after these.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())

_FORGOTTEN = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGSERVICEFILE"),
    *("PGSYSCONFDIR", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGOPTIONS"),
    *("PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLIENTENCODING"),
)
"""What libpq takes from the environment and would lead elsewhere or change results; PGTZ and
PGDATESTYLE even win over our options. What lets us in (PGSSL…, PGPASSFILE) stays."""


def arguments(url: str, *, options: str = "") -> dict[str, Any]:
    """What psycopg.connect takes to reach the database of a URL. `options` are added to ours.

    Raises ValueError, with words to follow the setting's name, for a URL that is none.
    """
    for name in _FORGOTTEN:
        os.environ.pop(name, None)
    parsed = parse(url)
    query = {name: v if isinstance(v, str) else ",".join(v) for name, v in parsed.query.items()}
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        **query,
        **parsed.translate_connect_args(username="user", database="dbname"),
        "client_encoding": "UTF8",
        "options": " ".join(filter(None, (query.get("options"), _OPTIONS, options))),
    }


def parse(url: str) -> sa.URL:
    """A PostgreSQL URL's parts. Raises ValueError, in which nothing of the URL is said: it may
    have a password in it."""
    require_encoded(url)
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.drivername not in DRIVERS or not parsed.database or " " in url:
        raise ValueError("is no URL such as postgresql://user:password@host:5432/database")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise ValueError(f"has the port {parsed.port}; one is 1 to 65535")
    return parsed


def require_encoded(url: str) -> None:
    """Raises ValueError if user or password have a character that ends them, or is half a code."""
    _, _, rest = url.partition("://")
    user, at, _ = rest.rpartition("@")
    ends = any(character in user for character in "@/?#") or re.search(r"\s", url)
    if (at and ends) or re.search(r"%(?![0-9A-Fa-f]{2})", url):
        raise ValueError(f"is ambiguous: {ENCODE} ({ENCODED})")
