"""What the trade core's tests run on: a database, trade cores, and a shop that calls them."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from payments.trade.v1 import (
    merchant_service_pb2,
    merchant_service_pb2_grpc,
    trade_pb2,
    trade_service_pb2,
    trade_service_pb2_grpc,
)
from payments.type.v1 import money_pb2, tool_pb2

from paymesh.app import App, Role
from paymesh.bus.port import Bus
from paymesh.channel import DIRECT
from paymesh.clock import SystemClock
from paymesh.wallets import wallet_id
from tests import databases
from trade_svc.bootstrap import build
from trade_svc.settings import TradeSettings

PATIENCE_S = 60.0
RPC_TIMEOUT_S = 60.0
TIME_SCALE = 0.02
"""The sweeper's ladder begins with 0.1 s, 0.6 s and 2.4 s."""

BENEFICIARY = "ben_" + "a" * 28
INSTANT = trade_pb2.TRADE_TYPE_INSTANT
T = trade_pb2.TradeState
R = trade_pb2.RefundState


def request_id() -> str:
    return str(uuid.uuid4())


async def until(probe: Callable[[], Awaitable[Any]]) -> Any:
    """The probe's first true value. Fails after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = await probe()
        if found:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


class Database(databases.Database):
    def counts(self) -> dict[str, int]:
        """How many rows there are of everything that a call could write."""
        return {
            table: self.query(f"SELECT count(*) FROM {table}")[0][0]
            for table in ("trade", "attempt", "refund", "business_code", "request_answer", "outbox")
        }


class Trades:
    """Trade cores on one database; each is started in roles of its own."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        pay_target: str,
        clearing_target: str,
        secret_key: Path,
    ) -> None:
        self.database = database
        self._bus, self._secret_key = bus, secret_key
        self._pay_target, self._clearing_target = pay_target, clearing_target
        self._apps: list[App] = []
        self._channels: list[grpc.aio.Channel] = []

    async def start(self, *roles: Role) -> App:
        settings = TradeSettings(
            trade_database_url=self.database.app_url,
            pay_target=self._pay_target,
            clearing_target=self._clearing_target,
            secret_key_file=self._secret_key,
            notify_allow_private=True,
            drain_wait_s=0,
            time_scale=TIME_SCALE,
        )
        app = build(settings, bus=self._bus, clock=SystemClock())
        await app.start(set(roles))
        self._apps.append(app)
        return app

    def caller(self, app: App) -> grpc.aio.Channel:
        """A business system's connection."""
        assert app.server is not None
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}", options=[DIRECT])
        self._channels.append(channel)
        return channel

    async def stop(self) -> None:
        for channel in self._channels:
            await channel.close()
        for app in self._apps:
            await app.stop()


def money(minor: int, currency: str = "EUR") -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, minor_units=minor)


def wallet(trade: Any, payer_id: str) -> str:
    """What the ledger calls a payer of the trade's merchant, who shares its wallets with nobody."""
    return wallet_id(trade.merchant_id, payer_id)


def by_channel(minor: int) -> tool_pb2.PaymentTool:
    return tool_pb2.PaymentTool(
        amount=money(minor), channel=tool_pb2.ChannelTool(channel="sandbox")
    )


def by_balance(minor: int) -> tool_pb2.PaymentTool:
    return tool_pb2.PaymentTool(amount=money(minor), balance=tool_pb2.BalanceTool())


@dataclass
class Shop:
    """A business system that calls the trade core for its merchant."""

    trades: Any
    merchants: Any
    merchant_id: str = ""
    notify_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @staticmethod
    async def opened(channel: grpc.aio.Channel, *, notify_url: str = "") -> Shop:
        """With a merchant of its own, and the business code "web" registered."""
        shop = Shop.at(channel)
        request = merchant_service_pb2.CreateMerchantRequest(
            request_id=request_id(),
            display_name="Corner Bookshop",
            notify_url=notify_url,
            notify_secret=shop.notify_secret,
        )
        created = await shop.merchants.CreateMerchant(request, timeout=RPC_TIMEOUT_S)
        shop.merchant_id = created.merchant.merchant_id
        await shop.registers()
        return shop

    @staticmethod
    def at(channel: grpc.aio.Channel, merchant_id: str = "") -> Shop:
        return Shop(
            trade_service_pb2_grpc.TradeServiceStub(channel),
            merchant_service_pb2_grpc.MerchantServiceStub(channel),
            merchant_id,
        )

    async def registers(self, order_type: str = "web", **changes: str) -> Any:
        request = merchant_service_pb2.RegisterBusinessCodeRequest(
            **{
                "request_id": request_id(),
                "merchant_id": self.merchant_id,
                "order_type": order_type,
                **changes,
            }
        )
        response = await self.merchants.RegisterBusinessCode(request, timeout=RPC_TIMEOUT_S)
        return response.business_code

    def create_request(self, **changes: Any) -> Any:
        values: dict[str, Any] = {
            "request_id": request_id(),
            "merchant_id": self.merchant_id,
            "order_type": "web",
            "merchant_order_no": f"order-{secrets.token_hex(6)}",
            "type": INSTANT,
            "amount": money(100_00),
            "payer_id": "ann",
        }
        return trade_service_pb2.CreateTradeRequest(**{**values, **changes})

    async def orders(self, **changes: Any) -> Any:
        """A new trade."""
        request = self.create_request(**changes)
        return (await self.trades.CreateTrade(request, timeout=RPC_TIMEOUT_S)).trade

    def pay_request(self, trade: Any, *tools: Any) -> Any:
        return trade_service_pb2.PayTradeRequest(
            request_id=request_id(),
            merchant_id=trade.merchant_id,
            trade_id=trade.trade_id,
            tools=tools or [by_channel(trade.amount.minor_units)],
        )

    async def pays(self, trade: Any, *tools: Any) -> Any:
        """The answer."""
        return await self.trades.PayTrade(self.pay_request(trade, *tools), timeout=RPC_TIMEOUT_S)

    async def closes(self, trade: Any) -> Any:
        """The answer."""
        request = trade_service_pb2.CloseTradeRequest(
            request_id=request_id(), merchant_id=trade.merchant_id, trade_id=trade.trade_id
        )
        return await self.trades.CloseTrade(request, timeout=RPC_TIMEOUT_S)

    def refund_request(self, trade_id: str, minor: int, **changes: Any) -> Any:
        values: dict[str, Any] = {
            "request_id": request_id(),
            "merchant_id": self.merchant_id,
            "trade_id": trade_id,
            "amount": money(minor),
            "reason": "too small",
        }
        return trade_service_pb2.RefundTradeRequest(**{**values, **changes})

    async def gives_back(self, trade: Any, minor: int) -> Any:
        """The refund that begins."""
        request = self.refund_request(trade.trade_id, minor)
        return (await self.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)).refund

    async def trade(self, trade: Any) -> Any:
        """As it is now."""
        request = trade_service_pb2.GetTradeRequest(
            merchant_id=trade.merchant_id, trade_id=trade.trade_id
        )
        return (await self.trades.GetTrade(request, timeout=RPC_TIMEOUT_S)).trade

    async def reaches(self, trade: Any, state: str) -> Any:
        """Waits until the trade is in the state; the trade."""
        wanted = T.Value(f"TRADE_STATE_{state}")

        async def is_there() -> Any:
            found = await self.trade(trade)
            return found if found.state == wanted else None

        return await until(is_there)

    async def refunded(self, trade: Any, *states: str) -> Any:
        """Waits until its refunds are in these states, oldest first; the trade."""
        wanted = [R.Value(f"REFUND_STATE_{state}") for state in states]

        async def is_there() -> Any:
            found = await self.trade(trade)
            return found if [refund.state for refund in found.refunds] == wanted else None

        return await until(is_there)


@dataclass(frozen=True)
class Refusal:
    code: str
    reason: str
    fields: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict, compare=False)


async def refusal(call: Any) -> Refusal:
    """What the server says, read as a client would: status, ErrorInfo, BadRequest."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await call
    info, bad = ErrorInfo(), BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info) or detail.Unpack(bad)
    assert info.domain == "payments"
    fields = tuple(violation.field for violation in bad.field_violations)
    return Refusal(caught.value.code().name, info.reason, fields, dict(info.metadata))


async def update(shop: Shop, **changes: Any) -> Any:
    values = {"request_id": request_id(), "merchant_id": shop.merchant_id, **changes}
    request = merchant_service_pb2.UpdateMerchantRequest(**values)
    return (await shop.merchants.UpdateMerchant(request, timeout=RPC_TIMEOUT_S)).merchant


async def rotate(shop: Shop, secret: bytes, **changes: Any) -> Any:
    values = {"request_id": request_id(), "merchant_id": shop.merchant_id, **changes}
    request = merchant_service_pb2.RotateSecretRequest(notify_secret=secret, **values)
    return (await shop.merchants.RotateSecret(request, timeout=RPC_TIMEOUT_S)).merchant
