"""Settings of the trade core."""

from __future__ import annotations

from paymesh.settings import ServiceSettings


class TradeSettings(ServiceSettings):
    trade_database_url: str = ""
    """The application role's URL; `migrate` takes PAYMESH_TRADE_OWNER_URL."""
    trade_owner_url: str = ""
    pay_target: str = "127.0.0.1:7002"
    """Where the payment core answers gRPC: host:port or dns:///name:port."""
    notify_allow_private: bool = False
    """Whether notifications may go to plain http and private addresses: only for development."""
