"""Who plays in the gateway's tests: its caller, its processes, its database, its listeners."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import grpc
import pytest
from payments.gateway.v1 import channel_events_pb2, channel_pb2, channel_service_pb2_grpc
from payments.gateway.v1 import channel_service_pb2 as m
from payments.type.v1 import context_pb2, money_pb2
from payments.type.v1.event_pb2 import EventBatch

from gateway_svc.bootstrap import build
from gateway_svc.settings import GatewaySettings
from paymesh.app import App, Role
from paymesh.bus.port import HANDLED, Bus, Delivery, Verdict
from paymesh.channel import DIRECT
from paymesh.clock import SystemClock
from paymesh.ids import body_of, new_id
from paymesh.server import CONTEXT_METADATA
from paymesh.signing import Signer
from paymesh.wire import time_to
from paymesh_ops.launch.home import free_port
from tests import databases
from tests.ops.sandbox.sandbox_actors import Keys, World

PATIENCE_S = 60.0
RPC_TIMEOUT_S = 30.0
TIME_SCALE = 0.02
"""The ladder's first rungs are 0.1 s, 0.6 s and 2.4 s."""

ACCOUNT_NO = "62228888123456789999"
DECLINED, STUCK, BOUNCES = "62220000000001", "62220000000002", "62220000000003"
"""Accounts that tell the sandbox what shall become of a payout."""
ACCOUNT_NAME = "Han Meimei 韩梅梅"

State = channel_pb2.ChannelOrderState


class Database(databases.Database):
    def written(self) -> dict[str, tuple[Any, ...]]:
        """Rows and versions of everything that a callback could write."""
        return {
            "channel_order": self.query("SELECT count(*), sum(version) FROM channel_order")[0],
            **{
                table: self.query(f"SELECT count(*) FROM {table}")[0]
                for table in ("callback", "inbox", "outbox", "request_answer", "guard")
            },
        }


class Events:
    """The payment core's queue: every result, in the order of its arrival."""

    def __init__(self) -> None:
        self.orders: list[Any] = []
        self.sequences: list[int] = []

    async def __call__(self, deliveries: Sequence[Delivery]) -> Sequence[Verdict]:
        for delivery in deliveries:
            for event in EventBatch.FromString(delivery.message.body).events:
                assert event.type == "gateway.channel.result"
                result = channel_events_pb2.ChannelResult.FromString(event.payload)
                self.orders.append(result.channel_order)
                self.sequences.append(event.sequence)
        return [HANDLED for _ in deliveries]


class Gateways:
    """Gateways on one database; each is started in roles of its own."""

    def __init__(self, database: Database, bus: Bus, *, sandbox_url: str, keys: Keys) -> None:
        self.database = database
        self._bus, self._sandbox_url, self._keys = bus, sandbox_url, keys
        self._apps: list[App] = []
        self._channels: list[grpc.aio.Channel] = []
        self.ingress_port = free_port()

    @property
    def ingress_url(self) -> str:
        return f"http://127.0.0.1:{self.ingress_port}"

    @property
    def callback_url(self) -> str:
        return f"{self.ingress_url}/callbacks/sandbox"

    async def start(self, *roles: Role, **changes: Any) -> App:
        settings = GatewaySettings(
            gateway_database_url=self.database.app_url,
            ingress_listen=f"127.0.0.1:{self.ingress_port}",
            callback_base_url=self.ingress_url,
            sandbox_url=self._sandbox_url,
            sandbox_merchant_key_file=self._keys.folder / "merchant.pem",
            sandbox_public_key_file=self._keys.folder / "channel.pub.pem",
            secret_key_file=self._keys.folder / "secret.key",
            channel_budget_s=30.0,
            drain_wait_s=0,
            time_scale=TIME_SCALE,
        )
        app = build(settings.model_copy(update=changes), bus=self._bus, clock=SystemClock())
        await app.start(set(roles))
        self._apps.append(app)
        return app

    def caller(self, app: App) -> Caller:
        """The payment core, over a real connection."""
        assert app.server is not None
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}", options=[DIRECT])
        self._channels.append(channel)
        return Caller(channel_service_pb2_grpc.ChannelServiceStub(channel))

    def effects(self) -> list[asyncio.Task[Any]]:
        """What is being asked of channels."""
        return [
            task
            for app in self._apps
            for core in app.cores
            for task in core.executor._running.values()
        ]

    def forget_effects(self) -> None:
        """As a crash would."""
        for task in self.effects():
            task.cancel()

    async def rest(self) -> None:
        """Waits until all that was asked of channels has been answered, and has gone in."""

        async def is_idle() -> Any:
            return not self.effects()

        await until(is_idle)

    async def stop(self) -> None:
        for channel in self._channels:
            await channel.close()
        for app in self._apps:
            await app.stop()


def new_request_no() -> str:
    return body_of(new_id("ins", bucket=secrets.randbelow(1024)))


def money(minor: int, currency: str = "CNY") -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, minor_units=minor)


@dataclass
class Caller:
    """Calls the gateway as the payment core does: with a context, ids chosen before."""

    stub: Any
    context: context_pb2.Context = field(
        default_factory=lambda: context_pb2.Context(
            business_id="biz_1", merchant_id="mer_1", pay_org_no="2088"
        )
    )

    @property
    def metadata(self) -> tuple[tuple[str, bytes], ...]:
        return ((CONTEXT_METADATA, self.context.SerializeToString()),)

    def prepay_request(self, request_no: str, minor: int = 1234, **changes: Any) -> Any:
        values: dict[str, Any] = {
            "request_id": str(uuid.uuid4()),
            "request_no": request_no,
            "channel": "sandbox",
            "amount": money(minor),
            "subject": "Tea & biscuits",
            "expire_time": time_to(datetime.now(UTC) + timedelta(minutes=10)),
            "reference": "pay_1",
        }
        return m.PrepayRequest(**{**values, **changes})

    async def prepay(self, request_no: str, minor: int = 1234, **changes: Any) -> Any:
        request = self.prepay_request(request_no, minor, **changes)
        return await self.stub.Prepay(request, metadata=self.metadata, timeout=RPC_TIMEOUT_S)

    async def refund(self, request_no: str, original: str, minor: int, **changes: Any) -> Any:
        request = m.RefundChannelOrderRequest(
            **{
                "request_id": str(uuid.uuid4()),
                "request_no": request_no,
                "original_request_no": original,
                "amount": money(minor),
                "reference": "pay_1",
                **changes,
            }
        )
        return await self.stub.RefundChannelOrder(
            request, metadata=self.metadata, timeout=RPC_TIMEOUT_S
        )

    def payout_request(self, request_no: str, **changes: Any) -> Any:
        values: dict[str, Any] = {
            "request_id": str(uuid.uuid4()),
            "request_no": request_no,
            "channel": "sandbox",
            "amount": money(700),
            "payee": m.Payee(account_no=ACCOUNT_NO, account_name=ACCOUNT_NAME),
            "reference": "pay_1",
        }
        return m.PayoutRequest(**{**values, **changes})

    async def payout(self, request_no: str, **changes: Any) -> Any:
        """`account_no`: another account than ACCOUNT_NO; the rest are the request's fields."""
        if account_no := changes.pop("account_no", ""):
            changes["payee"] = m.Payee(account_no=account_no, account_name=ACCOUNT_NAME)
        request = self.payout_request(request_no, **changes)
        answer = await self.stub.Payout(request, metadata=self.metadata, timeout=RPC_TIMEOUT_S)
        return answer.channel_order

    async def close(self, request_no: str) -> Any:
        request = m.CloseChannelOrderRequest(request_id=str(uuid.uuid4()), request_no=request_no)
        answer = await self.stub.CloseChannelOrder(
            request, metadata=self.metadata, timeout=RPC_TIMEOUT_S
        )
        return answer.channel_order

    async def order(self, request_no: str) -> Any:
        request = m.GetChannelOrderRequest(request_no=request_no)
        return (await self.stub.GetChannelOrder(request, timeout=RPC_TIMEOUT_S)).channel_order

    async def credential(self, request_no: str) -> Any:
        request = m.GetCredentialRequest(credential_id=f"crd_{request_no}")
        return (await self.stub.GetCredential(request, timeout=RPC_TIMEOUT_S)).credential

    async def ready(self, request_no: str) -> str:
        """Waits for the credential; the sandbox's prepay_id."""

        async def is_ready() -> Any:
            found = await self.credential(request_no)
            return found if found.state == channel_pb2.CREDENTIAL_STATE_READY else None

        return str((await until(is_ready)).channel_fields["prepay_id"])

    async def reaches(self, request_no: str, state: str) -> Any:
        """Waits until the order is in the state; the order."""
        wanted = State.Value(f"CHANNEL_ORDER_STATE_{state}")

        async def is_there() -> Any:
            order = await self.order(request_no)
            return order if order.state == wanted else None

        return await until(is_there)


async def until(probe: Callable[[], Awaitable[Any]]) -> Any:
    """The probe's first true value. Fails after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = await probe()
        if found:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


def name_of(order: Any) -> str:
    """The order's state, without its prefix."""
    return str(State.Name(order.state)).removeprefix("CHANNEL_ORDER_STATE_")


def reason_of(error: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> tuple[grpc.StatusCode, str]:
    return error.value.code(), str(error.value.details())


def callback_of(
    request_no: str, minor: int = 1234, *, callback_id: str = "", txn_id: str = ""
) -> bytes:
    """The body of the sandbox's callback for a paid order."""
    resource = {
        "out_trade_no": request_no,
        "trade_state": "SUCCESS",
        "amount": minor,
        "order_amount": minor,
        "currency": "CNY",
        "transaction_id": txn_id or f"42{secrets.token_hex(8)}",
        "success_time": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    body = {
        "id": callback_id or f"evt_{secrets.token_hex(8)}",
        "create_time": resource["success_time"],
        "event_type": "TRANSACTION.SUCCESS",
        "resource": resource,
    }
    return json.dumps(body).encode()


async def paid_out(sandbox: World, no: str) -> list[Any]:
    """The payouts of that number in the channel's own book: one or none."""
    return [p for p in (await sandbox.book())["payouts"] if p["out_payout_no"] == no]


async def told(events: Events, *states: str) -> None:
    """Waits for so many results, then compares their states, in the order of their versions."""

    async def all_came() -> Any:
        return len(events.orders) >= len(states)

    await until(all_came)
    orders = sorted(events.orders, key=lambda order: order.version)
    assert [name_of(order) for order in orders] == list(states)


@dataclass
class Poster:
    """The channel at our ingress: signs what it posts, or something else."""

    url: str
    session: aiohttp.ClientSession
    signer: Signer

    async def post(
        self, raw: bytes, *, age_s: int = 0, signed: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and answer. `signed`: the bytes that the signature is really over."""
        signature = self.signer.sign_message(
            timestamp=int(time.time()) - age_s,
            nonce=secrets.token_hex(8),
            body=raw if signed is None else signed,
        )
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.plain(raw, {**signature, **more})

    async def plain(self, raw: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        async with self.session.post(self.url, data=raw, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text
