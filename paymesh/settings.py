"""Typed settings from the environment; each service adds its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What every process of the mesh reads: PAYMESH_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="PAYMESH_", extra="ignore")

    amqp_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    listen: str = "127.0.0.1:0"
    """Where `serve` answers gRPC."""
    metrics_port: int = 0
    """Where Prometheus finds metrics; 0: nowhere."""
    log_level: str = "INFO"
    log_human: bool = False
    traces: Literal["none", "otlp", "console"] = "none"
    time_scale: float = 1.0
    """Multiplies every waiting ladder (retries, sweeps, queries): tests use less than 1."""
    drain_wait_s: float = 5.0
    """Between NOT_SERVING and the end of new calls."""
    database_pool: int = 5
    relay_older_than_s: float = 5.0
    secret_key_file: Path | None = None
    """32 bytes that encrypt secrets at rest."""

    def ladder(self, *seconds: float) -> tuple[float, ...]:
        """A ladder of waits, scaled."""
        return tuple(rung * self.time_scale for rung in seconds)
