"""Holds as their callers meet them: the real gRPC server on a real PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2
from payments.type.v1 import account_pb2

from paymesh.app import Core
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import call_context, fields_of, money, reason_of
from tests.clearing.ledger_world import (
    PAYEE,
    earned,
    hold_id,
    item,
    post,
    sources,
    spend,
    top_up,
    transfer,
)

pytestmark = pytest.mark.slow

BALANCE = ("USER_BALANCE:ann",)
CONTEXT = [("payments-context-bin", call_context().context.SerializeToString())]
CODE = grpc.StatusCode


def refs(*accounts: str) -> list[account_pb2.AccountRef]:
    return [account_pb2.AccountRef(subject=s.subject, owner=s.owner) for s in sources(*accounts)]


def placing(name: str, minor: int, *accounts: str, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "request_id": str(uuid.uuid4()),
        "hold_id": hold_id(name),
        "amount": money(minor),
        "sources": refs(*(accounts or BALANCE)),
        "reference": "pay_1",
    }
    return ledger_service_pb2.PlaceHoldRequest(**{**values, **changes})


def releasing(name: str, *accounts: str, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "request_id": str(uuid.uuid4()),
        "hold_id": hold_id(name),
        "sources": refs(*(accounts or BALANCE)),
        "currency_code": "CNY",
    }
    return ledger_service_pb2.ReleaseHoldRequest(**{**values, **changes})


class Ledger:
    """A client inside the mesh, and the books behind it."""

    def __init__(self, stub: Stub, core: Core[Any]) -> None:
        self.stub, self._core = stub, core

    async def place(self, *asked: Any, **changes: Any) -> Any:
        request = placing(*asked, **changes) if isinstance(asked[0], str) else asked[0]
        return (await self.stub.PlaceHold(request, metadata=CONTEXT, timeout=60)).hold

    async def release(self, *asked: Any, **changes: Any) -> Any:
        request = releasing(*asked, **changes) if isinstance(asked[0], str) else asked[0]
        return (await self.stub.ReleaseHold(request, metadata=CONTEXT, timeout=60)).hold

    async def get(self, name: str) -> Any:
        request = ledger_service_pb2.GetHoldRequest(hold_id=hold_id(name))
        return (await self.stub.GetHold(request, timeout=60)).hold

    async def account(self, account: str) -> Any:
        [source] = sources(account)
        request = ledger_service_pb2.GetAccountRequest(
            subject=source.subject, owner=source.owner, currency_code="CNY"
        )
        return (await self.stub.GetAccount(request, timeout=60)).account

    async def available(self, account: str = BALANCE[0]) -> tuple[int, int, int]:
        """Balance, held, available."""
        found = await self.account(account)
        amounts = found.balance, found.held, found.available
        return tuple(amount.minor_units for amount in amounts)

    async def post(self, *drafts: Any) -> None:
        for outcome in await self._core.shell.process([item(post(draft)) for draft in drafts]):
            assert not isinstance(outcome, Exception), outcome


@pytest.fixture
async def ledger(stub: Stub, core: Core[Any]) -> Ledger:
    """ann has 500."""
    ledger = Ledger(stub, core)
    await ledger.post(top_up("ann", 500, key="0"))
    return ledger


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, Status]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    status = rpc_status.from_call(refused.value)
    assert status is not None
    return refused.value.code(), status


async def test_a_hold_is_placed_and_read_back(ledger: Ledger) -> None:
    placed = await ledger.place("h", 400)
    assert placed == ledger_pb2.Hold(
        hold_id=hold_id("h"),
        business_id="biz_1",
        state=ledger_pb2.HOLD_STATE_HELD,
        amount=money(400),
        parts=[
            ledger_pb2.HoldPart(
                account=refs(*BALANCE)[0], held=money(400), posted=money(0), released=money(0)
            )
        ],
        reference="pay_1",
        version=1,
    )
    assert await ledger.get("h") == placed
    assert await ledger.available() == (500, 400, 100)


async def test_an_account_without_limit_says_so(ledger: Ledger) -> None:
    account = await ledger.account("BANK:platform")
    assert not account.HasField("available")
    assert account.held.minor_units == 0


async def test_the_same_request_again_is_answered_with_the_hold_as_it_stands(
    ledger: Ledger, database: Database
) -> None:
    """Under the same request_id, and under another one; nothing is held twice."""
    request = placing("h", 400)
    first = await ledger.place(request)
    assert await ledger.place(request) == first
    await ledger.post(spend("h", 150))
    again = await ledger.place(request)
    assert again == await ledger.place("h", 400) == await ledger.get("h")
    assert (again.version, again.parts[0].posted.minor_units) == (2, 150)
    assert await ledger.available() == (350, 250, 100)
    assert database.books_are_true()


async def test_a_hold_id_or_a_request_id_with_another_body_is_refused(ledger: Ledger) -> None:
    request = placing("h", 400)
    await ledger.place(request)
    code, status = await refusal(ledger.place("h", 399))
    assert (code, reason_of(status)) == (CODE.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    code, status = await refusal(ledger.place("i", 10, request_id=request.request_id))
    assert (code, reason_of(status)) == (CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_a_refusal_for_lack_of_money_is_kept_for_its_request(ledger: Ledger) -> None:
    """A duplicate that comes late must not hold what the caller has given up; a new request may."""
    request = placing("h", 501)
    code, status = await refusal(ledger.place(request))
    assert (code, reason_of(status)) == (CODE.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS")
    await ledger.post(top_up("ann", 1, key="1"))
    _, again = await refusal(ledger.place(request))
    assert again == status
    code, _ = await refusal(ledger.get("h"))
    assert code is CODE.NOT_FOUND
    assert (await ledger.place("h", 501)).state == ledger_pb2.HOLD_STATE_HELD


async def test_what_is_not_booked_yet_is_asked_again_with_the_same_request(ledger: Ledger) -> None:
    after = ledger_service_pb2.JournalName(event_type="test/earned", business_key="trd_1")
    request = placing("r", 60, *PAYEE, after=after)
    code, status = await refusal(ledger.place(request))
    assert (code, reason_of(status)) == (CODE.UNAVAILABLE, "NOT_BOOKED_YET")
    await ledger.post(earned(50, key="trd_1"))
    hold = await ledger.place(request)
    found = [(part.account.subject, part.held.minor_units) for part in hold.parts]
    assert found == [("MERCHANT_PENDING", 50), ("MERCHANT_RECEIVABLE", 10)]
    assert await ledger.available("MERCHANT_RECEIVABLE:mer_1") == (0, 10, 99_990)


async def test_a_hold_is_released_once_and_answered_for_ever(
    ledger: Ledger, database: Database
) -> None:
    await ledger.place("h", 400)
    await ledger.post(spend("h", 100))
    request = releasing("h")
    released = await ledger.release(request)
    assert released.state == ledger_pb2.HOLD_STATE_RELEASED
    assert released.parts[0].released.minor_units == 300
    assert await ledger.release(request) == await ledger.release("h") == released
    assert await ledger.available() == (400, 0, 400)
    rows = database.query(
        "SELECT type, sequence, state, published FROM outbox WHERE aggregate_id = %s ORDER BY 2",
        hold_id("h"),
    )
    assert rows == [
        ("clearing.hold.held", 1, "HELD", False),
        ("clearing.hold.held", 2, "HELD", False),
        ("clearing.hold.released", 3, "RELEASED", False),
    ]
    assert database.books_are_true()


async def test_a_release_of_an_unknown_hold_is_not_found_and_not_kept(ledger: Ledger) -> None:
    request = releasing("h")
    code, _ = await refusal(ledger.release(request))
    assert code is CODE.NOT_FOUND
    await ledger.place("h", 1)
    assert (await ledger.release(request)).state == ledger_pb2.HOLD_STATE_RELEASED


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"sources": refs("HEAVEN:ann")}, ["sources[0].subject"]),
        ({"sources": refs("heaven:ann")}, ["sources[0].subject"]),
        ({"sources": refs("BANK:ann")}, ["sources[0].owner"]),
        ({"sources": refs("USER_BALANCE:")}, ["sources[0].owner"]),
        ({"sources": refs("USER_BALANCE:a\x00")}, ["sources[0].owner"]),
        ({"sources": refs(*BALANCE, *BALANCE)}, ["sources[1]"]),
        ({"sources": refs("PAYER_TRANSIT:platform")}, ["sources[0].subject"]),
        ({"sources": []}, ["sources"]),
        ({"sources": refs(*(f"USER_BALANCE:{n}" for n in range(5)))}, ["sources"]),
        ({"amount": money(1, "XXX")}, ["amount.currency_code"]),
        ({"amount": money(0)}, ["amount"]),
        ({"amount": money(-1)}, ["amount"]),
        ({"amount": None}, ["amount"]),
        ({"hold_id": "hld_short"}, ["hold_id"]),
        ({"hold_id": hold_id("h").replace("hld_", "acc_")}, ["hold_id"]),
        ({"request_id": "once"}, ["request_id"]),
        ({"reference": "x" * 129}, ["reference"]),
        ({"after": ledger_service_pb2.JournalName(event_type="a b")}, None),
    ],
)
async def test_a_hold_that_cannot_be_is_refused_with_its_field(
    ledger: Ledger, changes: dict[str, Any], fields: list[str] | None
) -> None:
    code, status = await refusal(ledger.place("h", 1, **changes))
    assert (code, reason_of(status)) == (CODE.INVALID_ARGUMENT, "INVALID_FIELD")
    assert fields is None or fields_of(status) == fields
    assert await ledger.available() == (500, 0, 500)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"hold_id": "h"}, ["hold_id"]),
        ({"sources": []}, ["sources"]),
        ({"sources": refs("USER_BALANCE:bob")}, ["sources"]),
        ({"currency_code": "EUR"}, ["sources"]),
        ({"currency_code": "cny"}, ["currency_code"]),
        ({"request_id": ""}, ["request_id"]),
    ],
)
async def test_a_release_that_cannot_be_is_refused_with_its_field(
    ledger: Ledger, changes: dict[str, Any], fields: list[str]
) -> None:
    await ledger.place("h", 1)
    code, status = await refusal(ledger.release("h", **changes))
    assert (code, fields_of(status)) == (CODE.INVALID_ARGUMENT, fields)
    assert await ledger.available() == (500, 1, 499)


async def test_a_hold_without_context_is_refused(ledger: Ledger) -> None:
    code, status = await refusal(ledger.stub.PlaceHold(placing("h", 1), timeout=60))
    assert (code, reason_of(status)) == (CODE.INVALID_ARGUMENT, "CONTEXT_MISSING")


def placed_item(request: Any) -> Any:
    return ledger_service_pb2.BatchPlaceHoldsItem(call_context=call_context(), request=request)


def released_item(request: Any) -> Any:
    return ledger_service_pb2.BatchReleaseHoldsItem(call_context=call_context(), request=request)


def verdicts(results: Any) -> list[str]:
    return ["OK" if r.HasField("response") else reason_of(r.error) for r in results]


async def test_each_item_of_a_batch_of_holds_has_its_own_verdict(
    ledger: Ledger, database: Database
) -> None:
    """200 each of 500: two are placed, whatever is wrong with those in between."""
    strange = placed_item(placing("x", 1, "HEAVEN:ann"))
    items = [placed_item(placing(f"h{n}", 200)) for n in range(4)]
    request = ledger_service_pb2.BatchPlaceHoldsRequest(items=[strange, *items, items[0]])
    results = (await ledger.stub.BatchPlaceHolds(request, timeout=60)).results
    short = "INSUFFICIENT_FUNDS"
    assert verdicts(results) == ["INVALID_FIELD", "OK", "OK", short, short, "OK"]
    assert results[1].response == results[5].response
    releases = [released_item(releasing(name)) for name in ("h0", "h1", "h2", "h0")]
    batch = ledger_service_pb2.BatchReleaseHoldsRequest(items=releases)
    results = (await ledger.stub.BatchReleaseHolds(batch, timeout=60)).results
    assert verdicts(results) == ["OK", "OK", "NOT_FOUND", "OK"]
    assert await ledger.available() == (500, 0, 500)
    await ledger.post(transfer("ann", "bob", 500, key="1"))
    assert database.books_are_true()
