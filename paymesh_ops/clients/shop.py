"""A merchant's shop with a paying customer: what the demo and the tests drive the mesh with.

It calls the mesh by generated stubs as any business system would, takes signed notifications on an
HTTP endpoint of its own, and pays at the sandbox as a customer's phone would.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import grpc
from aiohttp import web
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2, ledger_service_pb2_grpc
from payments.gateway.v1 import channel_pb2, channel_service_pb2, channel_service_pb2_grpc
from payments.pay.v1 import beneficiary_service_pb2_grpc
from payments.trade.v1 import (
    merchant_service_pb2,
    merchant_service_pb2_grpc,
    trade_pb2,
    trade_service_pb2,
    trade_service_pb2_grpc,
)

from paymesh.channel import open_channel
from paymesh.signing import verify_notification
from paymesh.wire import time_to
from paymesh_ops.clients.requests import (
    RPC_TIMEOUT_S,
    answered,
    by_channel,
    eventually,
    money,
    request_id,
)


@dataclass
class Shop:
    """One merchant. `open` registers it; use it as an async context manager."""

    trade_target: str
    pay_target: str
    gateway_target: str
    clearing_target: str
    sandbox_url: str
    order_type: str = "shop"
    sub_type: str = "book"
    pay_org_no: str = "contract-1"
    merchant_id: str = ""
    wallet_scope: str = ""
    notified: list[dict[str, Any]] = field(default_factory=list)
    """Verified notifications, in the order of their coming; duplicates too."""
    request_nos: dict[str, set[str]] = field(default_factory=dict)
    """Our references at the channel by trade: from the credentials that were given out."""
    patience_s: float = 20.0
    """How long anything may take."""
    refuse_notifications: int = 0
    """So many notifications are answered 500 first."""

    async def __aenter__(self) -> Shop:
        self._secret = secrets.token_bytes(32)
        self._channels: list[grpc.aio.Channel] = []
        self.trades: Any = trade_service_pb2_grpc.TradeServiceStub(self._open(self.trade_target))
        self.merchants: Any = merchant_service_pb2_grpc.MerchantServiceStub(
            self._open(self.trade_target)
        )
        self.beneficiaries: Any = beneficiary_service_pb2_grpc.BeneficiaryServiceStub(
            self._open(self.pay_target)
        )
        self.gateway: Any = channel_service_pb2_grpc.ChannelServiceStub(
            self._open(self.gateway_target)
        )
        self.ledger: Any = ledger_service_pb2_grpc.LedgerServiceStub(
            self._open(self.clearing_target)
        )
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        await self._listen()
        created = await self.merchants.CreateMerchant(
            merchant_service_pb2.CreateMerchantRequest(
                request_id=request_id(),
                display_name="Corner Bookshop",
                notify_url=self.notify_url,
                notify_secret=self._secret,
            ),
            timeout=RPC_TIMEOUT_S,
        )
        self.merchant_id = created.merchant.merchant_id
        self.wallet_scope = created.merchant.wallet_scope
        await self.merchants.RegisterBusinessCode(
            merchant_service_pb2.RegisterBusinessCodeRequest(
                request_id=request_id(),
                merchant_id=self.merchant_id,
                order_type=self.order_type,
                sub_type=self.sub_type,
                pay_org_no=self.pay_org_no,
                description="Books, and the wallets of those who buy them",
            ),
            timeout=RPC_TIMEOUT_S,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await self._runner.cleanup()
        for channel in self._channels:
            await channel.close()

    def _open(self, target: str) -> grpc.aio.Channel:
        channel = open_channel(target)
        self._channels.append(channel)
        return channel

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_post("/notify", self._notify)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.notify_url = f"http://127.0.0.1:{port}/notify"

    async def _notify(self, request: web.Request) -> web.Response:
        body = await request.read()
        header = request.headers.get("Paymesh-Signature", "")
        verify_notification(self._secret, header=header, body=body, now_s=int(time.time()))
        if self.refuse_notifications > 0:
            self.refuse_notifications -= 1
            return web.Response(status=500)
        self.notified.append(json.loads(body))
        return web.Response(text="ok")

    def create_request(self, **changes: Any) -> trade_service_pb2.CreateTradeRequest:
        """A valid CreateTradeRequest of 12.34 EUR, with changes."""
        fields: dict[str, Any] = {
            "request_id": request_id(),
            "merchant_id": self.merchant_id,
            "order_type": self.order_type,
            "sub_type": self.sub_type,
            "pay_org_no": self.pay_org_no,
            "merchant_order_no": f"order-{secrets.token_hex(6)}",
            "type": trade_pb2.TRADE_TYPE_INSTANT,
            "amount": money(1234),
            "subject": "One book",
            "payer_id": "customer-7",
        }
        return trade_service_pb2.CreateTradeRequest(**{**fields, **changes})

    def pay_request(self, trade: trade_pb2.Trade, **changes: Any) -> Any:
        """A PayTradeRequest for the whole amount at the sandbox, with changes."""
        fields: dict[str, Any] = {
            "request_id": request_id(),
            "merchant_id": self.merchant_id,
            "trade_id": trade.trade_id,
            "tools": [by_channel(trade.amount)],
        }
        return trade_service_pb2.PayTradeRequest(**{**fields, **changes})

    def close_request(self, trade: trade_pb2.Trade) -> Any:
        return trade_service_pb2.CloseTradeRequest(
            request_id=request_id(), merchant_id=self.merchant_id, trade_id=trade.trade_id
        )

    def refund_request(self, trade_id: str, amount: Any, **changes: Any) -> Any:
        fields = {"request_id": request_id(), "merchant_id": self.merchant_id, **changes}
        return trade_service_pb2.RefundTradeRequest(trade_id=trade_id, amount=amount, **fields)

    async def order(
        self,
        minor_units: int = 1234,
        *,
        currency: str = "EUR",
        expires_in_s: float | None = None,
        **changes: Any,
    ) -> trade_pb2.Trade:
        """Creates a trade; `changes` as in create_request."""
        changes["amount"] = money(minor_units, currency)
        if expires_in_s is not None:
            changes["expire_time"] = time_to(datetime.now(UTC) + timedelta(seconds=expires_in_s))
        request = self.create_request(**changes)

        async def ask() -> trade_pb2.Trade | None:
            response = await answered(self.trades.CreateTrade(request, timeout=RPC_TIMEOUT_S))
            return response.trade if response is not None else None

        return await eventually("trade", ask, timeout_s=self.patience_s)

    async def start_payment(self, trade: trade_pb2.Trade, **changes: Any) -> str:
        """PayTrade until it gives a credential; the credential_id. `changes` as in pay_request."""
        request = self.pay_request(trade, **changes)

        async def ask() -> str | None:
            response = await answered(self.trades.PayTrade(request, timeout=RPC_TIMEOUT_S))
            return response.credential_id or None if response is not None else None

        credential_id = await eventually("credential_id", ask, timeout_s=self.patience_s)
        self.request_nos.setdefault(trade.trade_id, set()).add(credential_id.removeprefix("crd_"))
        return credential_id

    async def credential(self, credential_id: str) -> channel_pb2.Credential:
        """The credential once the channel has answered (polling; see WatchCredential)."""
        request = channel_service_pb2.GetCredentialRequest(credential_id=credential_id)

        async def ask() -> channel_pb2.Credential | None:
            response = await answered(self.gateway.GetCredential(request, timeout=RPC_TIMEOUT_S))
            if response is None:
                return None
            found: channel_pb2.Credential = response.credential
            return None if found.state == channel_pb2.CREDENTIAL_STATE_PENDING else found

        return await eventually("channel credential", ask, timeout_s=self.patience_s)

    async def customer_pays(self, credential: channel_pb2.Credential) -> int:
        """What the payer's phone does with the credential; the HTTP status of the sandbox."""
        url = credential.channel_fields["pay_url"]
        async with self._http.post(url, headers={"Accept": "application/json"}) as response:
            return response.status

    async def purchase(self, minor_units: int = 1234, **changes: Any) -> trade_pb2.Trade:
        """An order, paid by the customer; the trade as it was created. `changes` as in order."""
        trade = await self.order(minor_units, **changes)
        credential = await self.credential(await self.start_payment(trade))
        await self.customer_pays(credential)
        return trade

    async def pays(self, trade: trade_pb2.Trade, **changes: Any) -> trade_pb2.Trade:
        """PayTrade until it is answered; the trade as it stood. `changes` as in pay_request."""
        request = self.pay_request(trade, **changes)

        async def ask() -> trade_pb2.Trade | None:
            response = await answered(self.trades.PayTrade(request, timeout=RPC_TIMEOUT_S))
            return response.trade if response is not None else None

        return await eventually("answer of PayTrade", ask, timeout_s=self.patience_s)

    async def refund(self, trade: trade_pb2.Trade, minor_units: int) -> trade_pb2.Refund:
        """RefundTrade until it is answered; the refund as it was accepted."""
        amount = money(minor_units, trade.amount.currency_code)
        request = self.refund_request(trade.trade_id, amount, reason="a page is missing")

        async def ask() -> trade_pb2.Refund | None:
            response = await answered(self.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S))
            return response.refund if response is not None else None

        return await eventually("answer of RefundTrade", ask, timeout_s=self.patience_s)

    async def refund_reaches(
        self,
        trade: trade_pb2.Trade,
        refund: trade_pb2.Refund,
        state: trade_pb2.RefundState,
    ) -> trade_pb2.Refund:
        """The refund once it is in the state."""

        async def look() -> trade_pb2.Refund | None:
            found = await answered(self.trade(trade.trade_id))
            mine = [r for r in found.refunds if r.refund_id == refund.refund_id] if found else []
            return mine[0] if mine and mine[0].state == state else None

        name = trade_pb2.RefundState.Name(state)
        return await eventually(f"{name} of {refund.refund_id}", look, timeout_s=self.patience_s)

    async def trade(self, trade_id: str) -> trade_pb2.Trade:
        request = trade_service_pb2.GetTradeRequest(merchant_id=self.merchant_id, trade_id=trade_id)
        response = await self.trades.GetTrade(request, timeout=RPC_TIMEOUT_S)
        trade: trade_pb2.Trade = response.trade
        return trade

    async def reaches(self, trade: trade_pb2.Trade, state: trade_pb2.TradeState) -> trade_pb2.Trade:
        """The trade once it is in the state."""

        async def look() -> trade_pb2.Trade | None:
            found = await answered(self.trade(trade.trade_id))
            return found if found is not None and found.state == state else None

        name = trade_pb2.TradeState.Name(state)
        return await eventually(f"{name} of {trade.trade_id}", look, timeout_s=self.patience_s)

    async def attempt_reaches(self, trade: trade_pb2.Trade, state: trade_pb2.AttemptState) -> None:
        """Waits until the trade's last attempt is in the state."""

        async def look() -> bool | None:
            found = await answered(self.trade(trade.trade_id))
            there = found is not None and found.attempts and found.attempts[-1].state == state
            return True if there else None

        name = trade_pb2.AttemptState.Name(state)
        await eventually(f"{name} of {trade.trade_id}", look, timeout_s=self.patience_s)

    async def journals(
        self, of: trade_pb2.Trade | trade_pb2.Refund, count: int
    ) -> list[ledger_pb2.Journal]:
        """The journals of a trade's or a refund's chain once there are `count`."""
        request = ledger_service_pb2.ListJournalsRequest(business_id=of.business_id)

        async def look() -> list[ledger_pb2.Journal] | None:
            response = await answered(self.ledger.ListJournals(request, timeout=RPC_TIMEOUT_S))
            found = list(response.journals) if response is not None else []
            return found if len(found) >= count else None

        return await eventually(f"{count} journals", look, timeout_s=self.patience_s)

    async def hears(self, trade: trade_pb2.Trade, type_: str) -> dict[str, Any]:
        """The verified notification of this type for the trade, once it has come."""

        async def look() -> dict[str, Any] | None:
            for message in self.notified:
                about = message["trade"]["trade_id"] == trade.trade_id
                if about and message["type"] == type_:
                    return message
            return None

        return await eventually(f"notification {type_}", look, timeout_s=self.patience_s)

    async def faults(self, document: dict[str, Any]) -> None:
        """Sets the sandbox's fault knobs; {} heals everything."""
        async with self._http.put(f"{self.sandbox_url}/admin/faults", json=document) as response:
            response.raise_for_status()

    async def faults_fired(self) -> dict[str, int]:
        """How often the sandbox has shown each fault so far."""
        async with self._http.get(f"{self.sandbox_url}/admin/faults") as response:
            response.raise_for_status()
            found: dict[str, int] = (await response.json())["fired"]
            return found

    async def call_back_again(self, number: str) -> None:
        """Has the sandbox send the last callback of an order or payout once more."""
        url = f"{self.sandbox_url}/admin/callbacks/{number}/replay"
        async with self._http.post(url) as response:
            response.raise_for_status()

    async def book(self) -> dict[str, Any]:
        """The sandbox's own book: the channel's truth."""
        async with self._http.get(f"{self.sandbox_url}/admin/book") as response:
            response.raise_for_status()
            found: dict[str, Any] = await response.json()
            return found
