"""Holds past their expiry: kept while their payment may need them, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from grpc_status import rpc_status
from payments.clearing.v1 import ledger_service_pb2
from payments.pay.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc

from clearing_svc.bootstrap import build
from clearing_svc.ledger.holds import ExpireHold
from clearing_svc.settings import ClearingSettings
from paymesh import failpoint
from paymesh.app import App, Role
from paymesh.bus.inprocess import InProcessBus
from paymesh.clock import SystemClock
from paymesh.context import Call
from paymesh.effects import sweep
from paymesh.errors import NotFound, PaymentError, Unavailable
from paymesh.rpc import batch
from paymesh.server import Server, Service
from paymesh.wire import time_to
from tests.clearing.conftest import Database, Stub
from tests.clearing.expiry_world import PAYMENT, asks, expired, payment
from tests.clearing.ledger_messages import fields_of
from tests.clearing.ledger_world import (
    AT,
    CONTEXT,
    Book,
    hold_id,
    item,
    place,
    post,
    sources,
    spend,
    top_up,
)
from tests.clearing.test_holds_rpc import CONTEXT as METADATA
from tests.clearing.test_holds_rpc import placing

pytestmark = pytest.mark.slow

# The sweep, with a payment core that answers as a test wants


@dataclass
class PayStandIn(payment_service_pb2_grpc.PaymentServiceServicer):
    """Knows payments by id; `away`: it answers nothing."""

    payments: dict[str, payment_pb2.Payment] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    async def BatchGetPayments(self, request: Any, context: Any) -> Any:
        result = payment_service_pb2.BatchGetPaymentsResult
        results = await batch(request.items, self._get, result)
        return payment_service_pb2.BatchGetPaymentsResponse(results=results)

    async def _get(self, call: Call, request: Any) -> Any:
        self.asked += 1
        if self.away:
            raise Unavailable("not now")
        if request.payment_id not in self.payments:
            raise NotFound(f"no payment {request.payment_id}")
        return payment_service_pb2.GetPaymentResponse(payment=self.payments[request.payment_id])


@pytest.fixture
async def pay() -> AsyncIterator[PayStandIn]:
    stand_in = PayStandIn()
    service = Service(
        payment_service_pb2.DESCRIPTOR.services_by_name["PaymentService"],
        payment_service_pb2_grpc.add_PaymentServiceServicer_to_server,
        stand_in,
    )
    server = Server([service], listen="127.0.0.1:0")
    await server.start()
    stand_in.target = f"127.0.0.1:{server.port}"
    yield stand_in
    await server.stop(drain_wait_s=0, grace_s=1)


@asynccontextmanager
async def clearing(
    database: Database, bus: InProcessBus, pay: Any, *roles: Role, **changes: Any
) -> AsyncIterator[App]:
    """With clocks that run a thousand times as fast: sixty seconds are a sixteenth."""
    config = ClearingSettings(
        clearing_database_url=database.app_url,
        pay_target=getattr(pay, "target", pay),
        drain_wait_s=0,
        listen="127.0.0.1:0",
        time_scale=0.001,
    ).model_copy(update=changes)
    app = build(config, bus=bus, clock=SystemClock())
    await app.start(set(roles))
    try:
        yield app
    finally:
        await app.stop()


async def swept(app: App) -> None:
    """One sweep over what is due."""
    expiry = app.cores[2]
    assert expiry.sweep is not None
    await sweep(expiry.shell, expiry.executor, clock=SystemClock(), limits=expiry.sweep)


async def do(app: App, *commands: Any) -> None:
    outcomes = await app.cores[0].shell.process([item(command) for command in commands])
    assert not [outcome for outcome in outcomes if isinstance(outcome, PaymentError)]


HELD = "SELECT state, version FROM hold"
DUE = "SELECT next_action_at > now(), action_attempts FROM hold"


async def test_a_hold_whose_payment_is_over_is_let_go_of(
    database: Database, bus: InProcessBus, pay: PayStandIn
) -> None:
    pay.payments[PAYMENT] = payment("CLOSED", HOLD="SUCCEEDED")
    async with clearing(database, bus, pay, "work") as app:
        await do(app, post(top_up("ann", 100, key="1")), expired())
        deadline = time.monotonic() + 60
        while database.query(HELD) != [("RELEASED", 2)]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    assert database.query("SELECT held_minor FROM account WHERE owner = 'ann'") == [(0,)]
    assert database.books_are_true()


@pytest.mark.parametrize(
    "state",
    [
        payment("PROCESSING", HOLD="SUCCEEDED"),
        payment("SUCCEEDED", HOLD="SUCCEEDED", TRANSFER="SUCCEEDED"),
        None,
    ],
    ids=["under way", "taken, not booked", "unknown"],
)
async def test_a_hold_that_may_be_needed_is_kept_and_asked_for_again_on_the_ladder(
    database: Database, bus: InProcessBus, pay: PayStandIn, state: Any
) -> None:
    if state is not None:
        pay.payments[PAYMENT] = state
    async with clearing(database, bus, pay, time_scale=1.0) as app:
        await do(app, post(top_up("ann", 100, key="1")), expired())
        await swept(app)
        assert (pay.asked, database.query(HELD)) == (1, [("HELD", 1)])
        assert database.query(DUE) == [(True, 1)]
        await swept(app)  # not due yet
        assert pay.asked == 1
    database_later(database)
    pay.payments[PAYMENT] = payment("FAILED")
    async with clearing(database, bus, pay) as app:
        await swept(app)
    assert (pay.asked, database.query(HELD)) == (2, [("RELEASED", 2)])


def database_later(database: Database) -> None:
    """Its next action is due."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("UPDATE hold SET next_action_at = now() WHERE state = 'HELD'")


async def test_an_owner_that_cannot_be_reached_keeps_its_hold(
    database: Database, bus: InProcessBus, pay: PayStandIn
) -> None:
    pay.payments[PAYMENT] = payment("CLOSED")
    pay.away = True
    async with clearing(database, bus, pay, time_scale=1.0) as app:
        await do(app, post(top_up("ann", 100, key="1")), expired(by=timedelta(days=30)))
        await swept(app)
    async with clearing(database, bus, "127.0.0.1:1", time_scale=1.0) as app:
        database_later(database)
        await swept(app)
    assert database.query(HELD) == [("HELD", 1)]
    assert database.query(DUE) == [(True, 2)]


async def test_an_unknown_payment_loses_its_hold_only_after_days(
    database: Database, bus: InProcessBus, pay: PayStandIn
) -> None:
    async with clearing(database, bus, pay, time_scale=1.0) as app:
        young = expired("young", 10, by=timedelta(days=6))
        old = expired("old", 10, by=timedelta(days=8))
        await do(app, post(top_up("ann", 100, key="1")), young, old)
        await swept(app)
    states = dict(database.query("SELECT id, state FROM hold"))
    assert states == {hold_id("young"): "HELD", hold_id("old"): "RELEASED"}
    assert database.books_are_true()


async def test_holds_that_do_not_expire_and_those_that_have_not_are_let_be(
    database: Database, bus: InProcessBus, pay: PayStandIn
) -> None:
    async with clearing(database, bus, pay) as app:
        later = expired("later", 1, by=timedelta(minutes=-5))
        await do(app, post(top_up("ann", 100, key="1")), later, place("never", 1))
        await swept(app)
    assert pay.asked == 0
    assert database.query("SELECT count(*) FROM hold WHERE state = 'HELD'") == [(2,)]


async def test_two_sweepers_ask_once_each_hold(
    database: Database, bus: InProcessBus, pay: PayStandIn
) -> None:
    pay.payments[PAYMENT] = payment("FAILED")
    async with (
        clearing(database, bus, pay, time_scale=1.0) as one,
        clearing(database, bus, pay, time_scale=1.0) as two,
    ):
        holds = [expired(f"h{n}", 1) for n in range(50)]
        await do(one, post(top_up("ann", 100, key="1")), *holds)
        await asyncio.gather(swept(one), swept(two))
    assert pay.asked == 50
    assert database.query("SELECT DISTINCT state, version FROM hold") == [("RELEASED", 2)]
    assert database.books_are_true()


POINTS = ["effect.before_call", "effect.after_call", "shell.before_commit", "shell.after_commit"]


@pytest.mark.parametrize("point", POINTS)
async def test_who_dies_around_answer_and_release_lets_go_of_it_once(
    database: Database, bus: InProcessBus, pay: PayStandIn, point: str
) -> None:
    """effect.after_call is between the owner's answer and the release. Dies twice, ends once."""
    pay.payments[PAYMENT] = payment("CLOSED")
    async with clearing(database, bus, pay) as app:
        await do(app, post(top_up("ann", 100, key="1")), expired())
    for _ in range(2):
        failpoint.arm(f"{point}:1:error")
        try:
            async with clearing(database, bus, pay) as app:
                await swept(app)
        finally:
            failpoint.arm("")
        if database.query(HELD) == [("HELD", 1)]:
            database_later(database)
    released = point == "shell.after_commit"
    assert database.query(HELD) == [("RELEASED", 2) if released else ("HELD", 1)]
    async with clearing(database, bus, pay) as app:
        await swept(app)
        await swept(app)
    assert database.query(HELD) == [("RELEASED", 2)]
    assert database.query("SELECT held_minor FROM account WHERE owner = 'ann'") == [(0,)]
    assert database.books_are_true()


async def test_a_payment_that_goes_on_between_two_deaths_keeps_its_hold(
    database: Database, bus: InProcessBus, pay: PayStandIn
) -> None:
    """Nothing of an answer outlives the process that got it: it is asked anew."""
    pay.payments[PAYMENT] = payment("PROCESSING", HOLD="SUCCEEDED")
    async with clearing(database, bus, pay, time_scale=1.0) as app:
        await do(app, post(top_up("ann", 100, key="1")), expired())
        await swept(app)
        pay.payments[PAYMENT] = payment("SUCCEEDED", HOLD="SUCCEEDED", TRANSFER="SUCCEEDED")
        database_later(database)
        await swept(app)
        assert database.query(HELD) == [("HELD", 1)]
        await do(app, post(spend("h", 40)))
        database_later(database)
        await swept(app)
    assert database.query(HELD) == [("POSTED", 2)]
    assert pay.asked == 2
    assert database.books_are_true()


# As its callers meet it


async def test_a_hold_says_when_it_expires(stub: Stub, core: Any) -> None:
    await core.shell.process([item(post(top_up("ann", 100, key="1")))])
    at = datetime.now(UTC) + timedelta(hours=1)
    request = placing("h", 40, reference=PAYMENT, expire_time=time_to(at))
    placed = (await stub.PlaceHold(request, metadata=METADATA, timeout=60)).hold
    assert placed.expire_time.ToDatetime(tzinfo=UTC) == at
    found = await stub.GetHold(ledger_service_pb2.GetHoldRequest(hold_id=hold_id("h")), timeout=60)
    assert found.hold == placed


@pytest.mark.parametrize(
    ("changes", "field_"),
    [
        ({"reference": "dsp_1"}, "reference"),
        ({"reference": PAYMENT, "seconds": 10**12}, "expire_time"),
    ],
)
async def test_an_expiry_that_nobody_can_be_asked_about_is_refused(
    stub: Stub, database: Database, changes: dict[str, Any], field_: str
) -> None:
    seconds = changes.pop("seconds", 1)
    request = placing("h", 40, **changes)
    request.expire_time.seconds = seconds
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PlaceHold(request, metadata=METADATA, timeout=60)
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert field_ in fields_of(status)
    assert database.query(HELD) == []


def test_an_expired_hold_is_released_on_the_accounts_where_it_lies(book: Book) -> None:
    """Not on all on which it might have lain."""
    book.do(
        place("h", 10, "USER_BALANCE:ann", "USER_BALANCE:zoe", reference=PAYMENT, expires_at=AT)
    )
    [ask] = asks(book.hold("h"))
    assert isinstance(ask.expire, ExpireHold)
    assert ask.expire.sources == sources("USER_BALANCE:ann")
    assert ask.expire.context == CONTEXT
