"""Settings of the trade core."""

from __future__ import annotations

from typing import Annotated

from pydantic import field_validator
from pydantic_settings import NoDecode

from paymesh.settings import ServiceSettings
from paymesh.values import APPLICATION_URL, SECRET_KEY, DatabaseUrl, Target
from trade_svc.types import TRADE_TYPES
from trade_svc.types.declaration import TradeType


class TradeSettings(ServiceSettings):
    needed = {"trade_database_url": APPLICATION_URL, "secret_key_file": SECRET_KEY}

    trade_database_url: DatabaseUrl = ""
    """The application role's URL; `migrate` takes PAYMESH_TRADE_OWNER_URL."""
    trade_owner_url: DatabaseUrl = ""
    pay_target: Target = "127.0.0.1:7002"
    """Where the payment core answers gRPC: host:port or dns:///name:port."""
    clearing_target: Target = "127.0.0.1:7004"
    """Where the ledger answers gRPC, likewise."""
    booked_before_paid: Annotated[frozenset[TradeType], NoDecode] = frozenset({TradeType.TRANSFER})
    """Trade types that are PAID only once the ledger has booked it, such as "TRANSFER,TOP_UP"; the
    others are booked from their events. Empty: all are."""
    notify_allow_private: bool = False
    """Whether notifications may go to plain http and private addresses: only for development."""

    @field_validator("booked_before_paid", mode="before")
    @classmethod
    def listed(cls, value: object) -> object:
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        return value

    @field_validator("booked_before_paid")
    @classmethod
    def can_be(cls, types: frozenset[TradeType]) -> frozenset[TradeType]:
        offered = {
            type_ for type_, declared in TRADE_TYPES.items() if declared.may_be_booked_before_paid
        }
        if wrong := sorted(types - offered):
            raise ValueError(
                f"is wrong: {', '.join(wrong)} cannot be booked before it is paid; "
                f"{', '.join(sorted(offered))} can"
            )
        return types
