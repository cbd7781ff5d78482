"""What the gateway knows of a payment channel: verbs, plain results, and nothing of its wire.

An adapter speaks of facts only. FAILED is said when the channel itself said so; whatever leaves a
doubt (a timeout, a 5xx, an answer that is not signed, a state we do not know) is UNKNOWN, and the
resolver asks again by our own number. An adapter never raises for what a channel does.

Amounts are int minor units, times are aware UTC datetimes, numbers are the gateway's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway_svc.orders.model import ReportedState

CALLBACK_BYTES_MAX = 64 * 1024


class Verb(StrEnum):
    """What may be asked of a channel; an adapter lists the ones it can."""

    PREPAY = "PREPAY"
    QUERY = "QUERY"
    CLOSE = "CLOSE"
    REFUND = "REFUND"
    QUERY_REFUND = "QUERY_REFUND"
    PAYOUT = "PAYOUT"
    QUERY_PAYOUT = "QUERY_PAYOUT"


class CallbackKind(StrEnum):
    COLLECT = "COLLECT"
    REFUND = "REFUND"
    PAYOUT = "PAYOUT"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepayOrder:
    request_no: str
    amount_minor: int
    currency: str
    subject: str
    expires_at: datetime
    notify_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    refund_no: str
    request_no: str
    """Of the order that is refunded."""
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutOrder:
    payout_no: str
    amount_minor: int
    currency: str
    account_no: str = field(repr=False)
    account_name: str = field(repr=False)
    notify_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepayResult:
    """AWAITING_PAYER with what the payer needs; or FAILED or UNKNOWN, without, with a reason."""

    state: ReportedState
    channel_credential: dict[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelResult:
    state: ReportedState
    amount_minor: int | None = None
    """What was collected, refunded or paid out, as the channel says; compare it with ours."""
    currency: str | None = None
    channel_txn_id: str | None = None
    occurred_at: datetime | None = None
    """When the channel says it succeeded, failed or came back."""
    reason: str = ""
    """A code of the channel or of the adapter; for people and metrics, at most 100 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A callback that was verified and read."""

    id: str
    """The channel's own id of it, the same on every try."""
    kind: CallbackKind
    request_no: str
    """Our number: of the order (COLLECT), the refund (REFUND) or the payout (PAYOUT)."""
    result: ChannelResult


class UnreadableCallback(Exception):
    """The signature is right, but the content is not what the channel documents."""


class Channel(Protocol):
    """One payment channel. Every verb is idempotent by its number and ends within a time budget.

    Create it anywhere; `start` and `stop` it in the event loop that uses it.
    """

    @property
    def name(self) -> str:
        """As in configuration, tables and the path of callbacks."""

    @property
    def verbs(self) -> frozenset[Verb]:
        """What this channel can do."""

    async def start(self) -> None:
        """Open what the verbs need."""

    async def stop(self) -> None:
        """Release it. (`close` is a verb.)"""

    async def prepay(self, order: PrepayOrder) -> PrepayResult:
        """Announce an order; the same order again gives the same credential."""

    async def query(self, request_no: str) -> ChannelResult:
        """What became of an order."""

    async def close(self, request_no: str) -> ChannelResult:
        """Close an unpaid order: CLOSED, or SUCCEEDED if the payer was first."""

    async def refund(self, order: RefundOrder) -> ChannelResult:
        """Refund a part or all; the same refund_no again is the same refund."""

    async def query_refund(self, refund_no: str, request_no: str) -> ChannelResult:
        """What became of a refund of this order."""

    async def payout(self, order: PayoutOrder) -> ChannelResult:
        """Pay out to somebody's account; the same payout_no again is the same payout."""

    async def query_payout(self, payout_no: str) -> ChannelResult:
        """What became of a payout."""

    def verify_callback(self, raw: bytes, headers: Mapping[str, str], now_s: int) -> Callback:
        """Verify the raw bytes, then read them. Pure; `now_s` is Unix time in seconds.

        Raises paymesh.signing.SignatureError (answer 401) or UnreadableCallback (answer 400).
        """
