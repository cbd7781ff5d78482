"""Settings of the payment core."""

from __future__ import annotations

from paymesh.settings import ServiceSettings
from paymesh.values import APPLICATION_URL, SECRET_KEY, DatabaseUrl, Seconds, Target


class PaySettings(ServiceSettings):
    needed = {"pay_database_url": APPLICATION_URL, "secret_key_file": SECRET_KEY}

    pay_database_url: DatabaseUrl = ""
    """The application role's URL; `migrate` takes PAYMESH_PAY_OWNER_URL."""
    pay_owner_url: DatabaseUrl = ""
    gateway_target: Target = "127.0.0.1:7003"
    """Where the channel gateway answers gRPC: host:port or dns:///name:port."""
    clearing_target: Target = "127.0.0.1:7004"
    """Where the ledger answers gRPC: host:port or dns:///name:port."""
    beneficiary_cooling_off_s: Seconds = 0
    """How long a new beneficiary cannot be paid."""
