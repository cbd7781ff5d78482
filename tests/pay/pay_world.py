"""Who plays in the payment core's tests: its database, its processes, its callers over gRPC."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from payments.pay.v1 import (
    beneficiary_service_pb2,
    beneficiary_service_pb2_grpc,
    payment_pb2,
    payment_service_pb2,
    payment_service_pb2_grpc,
)
from payments.type.v1 import context_pb2, money_pb2, tool_pb2
from payments.type.v1.event_pb2 import Event, EventBatch

from pay_svc.bootstrap import build
from pay_svc.settings import PaySettings
from paymesh.app import App, Role
from paymesh.bus.port import HANDLED, Bus, Delivery, Verdict
from paymesh.channel import DIRECT, refusal_of
from paymesh.clock import SystemClock
from paymesh.errors import PaymentError
from paymesh.ids import new_id
from paymesh.server import CONTEXT_METADATA, Server
from paymesh.wire import time_to
from tests.databases import Database
from tests.pay.neighbours import GatewayStandIn, LedgerStandIn

PATIENCE_S = 60.0
RPC_TIMEOUT_S = 60.0
TIME_SCALE = 0.02
"""What was not answered is asked again after 0.1 s, 0.6 s and 2.4 s."""
MERCHANT = new_id("mer", bucket=7)
BALANCE = ("USER_BALANCE", "ann")

State = payment_pb2.PaymentState


def money(minor: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code="EUR", minor_units=minor)


def by_channel(minor: int) -> tool_pb2.PaymentTool:
    return tool_pb2.PaymentTool(
        amount=money(minor), channel=tool_pb2.ChannelTool(channel="sandbox")
    )


def by_balance(minor: int) -> tool_pb2.PaymentTool:
    return tool_pb2.PaymentTool(amount=money(minor), balance=tool_pb2.BalanceTool())


class Heard:
    """What the payment core publishes, as a queue of another service gets it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, deliveries: Any) -> list[Verdict]:
        for delivery in deliveries:
            assert isinstance(delivery, Delivery)
            self.events += EventBatch.FromString(delivery.message.body).events
        return [HANDLED for _ in deliveries]

    def of(self, payment: Any, type_: str) -> list[Event]:
        """Its events of that type, and its instructions'."""
        ids = {payment.payment_id, *(i.instruction_id for i in payment.instructions)}
        return [e for e in self.events if e.type == type_ and e.aggregate_id in ids]


@dataclass
class World:
    """The payment core between its neighbours; started in roles as a test wants them."""

    database: Database
    bus: Bus
    gateway: GatewayStandIn
    ledger: LedgerStandIn
    servers: tuple[Server, Server]
    secret_key_file: Path
    heard: Heard
    apps: list[App] = field(default_factory=list)
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    async def start(self, *roles: Role, **changes: Any) -> Caller:
        """A payment core in these roles; who calls it, if it serves."""
        gateway, ledger = self.servers
        settings = PaySettings(
            pay_database_url=self.database.app_url,
            gateway_target=f"127.0.0.1:{gateway.port}",
            clearing_target=f"127.0.0.1:{ledger.port}",
            secret_key_file=self.secret_key_file,
            drain_wait_s=0,
            time_scale=TIME_SCALE,
        ).model_copy(update=changes)
        app = build(settings, bus=self.bus, clock=SystemClock())
        await app.start(set(roles))
        self.apps.append(app)
        port = app.server.port if app.server is not None else 0
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[DIRECT])
        self.channels.append(channel)
        return Caller(
            payment_service_pb2_grpc.PaymentServiceStub(channel),
            beneficiary_service_pb2_grpc.BeneficiaryServiceStub(channel),
        )

    async def stop(self) -> None:
        for channel in self.channels:
            await channel.close()
        for app in self.apps:
            await app.stop()
        for server in self.servers:
            await server.stop(drain_wait_s=0, grace_s=1)


def request_id() -> str:
    return str(uuid.uuid4())


@dataclass
class Caller:
    """Calls as the trade core does, with a context and a payment_id chosen before; and as a user
    does of BeneficiaryService."""

    payments: Any
    beneficiaries: Any
    context: context_pb2.Context = field(
        default_factory=lambda: context_pb2.Context(
            business_id=new_id("biz", bucket=7), merchant_id=MERCHANT, pay_org_no="2088"
        )
    )

    @property
    def metadata(self) -> tuple[tuple[str, bytes], ...]:
        return ((CONTEXT_METADATA, self.context.SerializeToString()),)

    def request(self, purpose: str, *tools: Any, **changes: Any) -> Any:
        """A CreatePaymentRequest over the tools' sum."""
        values: dict[str, Any] = {
            "request_id": request_id(),
            "payment_id": new_id("pay", bucket=7),
            "trade_id": new_id("trd", bucket=7),
            "purpose": f"PAYMENT_PURPOSE_{purpose}",
            "amount": money(sum(tool.amount.minor_units for tool in tools)),
            "tools": tools,
            "expire_time": time_to(datetime.now(UTC) + timedelta(minutes=10)),
            "subject": "books",
            "payer_id": "ann",
        }
        return payment_service_pb2.CreatePaymentRequest(**{**values, **changes})

    async def sends(self, request: Any) -> Any:
        return await self.payments.CreatePayment(
            request, metadata=self.metadata, timeout=RPC_TIMEOUT_S
        )

    async def creates(self, purpose: str, *tools: Any, **changes: Any) -> Any:
        """CreatePayment's answer."""
        return await self.sends(self.request(purpose, *tools, **changes))

    async def cancels(self, payment: Any, *, give_back: bool = False) -> Any:
        request = payment_service_pb2.CancelPaymentRequest(
            request_id=request_id(), payment_id=payment.payment_id, return_if_succeeded=give_back
        )
        answer = await self.payments.CancelPayment(
            request, metadata=self.metadata, timeout=RPC_TIMEOUT_S
        )
        return answer.payment

    async def payment(self, payment: Any) -> Any:
        request = payment_service_pb2.GetPaymentRequest(payment_id=payment.payment_id)
        return (await self.payments.GetPayment(request, timeout=RPC_TIMEOUT_S)).payment

    async def reaches(self, payment: Any, state: str) -> Any:
        """Waits until the payment is in the state; the payment."""

        async def look() -> Any:
            found = await self.payment(payment)
            return found if state_of(found) == state else None

        return await until(look)

    async def starts(self, payment: Any, kind: str) -> Any:
        """Waits until the payment has an instruction of the kind that has been begun; that one."""

        async def look() -> Any:
            return instruction(await self.payment(payment), kind)

        return await until(look)

    async def beneficiary(self, **changes: Any) -> Any:
        """A new one of Ann's."""
        return await self.sends_beneficiary(self.beneficiary_request(**changes))

    async def sends_beneficiary(self, request: Any) -> Any:
        return (
            await self.beneficiaries.CreateBeneficiary(request, timeout=RPC_TIMEOUT_S)
        ).beneficiary

    async def deletes(self, beneficiary: Any) -> Any:
        request = beneficiary_service_pb2.DeleteBeneficiaryRequest(
            request_id=request_id(),
            merchant_id=MERCHANT,
            beneficiary_id=beneficiary.beneficiary_id,
        )
        return (
            await self.beneficiaries.DeleteBeneficiary(request, timeout=RPC_TIMEOUT_S)
        ).beneficiary

    def beneficiary_request(self, **changes: Any) -> Any:
        values = {
            "request_id": request_id(),
            "merchant_id": MERCHANT,
            "owner_id": "ann",
            "channel": "sandbox",
            "account_no": "DE0012345678",
            "account_name": "Ann",
        }
        return beneficiary_service_pb2.CreateBeneficiaryRequest(**{**values, **changes})


def state_of(payment: Any) -> str:
    return State.Name(payment.state).removeprefix("PAYMENT_STATE_")


def instruction(payment: Any, kind: str) -> Any:
    """Its instruction of a kind, or None; `-` before it: the one that takes another back."""
    for i in payment.instructions:
        name = type(i).DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[i.kind].name
        back = "-" if i.compensates else ""
        if back + name.removeprefix("INSTRUCTION_KIND_") == kind:
            return i
    return None


async def refusal(call: Awaitable[Any]) -> PaymentError:
    """The refusal that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return refusal_of(error.value)


async def until(probe: Callable[[], Awaitable[Any]]) -> Any:
    """The probe's first true value. Fails after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = await probe()
        if found:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)
