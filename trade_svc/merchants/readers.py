"""What every trade and every notification asks for, remembered for a few seconds.

So a change of a merchant (another URL, another secret) may take as long to be heard of: until then
notifications go where they went, signed as they were. What was not found is looked up every time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from paymesh.app import Core
from paymesh.context import Context
from trade_svc.merchants.business_codes import (
    BusinessCode,
    BusinessCodeView,
    business_code_id_of,
)
from trade_svc.merchants.domain import Merchant, MerchantView
from trade_svc.trades.model import Shut
from trade_svc.trades.refusals import BusinessCodeNotRegistered

V = TypeVar("V")

REMEMBERED_S = 5.0
REMEMBERED_MAX = 10_000
SHUT_REMEMBERED_S = 1.0


class _Remembered(Generic[V]):
    """What `look` found by key; where it found nothing it is asked every time."""

    def __init__(self, look: Callable[[str], Awaitable[V | None]]) -> None:
        self._look = look
        self._known: dict[str, tuple[float, V]] = {}

    async def get(self, key: str) -> V | None:
        known = self._known.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        found = await self._look(key)
        if found is not None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[key] = (time.monotonic() + REMEMBERED_S, found)
        return found


class Merchants:
    """Merchants by id."""

    def __init__(self, core: Core[MerchantView]) -> None:
        self._core = core
        self._remembered = _Remembered(self._look)

    async def get(self, merchant_id: str, field: str = "merchant_id") -> Merchant:
        """Raises NotFound, naming the field."""
        return MerchantView(await self._remembered.get(merchant_id)).existing(merchant_id, field)

    async def _look(self, merchant_id: str) -> Merchant | None:
        if not merchant_id.startswith("mer_"):
            return None
        return (await self._core.load(merchant_id)).merchant


class ShutMerchants:
    """Those that sell nothing in some currency: all of them in one look, as they are few."""

    def __init__(self, look: Callable[[], Awaitable[Shut]]) -> None:
        self._look = look
        self._known: Shut = frozenset()
        self._until = 0.0

    async def get(self) -> Shut:
        """At most SHUT_REMEMBERED_S old. Raises Unavailable."""
        if time.monotonic() >= self._until:
            # Who comes meanwhile takes what was known: it is advice.
            self._until = time.monotonic() + SHUT_REMEMBERED_S
            self._known = await self._look()
        return self._known


class BusinessCodes:
    """Which business codes are registered; none is ever taken away."""

    def __init__(self, core: Core[BusinessCodeView]) -> None:
        self._core = core
        self._remembered = _Remembered(self._look)

    async def require(self, context: Context) -> None:
        """Raises BusinessCodeNotRegistered unless the four elements are registered together."""
        if await self._remembered.get(business_code_id_of(context)) is None:
            c = context
            raise BusinessCodeNotRegistered(
                f"merchant_id {c.merchant_id!r}, order_type {c.order_type!r}, sub_type "
                f"{c.sub_type!r} and pay_org_no {c.pay_org_no!r} are not registered together; "
                "register them with MerchantService.RegisterBusinessCode"
            )

    async def _look(self, code_id: str) -> BusinessCode | None:
        return (await self._core.load(code_id)).code
