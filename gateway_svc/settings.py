"""Settings of the channel gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self

from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import AfterValidator, model_validator

from paymesh.settings import ServiceSettings
from paymesh.signing import Signer, serial_of
from paymesh.values import (
    APPLICATION_URL,
    SECRET_KEY,
    Count,
    DatabaseUrl,
    HttpUrl,
    Listen,
    Seconds,
    readable,
)


def _key(load: Callable[[bytes], object], what: str) -> AfterValidator:
    def check(path: Path) -> Path:
        pem = readable(path)
        try:
            load(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: has a password
            raise ValueError(f"names {str(path)!r}, which is no {what}") from error
        return path

    return AfterValidator(check)


PublicKey = Annotated[Path, _key(serial_of, "PEM of a public RSA key of 2048 bits or more")]
PrivateKey = Annotated[
    Path, _key(Signer, "PEM of a private RSA key of 2048 bits or more without a password")
]


class GatewaySettings(ServiceSettings):
    needed = {"gateway_database_url": APPLICATION_URL, "secret_key_file": SECRET_KEY}

    gateway_database_url: DatabaseUrl = ""
    """The application role's URL; `migrate` takes PAYMESH_GATEWAY_OWNER_URL."""
    gateway_owner_url: DatabaseUrl = ""
    ingress_listen: Listen = "127.0.0.1:0"
    """Where `ingress` takes the channels' HTTP callbacks."""
    callback_base_url: HttpUrl = "http://127.0.0.1:7080"
    """How channels reach the ingress."""
    callbacks_per_second_max: Count = 500
    """Per channel and source address."""
    channel_callbacks_per_second_max: Count = 2000
    """Per channel, from all sources together."""
    channel_in_flight_max: Count = 100
    channel_budget_s: Seconds = 4.0
    """The time that one call of a channel may take."""
    sandbox_url: HttpUrl = ""
    """The sandbox channel; empty: it is not offered."""
    sandbox_public_key_file: PublicKey | None = None
    sandbox_merchant_key_file: PrivateKey | None = None
    loopback_channel: bool = False
    """Offers the channel `loopback`, which pays every order by itself: for measuring, never with
    real money."""

    @model_validator(mode="after")
    def whole(self) -> Self:
        """A channel that is named is offered, or the start fails: never silently left out."""
        if self.sandbox_url and not (
            self.sandbox_public_key_file and self.sandbox_merchant_key_file
        ):
            raise ValueError(
                "PAYMESH_SANDBOX_URL is set, so PAYMESH_SANDBOX_PUBLIC_KEY_FILE and "
                "PAYMESH_SANDBOX_MERCHANT_KEY_FILE must be set too"
            )
        return self
