"""Notifications on their way: a signed POST to the merchant's URL, and nowhere else.

The URL is the merchant's word, so it is guarded when it is used: https, a public address (checked
after resolution, on the address that is then connected to), no redirects.
"""

from __future__ import annotations

import ipaddress
import socket

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from paymesh.clock import Clock
from paymesh.effects import Result
from paymesh.errors import PaymentError
from paymesh.secretbox import SecretBox
from paymesh.signing import sign_notification
from trade_svc.merchants.readers import Merchants
from trade_svc.notifications.domain import CancelNotifications, NotificationSent, SendNotification

log = structlog.get_logger()

TIMEOUT_S = 3.0
SIGNATURE_HEADER = "Paymesh-Signature"


class ForbiddenAddress(OSError):
    """The notify_url leads to an address that is not public."""


def require_public(host: str, address: str) -> None:
    """Raises ForbiddenAddress for private, loopback, link-local and other special addresses."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if not ip.is_global or ip.is_multicast:
        raise ForbiddenAddress(f"{host} leads to {address}, which is not a public address")


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those that lead inside."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for result in found:
            require_public(host, result["host"])
        return found

    async def close(self) -> None:
        await self._inner.close()


class Delivery:
    """Carries out the effect SendNotification."""

    def __init__(
        self, merchants: Merchants, box: SecretBox, *, clock: Clock, allow_private: bool
    ) -> None:
        self._merchants, self._box, self._clock = merchants, box, clock
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        resolver = None if self._allow_private else PublicResolver()
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            connector=aiohttp.TCPConnector(resolver=resolver, limit_per_host=20),
            trust_env=False,  # a proxy would resolve names, past PublicResolver
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, effect: SendNotification) -> Result:
        """POSTs the body; any answer but 2xx, and whatever hinders it, is kept with the
        notification."""
        try:
            merchant = await self._merchants.get(effect.context.merchant_id)
        except PaymentError as error:
            return _sent(effect, error.message)
        if not merchant.notify_url:
            reason = "the merchant has no notify_url any more"
            return Result(CancelNotifications(effect.stream_id, effect.context, reason))
        secret = self._box.open(merchant.sealed_notify_secret, belongs_to=merchant.id)
        body = effect.body.encode()
        now_s = int(self._clock.now().timestamp())
        signature = sign_notification(secret, timestamp=now_s, body=body)
        headers = {
            SIGNATURE_HEADER: signature,
            "Content-Type": "application/json",
            "Idempotency-Key": effect.notification_id,
        }
        return _sent(effect, await self._post(merchant.notify_url, body, headers))

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        """What went wrong, or an empty text."""
        assert self._session is not None, "open() comes first"
        try:
            self._require_safe(url)
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return "" if 200 <= response.status < 300 else f"HTTP {response.status}"
        except Exception as error:  # whatever a URL makes us raise, this notification waits
            if not isinstance(error, aiohttp.ClientError | OSError | ValueError):
                log.exception("notification.defect")
            cause = error.__cause__ or error  # aiohttp wraps what the resolver refuses
            return _printable(f"{type(cause).__name__}: {cause}")

    def _require_safe(self, url: str) -> None:
        if self._allow_private:
            return
        target = URL(url)
        if target.scheme != "https":
            raise ForbiddenAddress("notify_url must be https")
        try:
            require_public(url, target.host or "")
        except ValueError:
            return  # a name: the resolver judges what it leads to


def _printable(text: str) -> str:
    """With escapes for what else a stranger's server may make us say."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _sent(effect: SendNotification, error: str) -> Result:
    return Result(NotificationSent(effect.stream_id, effect.notification_id, effect.context, error))
