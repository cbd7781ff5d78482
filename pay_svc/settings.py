"""Settings of the payment core."""

from __future__ import annotations

from paymesh.settings import ServiceSettings


class PaySettings(ServiceSettings):
    pay_database_url: str = ""
    """The application role's URL; `migrate` takes PAYMESH_PAY_OWNER_URL."""
    pay_owner_url: str = ""
    gateway_target: str = "127.0.0.1:7003"
    """Where the channel gateway answers gRPC: host:port or dns:///name:port."""
    clearing_target: str = "127.0.0.1:7004"
    """Where the ledger answers gRPC: host:port or dns:///name:port."""
    beneficiary_cooling_off_s: float = 0
    """How long a new beneficiary cannot be paid."""
