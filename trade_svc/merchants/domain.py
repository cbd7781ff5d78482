"""Merchants: who may trade, and where their notifications go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Decision, Moves, View, history, moved
from paymesh.errors import NotFound
from paymesh.wallets import SHARED
from trade_svc.notifications.endpoints import require_endpoint


class MerchantState(StrEnum):
    ACTIVE = "ACTIVE"


MERCHANT_MOVES: Moves = {MerchantState.ACTIVE: frozenset({MerchantState.ACTIVE})}
"""ACTIVE → ACTIVE: it was changed."""
SELLS_ON = "MERCHANT_PENDING"
"""The ledger's account for what a merchant sells: one in each currency. While it takes nothing in,
being closed or FROZEN_IN, the merchant is shut in that currency."""


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
    wallet_scope: str = SHARED
    """See paymesh.wallets."""
    shut: tuple[str, ...] = ()
    """Currencies in which its account takes nothing in, so that it sells nothing."""


@dataclass(frozen=True, slots=True)
class MerchantView:
    merchant: Merchant | None

    def existing(self, merchant_id: str, field: str = "merchant_id") -> Merchant:
        """The merchant; raises NotFound, naming the field, where there is none."""
        if self.merchant is None:
            raise NotFound(
                f"no merchant {merchant_id!r}; register it with MerchantService.CreateMerchant",
                metadata={"field": field},
            )
        return self.merchant


@dataclass(frozen=True, slots=True)
class CreateMerchant:
    merchant_id: str
    context: Context
    display_name: str
    notify_url: str
    sealed_notify_secret: bytes
    wallet_scope: str

    @property
    def key(self) -> str:
        return self.merchant_id


@dataclass(frozen=True, slots=True)
class UpdateMerchant:
    """None: as it was."""

    merchant_id: str
    display_name: str | None
    notify_url: str | None

    @property
    def key(self) -> str:
        return self.merchant_id


@dataclass(frozen=True, slots=True)
class RotateSecret:
    merchant_id: str
    sealed_notify_secret: bytes

    @property
    def key(self) -> str:
        return self.merchant_id


@dataclass(frozen=True, slots=True)
class HearAccount:
    """What the ledger says of somebody's account now."""

    owner: str
    subject: str
    currency: str
    takes: bool
    """Whether money may come in."""

    @property
    def key(self) -> str:
        return self.owner


def create_merchant(
    state: MerchantView, command: CreateMerchant, at: datetime, view: View
) -> Decision[MerchantView]:
    require_endpoint(command.notify_url)
    merchant = Merchant(
        id=command.merchant_id,
        context=command.context,
        version=1,
        state=MerchantState.ACTIVE,
        display_name=command.display_name,
        notify_url=command.notify_url,
        sealed_notify_secret=command.sealed_notify_secret,
        created_at=at,
        wallet_scope=command.wallet_scope,
    )
    return Decision(
        state=MerchantView(merchant),
        events=(history(merchant, "trade.merchant.created"),),
        answer=merchant,
    )


def update_merchant(
    state: MerchantView, command: UpdateMerchant, at: datetime, view: View
) -> Decision[MerchantView]:
    merchant = state.existing(command.merchant_id)
    require_endpoint(command.notify_url or "")
    asked = {"display_name": command.display_name, "notify_url": command.notify_url}
    changes = {name: value for name, value in asked.items() if value is not None}
    if not changes:
        return Decision(state=state, answer=merchant)
    merchant = moved(merchant, MerchantState.ACTIVE, MERCHANT_MOVES, **changes)
    return Decision(
        state=MerchantView(merchant),
        events=(history(merchant, "trade.merchant.updated"),),
        answer=merchant,
    )


def rotate_secret(
    state: MerchantView, command: RotateSecret, at: datetime, view: View
) -> Decision[MerchantView]:
    merchant = moved(
        state.existing(command.merchant_id),
        MerchantState.ACTIVE,
        MERCHANT_MOVES,
        sealed_notify_secret=command.sealed_notify_secret,
    )
    return Decision(
        state=MerchantView(merchant),
        events=(history(merchant, "trade.merchant.secret_rotated"),),
        answer=merchant,
    )


def hear_account(
    state: MerchantView, command: HearAccount, at: datetime, view: View
) -> Decision[MerchantView]:
    """Of others than merchants, and of other accounts, nothing is kept."""
    merchant = state.merchant
    if (
        merchant is None
        or command.subject != SELLS_ON
        or (command.currency in merchant.shut) != command.takes
    ):
        return Decision(state=state, answer=merchant)
    shut = {*merchant.shut, command.currency} - ({command.currency} if command.takes else set())
    merchant = moved(merchant, MerchantState.ACTIVE, MERCHANT_MOVES, shut=tuple(sorted(shut)))
    return Decision(
        state=MerchantView(merchant),
        events=(history(merchant, "trade.merchant.account_heard"),),
        answer=merchant,
    )
