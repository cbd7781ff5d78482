"""Where a merchant's notifications can be sent at all: what no try would ever reach is refused."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from paymesh.errors import InvalidField

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NAME_MAX = 253


def require_endpoint(url: str) -> None:
    """Raises InvalidField for a notify_url that nothing can be sent to; empty: none is wanted.

    Whether its host exists, and is a public one, is seen when it is used: both may change.
    """
    if url and (why := _unreachable(url)):
        raise InvalidField("notify_url", why)


def _unreachable(url: str) -> str:
    """Why, or nothing."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        return f"is not a URL: {error}"
    if port == 0:
        return "its port must be 1 to 65535"
    if "@" in parts.netloc:
        return "must not carry a user or a password"
    if parts.netloc.startswith("[") or _is_address(host):
        return ""
    return _no_name(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _no_name(host: str) -> str:
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    labels = name.removesuffix(".").split(".")
    if len(name) > _NAME_MAX or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        return f"its host, {host!r}, can be no host's name"
    return ""
