"""Typed settings from the environment: every PAYMESH_ name is declared here or by a service.

A setting that is wrong, or unknown, is one sentence before anything is started or written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import ClassVar, Literal, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from paymesh.values import (
    AmqpUrl,
    Count,
    DatabaseUrl,
    ExistingPath,
    HttpUrl,
    Listen,
    Port,
    Scale,
    Seconds,
    WritableFile,
)

PREFIX = "PAYMESH_"
SERVICES = ("trade", "pay", "gateway", "clearing")
S = TypeVar("S", bound=BaseSettings)


class SettingsWrong(Exception):
    """The environment cannot be used: a line for each setting, with its name and what is right."""


class ServiceSettings(BaseSettings):
    """What every process of the mesh reads: PAYMESH_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")
    needed: ClassVar[Mapping[str, str]] = {}
    """What must be set for every role but `migrate`, and to what."""

    amqp_url: AmqpUrl = "amqp://guest:guest@127.0.0.1:5672/"
    listen: Listen = "127.0.0.1:0"
    """Where `serve` answers gRPC."""
    metrics_port: Port = 0
    """Where Prometheus finds metrics; 0: nowhere."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_human: bool = False
    traces: Literal["none", "otlp", "console"] = "none"
    time_scale: Scale = 1.0
    """Multiplies every waiting ladder (retries, sweeps, queries): tests use less than 1."""
    drain_wait_s: Seconds = 5.0
    """Between NOT_SERVING and the end of new calls."""
    database_pool: Count = 5
    relay_older_than_s: Seconds = 5.0
    secret_key_file: ExistingPath | None = None
    """32 bytes that encrypt secrets at rest, or a folder of such files, *.key, the newest last."""
    ready_file: WritableFile | None = None
    """Written when the process is ready."""

    def ladder(self, *seconds: float) -> tuple[float, ...]:
        """A ladder of waits, scaled."""
        return tuple(rung * self.time_scale for rung in seconds)


class LauncherSettings(BaseSettings):
    """What the command `paymesh` reads, and says to its children, beside the services' settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    home: str = ""
    database_url: DatabaseUrl = ""
    """An administrator of a PostgreSQL that runs already."""
    amqp_url: AmqpUrl = ""
    rabbitmq_management_url: HttpUrl = ""
    role: str = ""
    """The process's name, for failpoints."""


def settings_of(service: str) -> type[ServiceSettings]:
    """A service's settings class, by name: the runtime does not know the services."""
    found: type[ServiceSettings] = getattr(
        import_module(f"{service}_svc.settings"), f"{service.capitalize()}Settings"
    )
    return found


def known_names() -> frozenset[str]:
    """Of all services: one environment may serve them all."""
    return _names(LauncherSettings, *map(settings_of, SERVICES))


def _names(*types: type[BaseSettings]) -> frozenset[str]:
    return frozenset(PREFIX + field.upper() for type_ in types for field in type_.model_fields)


def read(type_: type[S]) -> S:
    """The settings of a class. Raises SettingsWrong for values that are wrong and for names that
    nobody knows."""
    require_known(type_)
    try:
        return type_()
    except ValidationError as error:
        lines = dict.fromkeys(map(_sentence, error.errors(include_url=False)))
        raise SettingsWrong("\n".join(lines)) from None


def require(settings: ServiceSettings, needed: Mapping[str, str]) -> None:
    """Raises SettingsWrong for what is not set; `needed` says what each should be."""
    missing = [name for name in needed if not getattr(settings, name)]
    if missing:
        raise SettingsWrong(
            "\n".join(f"{PREFIX}{name.upper()} is not set: {needed[name]}" for name in missing)
        )


def require_known(*types: type[BaseSettings]) -> None:
    """Raises SettingsWrong for names that nobody knows. Who reads names of `types` alone need not
    import the other services for it."""
    found = {name for name in os.environ if name.startswith(PREFIX)}
    unknown = found - _names(LauncherSettings, *types)
    if unknown and (unknown := unknown - known_names()):
        raise SettingsWrong("\n".join(map(_unknown, sorted(unknown))))


def require_all() -> None:
    """For who starts all services: all their settings, and the launcher's. Raises SettingsWrong."""
    wrong: dict[str, None] = {}
    types: list[type[BaseSettings]] = [LauncherSettings, *map(settings_of, SERVICES)]
    for type_ in types:
        try:
            read(type_)
        except SettingsWrong as error:
            wrong |= dict.fromkeys(str(error).splitlines())
    if wrong:
        raise SettingsWrong("\n".join(wrong))


def _unknown(name: str) -> str:
    near = get_close_matches(name, known_names(), n=1, cutoff=0.8)
    hint = f"did you mean {near[0]}?" if near else "docs/OPERATIONS.md has all that there are"
    return f"{name} is no setting: {hint}"


def _sentence(error: ErrorDetails) -> str:
    name = PREFIX + str(error["loc"][0]).upper() if error["loc"] else ""
    if error["type"] == "value_error":  # our own words, which say what they may of the value
        return f"{name} {error['msg'].removeprefix('Value error, ')}".strip()
    return f"{name} is {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
