"""Settings of the channel gateway."""

from __future__ import annotations

from pathlib import Path

from paymesh.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    gateway_database_url: str = ""
    """The application role's URL; `migrate` takes PAYMESH_GATEWAY_OWNER_URL."""
    gateway_owner_url: str = ""
    ingress_listen: str = "127.0.0.1:0"
    """Where `ingress` takes the channels' HTTP callbacks."""
    callback_base_url: str = "http://127.0.0.1:7080"
    """How channels reach the ingress."""
    callbacks_per_second_max: int = 500
    """Per channel and source address."""
    channel_callbacks_per_second_max: int = 2000
    """Per channel, from all sources together."""
    channel_in_flight_max: int = 100
    channel_budget_s: float = 4.0
    """The time that one call of a channel may take."""
    sandbox_url: str = ""
    """The sandbox channel; empty: it is not offered."""
    sandbox_public_key_file: Path | None = None
    sandbox_merchant_key_file: Path | None = None
    loopback_channel: bool = False
    """Offers the channel `loopback`, which pays every order by itself: for measuring, never with
    real money."""
