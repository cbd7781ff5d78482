"""Accounts as operators and callers meet them: requests in short, and processes by the dozen."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2
from payments.type.v1 import account_pb2
from payments.type.v1.event_pb2 import Event

from clearing_svc.draining import Draining, DrainLimits
from clearing_svc.ledger.accounts import Account, AccountMode
from clearing_svc.ledger.administering import SetAccountMode
from clearing_svc.ledger.drafts import JournalDraft, account_id_of
from clearing_svc.posting.batches import Posting
from clearing_svc.queries import Books
from clearing_svc.store import ACT, ENTRY, JOURNAL, LEDGER
from clearing_svc.wire import encode
from paymesh.app import Core
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.topology import Topology
from paymesh.clock import SystemClock
from paymesh.context import Call
from paymesh.db.engine import create_engine
from paymesh.db.migrate import ROOT
from paymesh.outbox import Publisher
from paymesh.rpc import current_call
from paymesh.store.postgres import PostgresStore
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import asked, call_context, fields_of, money, reason_of
from tests.clearing.ledger_world import (
    CONFIG,
    CONTEXT,
    RULES,
    hold_id,
    item,
    reasons,
    sources,
    top_up,
)

LIMITS = DrainLimits()
METADATA = [("payments-context-bin", call_context().context.SerializeToString())]
service = ledger_service_pb2


def uid() -> str:
    return str(uuid.uuid4())


def ref(account: str) -> account_pb2.AccountRef:
    """Such as "USER_BALANCE:ann"."""
    [source] = sources(account)
    return account_pb2.AccountRef(subject=source.subject, owner=source.owner)


def acc(account: str, cur: str = "CNY") -> str:
    """The account's id."""
    [source] = sources(account)
    return account_id_of(source.subject, source.owner, cur)


def credit(account: str, minor: int, cur: str = "CNY", reference: str = "") -> ledger_pb2.Entry:
    named = ref(account)
    return ledger_pb2.Entry(
        subject=named.subject,
        owner=named.owner,
        side=ledger_pb2.ENTRY_SIDE_CREDIT,
        amount=money(minor, cur),
        reference=reference,
    )


class Client:
    """A caller inside the mesh. What it asks can be changed field by field."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub

    async def _call(self, method: str, values: dict[str, Any], changes: dict[str, Any]) -> Any:
        request = getattr(service, f"{method}Request")(**{"request_id": uid(), **values, **changes})
        return await getattr(self.stub, method)(request, metadata=METADATA, timeout=60)

    async def create(self, account: str, /, **changes: Any) -> Any:
        values = {"account": ref(account), "currency_code": "CNY"}
        return (await self._call("CreateAccount", values, changes)).account

    async def status(self, account: str, status: str, /, **changes: Any) -> Any:
        values = {
            "account_id": acc(account),
            "status": f"ACCOUNT_STATUS_{status}",
            "why": "by order",
        }
        return (await self._call("SetAccountStatus", values, changes)).account

    async def mode(self, account: str, mode: str, /, **changes: Any) -> Any:
        values = {"account_id": acc(account), "mode": f"ACCOUNT_MODE_{mode}"}
        return (await self._call("SetAccountMode", values, changes)).account

    async def reverse(self, journal_id: str, /, **changes: Any) -> Any:
        values = {"journal_id": journal_id, "why": "wrong"}
        return (await self._call("ReverseJournal", values, changes)).journal

    async def book(self, event: Event, /, **changes: Any) -> list[str]:
        """The ids of the journals that book it."""
        values = {
            "event_type": event.type,
            "occurred_time": event.occurred_time,
            "payload": event.payload,
        }
        return list((await self._call("BookEvent", values, changes)).journal_ids)

    async def place(self, name: str, minor: int, /, *accounts: str, **changes: Any) -> Any:
        values = {
            "hold_id": hold_id(name),
            "amount": money(minor),
            "sources": [ref(a) for a in accounts or ("USER_BALANCE:ann",)],
        }
        return (await self._call("PlaceHold", values, changes)).hold

    async def release(self, name: str, /, *accounts: str, **changes: Any) -> Any:
        values = {
            "hold_id": hold_id(name),
            "sources": [ref(a) for a in accounts or ("USER_BALANCE:ann",)],
            "currency_code": "CNY",
        }
        return (await self._call("ReleaseHold", values, changes)).hold

    async def post_hold(self, name: str, minor: int, /, *accounts: str, **changes: Any) -> Any:
        values = {
            "hold_id": hold_id(name),
            "amount": money(minor),
            "sources": [ref(a) for a in accounts or ("USER_BALANCE:ann",)],
            "event_type": "test/taken",
            "business_key": name,
            "entries": [credit("USER_BALANCE:bob", minor)],
        }
        return await self._call("PostHold", values, changes)

    async def results(self, *drafts: JournalDraft, with_id: bool) -> list[Any]:
        """Of one PostJournals, through the generic core or through the bulk path."""
        items = [asked(draft, request_id=uid() if with_id else "") for draft in drafts]
        request = service.PostJournalsRequest(items=items)
        return list((await self.stub.PostJournals(request, timeout=60)).results)

    async def post(self, *drafts: JournalDraft, with_id: bool) -> list[str]:
        results = await self.results(*drafts, with_id=with_id)
        return ["OK" if r.HasField("journal") else reason_of(r.error) for r in results]

    async def account(self, account: str) -> Any:
        named = ref(account)
        request = service.GetAccountRequest(
            subject=named.subject, owner=named.owner, currency_code="CNY"
        )
        return (await self.stub.GetAccount(request, timeout=60)).account


async def holding(stub: Stub) -> Client:
    """ann has 500, of which 100 are held."""
    client = Client(stub)
    assert await client.post(top_up("ann", 500, key="0"), with_id=False) == ["OK"]
    await client.place("h", 100)
    return client


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, Status]:
    """Code, reason and the whole status."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    status = rpc_status.from_call(refused.value)
    assert status is not None
    return refused.value.code(), reason_of(status), status


async def field_of(call: Awaitable[Any]) -> str:
    """The one field that an INVALID_FIELD names."""
    code, reason, status = await refusal(call)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    [field] = fields_of(status)
    return field


# Processes


@dataclass(frozen=True)
class Process:
    """One process of clearing, without its edges; nothing goes on in it by itself."""

    database: Database
    store: PostgresStore
    core: Core[Any]
    posting: Posting
    books: Books
    draining: Draining

    async def post(self, *drafts: JournalDraft) -> list[str]:
        """Through the bulk path."""
        current_call.set(Call(CONTEXT, deadline=float("inf")))
        items = [asked(draft) for draft in drafts]
        results = (await self.posting.post(service.PostJournalsRequest(items=items))).results
        return ["OK" if r.HasField("journal") else reason_of(r.error) for r in results]

    async def do(self, *commands: Any) -> list[str]:
        """Through the generic core, as one batch."""
        return reasons(await self.core.shell.process([item(command) for command in commands]))

    async def mode(self, account: str, mode: str) -> list[str]:
        return await self.do(SetAccountMode(CONTEXT, acc(account), AccountMode(mode)))

    async def account(self, account: str) -> Account:
        found = await self.books.account(acc(account))
        assert found is not None
        return found


@asynccontextmanager
async def process(
    database: Database,
    *,
    limits: DrainLimits = LIMITS,
    store_type: type[PostgresStore] = PostgresStore,
) -> AsyncIterator[Process]:
    clock = SystemClock()
    engine = create_engine(database.app_url, pool=4)
    store = store_type(engine)
    bus = InProcessBus(Topology.load(ROOT / "rabbitmq" / "definitions.json"))
    core: Core[Any] = Core(
        store=store,
        aggregate=LEDGER,
        rules=RULES,
        records=[JOURNAL, ENTRY, ACT],
        encode=encode,
        publisher=Publisher(store, bus),
        clock=clock,
    )
    books = Books(engine)
    posting = Posting(store, books, CONFIG.chart, clock=clock, journals_max=100)
    draining = Draining(store, core.submit, clock=clock, limits=limits)
    yield Process(database, store, core, posting, books, draining)
    await posting.close()
    await core.close()
    await engine.dispose()
