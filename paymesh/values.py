"""What a setting's value may be. A refusal follows the setting's name, and shows no password."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import pika
from pydantic import AfterValidator, Field

from paymesh.db import session

APPLICATION_URL = "the application role's URL, postgresql://user:password@host:5432/database"
SECRET_KEY = "a file with 32 random bytes"

Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _database(url: str) -> str:
    if url:
        session.parse(url)
    return url


def _amqp(url: str) -> str:
    if not url:
        return url
    session.require_encoded(url)
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"amqp", "amqps"} and parts.hostname and parts.port != 0
        pika.URLParameters(url)
    except (ValueError, TypeError, SyntaxError):
        known = False
    if not known:
        raise ValueError("is no URL such as amqp://user:password@host:5672/vhost")
    return url


def _http(url: str) -> str:
    if not url:
        return url
    session.require_encoded(url)
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        known = known and not any(map(str.isspace, url))
    except ValueError:  # a port that is none
        known = False
    if not known or parts.query or parts.fragment:
        raise ValueError("is no URL such as http://host:8080")
    return url


def _address(text: str, *, least: int) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and least <= int(port) <= 65535


def _listen(text: str) -> str:
    if not _address(text, least=0) or set(text) & set("/@ "):
        raise ValueError(f"is {text!r}: it must be host:port, and a port is 0 to 65535")
    return text


def _target(text: str) -> str:
    if not _address(text, least=1) or set(text.removeprefix("dns:///")) & set("/@ "):
        raise ValueError(
            f"is {text!r}: it must be host:port or dns:///name:port, and a port is 1 to 65535"
        )
    return text


def readable(path: Path) -> bytes:
    """A file's content. Raises ValueError with what the system says."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"names {str(path)!r}: {error.strerror}") from error


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"names {str(path)!r}: there is no such file or folder")
    return path


def _writable(path: Path) -> Path:
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise ValueError(f"names {str(path)!r}: no file can be written there")
    return path


DatabaseUrl = Annotated[str, AfterValidator(_database)]
AmqpUrl = Annotated[str, AfterValidator(_amqp)]
HttpUrl = Annotated[str, AfterValidator(_http)]
Listen = Annotated[str, AfterValidator(_listen)]
Target = Annotated[str, AfterValidator(_target)]
ExistingPath = Annotated[Path, AfterValidator(_existing)]
WritableFile = Annotated[Path, AfterValidator(_writable)]
