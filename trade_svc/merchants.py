"""Merchants: who may trade, and where their notifications go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Decision, View, history


class MerchantState(StrEnum):
    ACTIVE = "ACTIVE"


@dataclass(frozen=True, slots=True)
class Merchant:
    id: str
    context: Context
    version: int
    state: MerchantState
    display_name: str
    notify_url: str
    sealed_notify_secret: bytes
    """What signs its notifications, encrypted."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MerchantView:
    merchant: Merchant | None


@dataclass(frozen=True, slots=True)
class CreateMerchant:
    merchant_id: str
    context: Context
    display_name: str
    notify_url: str
    sealed_notify_secret: bytes

    @property
    def key(self) -> str:
        return self.merchant_id


def create_merchant(
    state: MerchantView, c: CreateMerchant, at: datetime, view: View
) -> Decision[MerchantView]:
    merchant = Merchant(
        id=c.merchant_id,
        context=c.context,
        version=1,
        state=MerchantState.ACTIVE,
        display_name=c.display_name,
        notify_url=c.notify_url,
        sealed_notify_secret=c.sealed_notify_secret,
        created_at=at,
    )
    return Decision(
        state=MerchantView(merchant),
        events=(history(merchant, "trade.merchant.created"),),
        answer=merchant,
    )
