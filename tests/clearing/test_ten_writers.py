"""Ten writers at once on the same accounts, each with connections of its own, and every verdict
explained.

Four are callers over gRPC, three post in bulk and three through the generic core, as other
processes would. What a caller sees is enough to judge the ledger from outside: a debit that was
accepted must have been possible at some moment between its call and its answer, and one that was
refused must have been impossible at some such moment. From inside, triggers write down what became
of each row in the order of its locks: the balances that the entries give in that order are those
that the rows had, and none was ever below its minimum.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc
import psycopg
import pytest
from grpc_status import rpc_status
from payments.clearing.v1 import ledger_pb2

from clearing_svc.draining import DrainLimits
from clearing_svc.ledger.drafts import JournalDraft
from paymesh.app import App
from paymesh.channel import DIRECT
from tests.clearing.accounts_world import Client, Process, acc, credit, process
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import reason_of
from tests.clearing.ledger_world import place, post, release, spend, top_up, transfer

pytestmark = pytest.mark.slow

ANN, BOB = "USER_BALANCE:ann", "USER_BALANCE:bob"
BEGIN = {"ann": 1_000, "bob": 300}
TURNS = 12

WATCH = """
    CREATE TABLE watched (n bigserial, xid bigint DEFAULT pg_current_xact_id()::text::bigint,
        account_id text, kind text, minor bigint, held bigint);
    CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF TG_TABLE_NAME = 'account' THEN
            INSERT INTO watched (account_id, kind, minor, held)
            VALUES (NEW.id, 'row', NEW.balance_minor, NEW.held_minor);
        ELSIF TG_OP = 'INSERT' THEN
            INSERT INTO watched (account_id, kind, minor)
            VALUES (NEW.account_id, 'beside', NEW.delta_minor);
        ELSE
            INSERT INTO watched (account_id, kind, minor)
            VALUES (OLD.account_id, 'folded', OLD.delta_minor);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER watch AFTER INSERT OR UPDATE ON account
        FOR EACH ROW EXECUTE FUNCTION watch();
    CREATE TRIGGER watch AFTER INSERT OR DELETE ON account_delta
        FOR EACH ROW EXECUTE FUNCTION watch();
"""
WRONG_NOW = """
    WITH now AS (SELECT a.*, a.balance_minor + coalesce((SELECT sum(d.delta_minor)
        FROM account_delta d WHERE d.shard_key = a.shard_key AND d.account_id = a.id), 0) AS balance
        FROM account a)
    SELECT 'below its minimum', owner FROM now WHERE balance - held_minor < minimum_minor
    UNION ALL
    SELECT 'not conserved', sum(CASE normal_side WHEN 'DEBIT' THEN balance ELSE -balance END)::text
    FROM now HAVING sum(CASE normal_side WHEN 'DEBIT' THEN balance ELSE -balance END) <> 0
"""


@dataclass(frozen=True)
class Act:
    """Something that was asked: what it does to what each owner has available, if accepted."""

    effects: Mapping[str, int]
    begun: float
    ended: float
    verdict: str


@dataclass
class Log:
    acts: list[Act] = field(default_factory=list)

    async def of(self, effects: Mapping[str, int], asking: Awaitable[str]) -> bool:
        """Whether it was accepted."""
        begun = time.monotonic()
        verdict = await asking
        self.acts.append(Act(effects, begun, time.monotonic(), verdict))
        return verdict == "OK"

    def available(self, owner: str, of: Act, *, at_most: bool) -> int:
        """A bound of what the owner had available between the act's call and its answer."""
        found = BEGIN[owner]
        for act in self.acts:
            effect = act.effects.get(owner, 0)
            if act is of or act.verdict != "OK":
                continue
            surely, perhaps = act.ended <= of.begun, act.begun <= of.ended
            if surely or (perhaps and (effect > 0) == at_most):
                found += effect
        return found

    def unexplained(self) -> list[tuple[Act, int]]:
        """Acts with a bound that their verdicts contradict."""
        found = []
        for act in self.acts:
            [(owner, minor)] = [(o, -e) for o, e in act.effects.items() if e < 0] or [("", 0)]
            if owner and act.verdict == "OK":
                highest = self.available(owner, act, at_most=True)
                found += [(act, highest)] if minor > highest else []
            elif act.verdict == "INSUFFICIENT_FUNDS":
                lowest = self.available(owner, act, at_most=False)
                found += [(act, lowest)] if minor <= lowest else []
        return found


class Writer:
    """What each of the ten can do. The answer is OK or the refusal's reason."""

    async def post(self, draft: JournalDraft) -> str: ...

    async def place(self, name: str, minor: int) -> str: ...

    async def take(self, name: str, minor: int, key: str) -> str: ...

    async def release(self, name: str) -> str: ...


class Caller(Writer):
    """Over gRPC, now with a request_id and now without."""

    def __init__(self, stub: Stub, chance: random.Random) -> None:
        self.client, self.chance = Client(stub), chance

    async def post(self, draft: JournalDraft) -> str:
        [verdict] = await self.client.post(draft, with_id=self.chance.random() < 0.5)
        return verdict

    async def place(self, name: str, minor: int) -> str:
        return await _verdict(self.client.place(name, minor, ANN))

    async def take(self, name: str, minor: int, key: str) -> str:
        changes = {"business_key": key, "entries": [credit(BOB, minor)]}
        return await _verdict(self.client.post_hold(name, minor, ANN, **changes))

    async def release(self, name: str) -> str:
        return await _verdict(self.client.release(name, ANN))


async def _verdict(call: Awaitable[Any]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as refused:
        status = rpc_status.from_call(refused)
        return str(refused) if status is None else reason_of(status)
    return "OK"


class Neighbour(Writer):
    """Another process: journals in bulk or through the core, holds through the core."""

    def __init__(self, process: Process, *, bulk: bool) -> None:
        self.process, self.bulk = process, bulk

    async def post(self, draft: JournalDraft) -> str:
        if self.bulk:
            return (await self.process.post(draft))[0]
        return (await self.process.do(post(draft)))[0]

    async def place(self, name: str, minor: int) -> str:
        return (await self.process.do(place(name, minor)))[0]

    async def take(self, name: str, minor: int, key: str) -> str:
        return (await self.process.do(post(spend(name, minor, key=key))))[0]

    async def release(self, name: str) -> str:
        return (await self.process.do(release(name)))[0]


async def write(writer: Writer, number: int, log: Log) -> None:
    """Turn by turn: money comes in, goes to and fro, is tried to be overdrawn, is held, taken in
    parts and release."""
    chance = random.Random(number)
    for turn in range(TURNS):
        key, minor = f"{number}-{turn}", chance.randint(1, 150)
        match chance.randrange(6):
            case 0:
                draft = top_up("ann", minor, key=key)
                await log.of({"ann": minor}, writer.post(draft))
            case 1 | 2:
                minor *= chance.choice([1, 3, 9])
                draft = transfer("ann", "bob", minor, key=key)
                await log.of({"ann": -minor, "bob": minor}, writer.post(draft))
            case 3:
                minor *= chance.choice([1, 3, 9])
                draft = transfer("bob", "ann", minor, key=key)
                await log.of({"bob": -minor, "ann": minor}, writer.post(draft))
            case _:
                minor *= chance.choice([1, 2, 8])
                if await log.of({"ann": -minor}, writer.place(key, minor)):
                    await use(writer, key, minor, chance, log)


async def use(writer: Writer, name: str, minor: int, chance: random.Random, log: Log) -> None:
    """Takes a part of a hold, tries to take more than is left, and releases the rest."""
    part = chance.randint(0, minor)
    if part:
        assert await log.of({"bob": part}, writer.take(name, part, f"{name}a"))
    if part < minor:
        assert await writer.take(name, minor - part + 1, f"{name}b") == "HOLD_ENDED"
        assert await log.of({"ann": minor - part}, writer.release(name))


@pytest.fixture
async def ten(app: App, database: Database) -> AsyncIterator[list[Writer]]:
    assert app.server is not None
    writers: list[Writer] = []
    async with AsyncExitStack() as stack:
        for number in range(4):
            channel = grpc.aio.insecure_channel(
                f"127.0.0.1:{app.server.port}",
                options=[DIRECT, ("grpc.use_local_subchannel_pool", 1)],
            )
            await stack.enter_async_context(channel)
            writers.append(Caller(Stub(channel), random.Random(100 + number)))
        for number in range(6):
            other = await stack.enter_async_context(process(database))
            writers.append(Neighbour(other, bulk=number % 2 == 0))
        yield writers


@pytest.mark.parametrize("mode", ["DIRECT", "BUFFERED", "switching"])
async def test_ten_writers_break_no_limit_and_every_verdict_is_explained(
    ten: list[Writer], stub: Stub, database: Database, mode: str
) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(WATCH.encode())
    client, log, done = Client(stub), Log(), asyncio.Event()
    begin = [top_up(owner, minor, key=owner) for owner, minor in BEGIN.items()]
    assert await client.post(*begin, with_id=False) == ["OK", "OK"]
    if mode != "DIRECT":
        for account in (ANN, BOB, "BANK:platform"):
            await client.mode(account, "BUFFERED")

    async def watch() -> int:
        looks = 0
        while not done.is_set():
            # Not on the loop, which it would stop each time.
            assert await asyncio.to_thread(database.query, WRONG_NOW) == []
            account = await client.account(ANN)
            assert account.balance.minor_units >= account.held.minor_units >= 0
            looks += 1
            await asyncio.sleep(0.005)
        return looks

    async def switch(other: Process) -> set[str]:
        seen = set()
        while not done.is_set():
            for to in ("DIRECT", "BUFFERED"):
                assert await other.mode(ANN, to) == ["OK"]
                for _ in range(3 if to == "BUFFERED" else 100):
                    await other.draining.round()
                    mode = str((await other.account(ANN)).mode)
                    seen.add(mode)
                    if mode == "DIRECT" or done.is_set():
                        break
                    await asyncio.sleep(0.005)
        return seen

    async with process(database, limits=DrainLimits(deltas_kept=3, fold_rows_max=4)) as other:
        watching = asyncio.create_task(watch())
        switching = asyncio.create_task(switch(other)) if mode == "switching" else None
        try:
            await asyncio.gather(*(write(w, number, log) for number, w in enumerate(ten)))
        finally:
            done.set()
            looks, seen = await watching, await switching if switching else set()
    assert looks > 10
    if switching:
        assert seen == {"DIRECT", "BUFFERED", "DRAINING"}
    verdicts = {act.verdict for act in log.acts}
    assert verdicts == {"OK", "INSUFFICIENT_FUNDS"}
    assert log.unexplained() == []
    await everything_is_as_the_acts_say(client, database, log)


async def everything_is_as_the_acts_say(client: Client, database: Database, log: Log) -> None:
    for account in (ANN, BOB, "BANK:platform"):
        await client.mode(account, "DIRECT")
        for _ in range(1200):
            found = await client.account(account)
            if found.mode == ledger_pb2.ACCOUNT_MODE_DIRECT:
                break
            await asyncio.sleep(0.05)
        owner = account.split(":")[1]
        if owner in BEGIN:
            accepted = [a.effects.get(owner, 0) for a in log.acts if a.verdict == "OK"]
            expected = BEGIN[owner] + sum(accepted)
            assert found.balance.minor_units == found.available.minor_units == expected
    assert database.books_are_true()
    for account in (ANN, BOB):
        states = rebuilt(database, acc(account))
        assert len(states) > 20
        assert all(balance - held >= 0 for balance, held in states)


def rebuilt(database: Database, account_id: str) -> list[tuple[int, int]]:
    """Balance and held after each transaction, in the order in which they had the row locked: made
    of the entries, and compared with what the row had."""
    booked: dict[int, int] = defaultdict(int)
    for posting, minor in database.query(
        "SELECT posting, CASE side WHEN 'CREDIT' THEN amount_minor ELSE -amount_minor END "
        "FROM booking WHERE account_id = %s",
        account_id,
    ):
        booked[int(str(posting))] += int(str(minor))
    order: dict[int, tuple[int, int]] = {}
    moved: dict[int, int] = defaultdict(int)
    for xid, kind, minor, held in database.query(
        "SELECT xid, kind, minor, held FROM watched WHERE account_id = %s ORDER BY n", account_id
    ):
        number, amount = int(str(xid)), int(str(minor))
        if kind == "row":
            order[number] = amount, int(str(held))
        else:
            moved[number] += amount if kind == "folded" else -amount
    balance, states = 0, []
    for number, (in_row, held) in order.items():
        balance += booked[number] + moved[number]
        assert balance == in_row, number
        states.append((balance, held))
    assert sum(booked.values()) == balance
    return states
