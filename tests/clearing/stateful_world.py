"""Clearing as test_ledger_stateful meets it: the model's commands as requests, and what breaks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import count
from typing import Any

import psycopg
import uvloop
from google.type.date_pb2 import Date
from payments.clearing.v1 import books_service_pb2, ledger_pb2
from payments.clearing.v1 import ledger_service_pb2 as pb
from payments.type.v1 import account_pb2

from clearing_svc.bootstrap import build
from clearing_svc.draining import Draining
from clearing_svc.ledger.drafts import account_id_of, journal_id_of
from clearing_svc.settings import ClearingSettings
from paymesh import failpoint
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.topology import Topology
from paymesh.clock import SystemClock
from paymesh.context import Call, Context
from paymesh.db.migrate import ROOT
from paymesh.errors import NotFound, PaymentError, Unavailable
from paymesh.rpc import current_call, validate
from tests.clearing.conftest import Database
from tests.clearing.ledger_messages import call_context, money, reason_of
from tests.clearing.model_parts import (
    CHART,
    CloseDay,
    Command,
    Create,
    Message,
    Name,
    Place,
    Post,
    Release,
    Reverse,
    SetMode,
    SetStatus,
    Take,
)

FIRST_DAY = date(1940, 1, 1)
"""The books begin so long ago that there is always a day to close."""
TRANSIENT = {"UNAVAILABLE", "INTERNAL", "DEADLINE_PASSED", "OVERLOADED"}
"""What says nothing about whether the request was carried out: it is repeated."""
TRIES_MAX = 10
CONTEXT = Context(business_id="biz_1", merchant_id="mer_1")


class Unheard(Exception):
    """Nobody knows whether the request was carried out."""


class Hurried(SystemClock):
    """Tries again sooner; chores keep their pace."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds if seconds >= 0.5 else seconds / 10)


async def _called(method: Any, request: Any) -> Any:
    """As the server calls a method, without the wire."""
    # Long: how busy the machine is must not be the answer.
    current_call.set(Call(CONTEXT, deadline=time.monotonic() + 60))
    validate(request)
    return await method(request, None)


class World:
    """One database, one clearing and one event loop for all examples."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self.database, self._loop = database, loop
        self.sql = psycopg.connect(database.admin_url, autocommit=True)
        self.examples = count(1)
        self.last_closed = FIRST_DAY
        self.seen: Counter[str] = Counter()

    async def start(self) -> None:
        self.database.begins(FIRST_DAY)
        self._bus = InProcessBus(
            Topology.load(ROOT / "rabbitmq" / "definitions.json").scaled(0.001)
        )
        await self._bus.start()
        settings = ClearingSettings(
            clearing_database_url=self.database.app_url, drain_wait_s=0, database_pool=3
        )
        self._app = build(settings, bus=self._bus, clock=Hurried())
        await self._app.start({"work"})
        store: Any = self._app.store
        self._draining = Draining(store, self._app.cores[0].submit, clock=Hurried())
        self._ledger, self._books = (service.servicer for service in self._app.services)
        lines = (
            (("CHANNEL_RECEIVABLE", "sandbox:0", "CNY"), "DEBIT", 1),
            (("USER_BALANCE", "nobody", "CNY"), "CREDIT", 1),
        )
        first = Post("test/first", "0", lines, day=FIRST_DAY)
        assert await self.send(Message((first,))) == ["OK"]
        assert await self.send(CloseDay(FIRST_DAY)) == ["OK"]

    async def stop(self) -> None:
        await self._app.stop()
        await self._bus.close()
        self.sql.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.sql.execute(statement.encode(), parameters).fetchall()

    def booked_days(self) -> frozenset[date]:
        return frozenset(
            day for (day,) in self.query("SELECT DISTINCT accounting_date FROM journal")
        )

    # What is asked

    async def send(self, command: Command) -> list[str]:
        """The verdicts. Raises Unheard where it is to be repeated."""
        try:
            verdicts = await self._send(command)
        except PaymentError as refusal:
            verdicts = [refusal.reason]
        except failpoint.InjectedFault as error:  # the server tells it as INTERNAL
            raise Unheard from error
        if TRANSIENT & set(verdicts):
            raise Unheard(verdicts)
        return verdicts

    async def _send(self, command: Command) -> list[str]:
        if isinstance(command, Message):
            items = [_item(post) for post in command.posts]
            request = pb.PostJournalsRequest(items=items)
            results = (await _called(self._ledger.PostJournals, request)).results
            return [
                reason_of(r.error) if r.HasField("error") else "AGAIN" if r.replayed else "OK"
                for r in results
            ]
        method, asked = self._unary(command)
        await _called(method, asked)
        return ["OK"]

    def _unary(self, command: Command) -> tuple[Any, Any]:
        ledger = self._ledger
        match command:
            case Place(id_, minor, sources, request_id):
                return ledger.PlaceHold, pb.PlaceHoldRequest(
                    request_id=request_id,
                    hold_id=id_,
                    amount=money(minor, sources[0][2]),
                    sources=_refs(sources),
                )
            case Take(id_, minor, sources, to, key, request_id):
                return ledger.PostHold, pb.PostHoldRequest(
                    request_id=request_id,
                    hold_id=id_,
                    sources=_refs(sources),
                    amount=money(minor, sources[0][2]),
                    event_type="test/take",
                    business_key=key,
                    entries=[_entry(to, "CREDIT", minor)],
                )
            case Release(id_, sources, request_id):
                return ledger.ReleaseHold, pb.ReleaseHoldRequest(
                    request_id=request_id,
                    hold_id=id_,
                    sources=_refs(sources),
                    currency_code=sources[0][2],
                )
            case Reverse(event_type, key, why, request_id, day):
                return ledger.ReverseJournal, pb.ReverseJournalRequest(
                    request_id=request_id,
                    journal_id=journal_id_of(event_type, real_key(event_type, key)),
                    why=why,
                    accounting_date=day and _date(day),
                )
            case Create(account, mode, minimum, maximum, request_id):
                [ref] = _refs([account])
                return ledger.CreateAccount, pb.CreateAccountRequest(
                    request_id=request_id,
                    account=ref,
                    currency_code=account[2],
                    minimum_minor_units=minimum,
                    maximum_minor_units=maximum,
                    mode=f"ACCOUNT_MODE_{mode}",
                )
            case SetStatus(account, status, request_id):
                return ledger.SetAccountStatus, pb.SetAccountStatusRequest(
                    request_id=request_id,
                    account_id=account_id_of(*account),
                    status=f"ACCOUNT_STATUS_{status}",
                    why="test",
                )
            case SetMode(account, mode, request_id):
                return ledger.SetAccountMode, pb.SetAccountModeRequest(
                    request_id=request_id,
                    account_id=account_id_of(*account),
                    mode=f"ACCOUNT_MODE_{mode}",
                )
            case CloseDay(day):
                request = books_service_pb2.CloseDayRequest(accounting_date=_date(day))
                return self._books.CloseDay, request
        raise TypeError(command)

    def today(self) -> date:
        """The database's."""
        [(today,)] = self.query("SELECT (now() AT TIME ZONE 'UTC')::date")
        assert isinstance(today, date)
        return today

    async def account(self, name: Name) -> ledger_pb2.Account | None:
        subject, owner, currency = name
        request = pb.GetAccountRequest(subject=subject, owner=owner, currency_code=currency)
        return await self._read(self._ledger.GetAccount, request, "account")

    async def hold(self, hold_id: str) -> ledger_pb2.Hold | None:
        return await self._read(self._ledger.GetHold, pb.GetHoldRequest(hold_id=hold_id), "hold")

    async def _read(self, method: Any, request: Any, field: str) -> Any:
        for _ in range(TRIES_MAX):
            try:
                return getattr(await _called(method, request), field)
            except NotFound:
                return None
            except Unavailable:
                continue
        raise AssertionError(f"{method} does not answer")

    # What happens to it

    async def cut(self, after_s: float = 0.0) -> None:
        """Ends all sessions of the ledger's, and waits until they are gone."""
        await asyncio.sleep(after_s)
        ended = [pid for (pid,) in self.query(_SESSIONS)]
        self.query("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS t(pid)", ended)
        while self.query("SELECT FROM pg_stat_activity WHERE pid = ANY (%s)", ended):
            await asyncio.sleep(0.001)

    async def drained(self) -> None:
        """Two rounds of the chore: the first marks, the second ends."""
        for _ in range(2):
            await self._draining.round()


_SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE usename = 'paymesh_clearing_app' "
    "AND datname = current_database()"
)
ACCOUNTS = (
    "SELECT a.id, a.balance_minor + coalesce((SELECT sum(d.delta_minor) FROM account_delta d "
    "WHERE d.account_id = a.id AND d.shard_key = a.shard_key), 0), a.held_minor, a.status, a.mode, "
    "a.version FROM account a WHERE a.id = ANY (%s)"
)
ENTRIES = (
    "SELECT j.event_type, j.business_key, e.account_id, e.side, e.amount_minor, j.accounting_date "
    "FROM entry e JOIN journal j ON j.id = e.journal_id WHERE e.account_id = ANY (%s)"
)


def _date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def _refs(names: Sequence[Name]) -> list[account_pb2.AccountRef]:
    return [account_pb2.AccountRef(subject=subject, owner=owner) for subject, owner, _ in names]


def _entry(name: Name, side: str, minor: int) -> ledger_pb2.Entry:
    subject, owner, currency = name
    reference = "what for" if CHART[subject].referenced else ""
    return ledger_pb2.Entry(
        subject=subject,
        owner=owner,
        side=f"ENTRY_SIDE_{side}",
        amount=money(minor, currency),
        reference=reference,
    )


def _item(post: Post) -> pb.PostJournalsItem:
    entries = [_entry(*line) for line in post.lines]
    last = entries[-1]
    match post.fault:
        case "unbalanced":
            last.amount.minor_units += 1
        case "two currencies":
            last.amount.currency_code = "EUR"
        case "zero" | "negative":
            for entry in entries:
                entry.amount.minor_units *= 0 if post.fault == "zero" else -1
        case "unknown subject":
            last.subject = "HEAVEN"
        case "unknown currency":
            for entry in entries:
                entry.amount.currency_code = "XQQ"
        case "no reference":
            last.subject, last.owner, last.reference = "PAYOUT_TRANSIT", "sandbox:0", ""
        case "one entry":
            del entries[1:]
    request = pb.PostJournal(
        request_id=post.request_id,
        event_type=post.event_type,
        business_key=post.key,
        entries=entries,
        accounting_date=post.day and _date(post.day),
    )
    return pb.PostJournalsItem(call_context=call_context(), request=request)


def real_key(event_type: str, key: str) -> str:
    """The business key: the model names what a reversal takes back, the ledger has its id."""
    if event_type != "ledger.reversal":
        return key
    original = key.split(" ", 1)
    return journal_id_of(original[0], real_key(*original))


@contextmanager
def running(database: Database) -> Iterator[World]:
    loop = uvloop.new_event_loop()
    world = World(database, loop)
    world.run(world.start())
    yield world
    world.run(world.stop())
    loop.close()
