"""A PostgreSQL of our own, a fresh database a test, and clearing as it really runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from payments.clearing.v1 import ledger_service_pb2_grpc
from payments.type.v1 import event_pb2

from clearing_svc import consumers
from clearing_svc.bootstrap import build
from clearing_svc.ledger.drafts import account_id_of
from clearing_svc.ledger.holds import Hold
from clearing_svc.settings import ClearingSettings
from clearing_svc.store import ACCOUNT, ACT, ENTRY, HOLD, JOURNAL, LEDGER
from clearing_svc.wire import encode
from paymesh.app import App, Core
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.port import Bus, Verdict
from paymesh.bus.topology import Topology
from paymesh.channel import DIRECT
from paymesh.clock import SystemClock
from paymesh.consumer import Consumer
from paymesh.db.migrate import ROOT
from paymesh.outbox import Publisher
from paymesh.store.memory import MemoryStore
from paymesh.store.rowtypes import RowType
from tests import databases
from tests.clearing.books_world import Books, books_of
from tests.clearing.ledger_messages import delivery
from tests.clearing.ledger_world import (
    BOOKINGS,
    CONFIG,
    OWNERS,
    RULES,
    Book,
    hold_id,
    item,
    reasons,
    top_up,
)
from tests.databases import Databases

ACCOUNTS = (
    "SELECT a.*, a.balance_minor + coalesce((SELECT sum(d.delta_minor) FROM account_delta d "
    "WHERE d.account_id = a.id AND d.shard_key = a.shard_key), 0) AS balance FROM account a"
)
"""What is buffered beside an account is its, too."""
PARTS = (
    "SELECT h.id, h.state, h.amount_minor, p.* FROM hold h, jsonb_to_recordset(h.parts) "
    "AS p(account_id text, held bigint, posted bigint, released bigint)"
)


class Database(databases.Database):
    def books_are_true(self) -> bool:
        """Invariants 1 to 4, 14 and 15."""
        return not any(self.query(query) for query in BROKEN)


BROKEN = [
    "SELECT journal_id FROM entry GROUP BY journal_id, amount_currency HAVING count(*) < 2 OR "
    "sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) <> 0",
    f"SELECT a.id FROM ({ACCOUNTS}) a LEFT JOIN entry e ON e.account_id = a.id "
    "GROUP BY a.id, a.balance HAVING a.balance <> coalesce(sum(CASE WHEN e.side = a.normal_side "
    "THEN e.amount_minor ELSE -e.amount_minor END), 0)",
    f"SELECT id FROM ({ACCOUNTS}) a WHERE normal_side = 'CREDIT' "
    "AND (balance - held_minor < minimum_minor OR balance > maximum_minor)",
    f"SELECT id FROM ({ACCOUNTS}) a WHERE normal_side = 'DEBIT' "
    "AND (balance < minimum_minor OR balance + held_minor > maximum_minor)",
    "SELECT d.account_id FROM account_delta d LEFT JOIN account a ON a.id = d.account_id "
    "AND a.shard_key = d.shard_key WHERE a.mode IS NULL OR a.mode = 'DIRECT'",
    "SELECT event_type FROM journal GROUP BY event_type, business_key HAVING count(*) > 1",
    "SELECT j.id FROM journal j WHERE NOT EXISTS (SELECT FROM entry WHERE journal_id = j.id)",
    f"SELECT balance_currency FROM ({ACCOUNTS}) a GROUP BY balance_currency HAVING "
    "sum(CASE normal_side WHEN 'DEBIT' THEN balance ELSE -balance END) <> 0",
    f"WITH part AS ({PARTS}) SELECT id FROM part GROUP BY id, state, amount_minor HAVING "
    "sum(held) <> amount_minor OR sum(posted) + sum(released) > sum(held) "
    "OR (state <> 'HELD') <> (sum(posted) + sum(released) = sum(held)) "
    "OR (state = 'POSTED' AND sum(released) > 0)",
    f"WITH part AS ({PARTS}), owed AS (SELECT account_id, sum(held - posted - released) AS minor "
    "FROM part GROUP BY account_id) SELECT a.id FROM account a FULL JOIN owed o "
    "ON o.account_id = a.id WHERE a.id IS NULL OR a.held_minor <> coalesce(o.minor, 0)",
    f"WITH part AS ({PARTS}), taken AS (SELECT reference, account_id, sum(amount_minor) AS minor "
    "FROM entry WHERE side = 'DEBIT' AND starts_with(reference, 'hld_') GROUP BY 1, 2) "
    "SELECT p.id FROM part p FULL JOIN taken t ON t.reference = p.id "
    "AND t.account_id = p.account_id WHERE p.id IS NULL OR p.posted <> coalesce(t.minor, 0)",
    f"WITH lies AS (SELECT shard_key, id, coalesce(sum(minor), 0) AS minor FROM returns_payable "
    "LEFT JOIN LATERAL jsonb_to_recordset(parts) AS p(minor bigint) ON true GROUP BY 1, 2) "
    f"SELECT a.id FROM ({ACCOUNTS}) a FULL JOIN lies l ON l.shard_key = a.shard_key "
    "AND substr(l.id, 5) = substr(a.id, 5) WHERE (a.id IS NULL OR "
    "a.subject LIKE '%%_RETURNS_PAYABLE') AND a.balance IS DISTINCT FROM l.minor",
    "SELECT h.id FROM hold h WHERE h.version <> (SELECT count(*) FROM outbox o "
    "WHERE o.aggregate_id = h.id AND starts_with(o.type, 'clearing.hold.'))",
]
"""Each finds what must not be."""


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    with databases.lent("clearing", Database) as database:
        yield database


@pytest.fixture
async def bus() -> AsyncIterator[InProcessBus]:
    topology = Topology.load(ROOT / "rabbitmq" / "definitions.json").scaled(0.001)
    bus = InProcessBus(topology)
    await bus.start()
    yield bus
    await bus.close()


class World:
    """The consumer on a store in memory, and the ledger's commands on the same books."""

    def __init__(self, bus: Bus) -> None:
        clock = SystemClock()
        self.store = MemoryStore(clock)
        self.core: Core[Any] = Core(
            store=self.store,
            aggregate=LEDGER,
            rules=RULES,
            records=[JOURNAL, ENTRY, ACT],
            encode=encode,
            publisher=Publisher(self.store, bus),
            clock=clock,
        )
        self.consumer: Consumer = consumers.ledger(self.core, BOOKINGS, CONFIG.chart, clock)

    async def hears(self, *events: event_pb2.Event) -> Verdict:
        [verdict] = await self.consumer.handle([delivery(*events)])
        return verdict

    async def do(self, *commands: Any) -> list[str]:
        """Each command as an item of one batch."""
        return reasons(await self.core.shell.process([item(command) for command in commands]))

    def balance(self, subject: str, owner: str = "") -> int:
        owner = owner or OWNERS.get(subject, "platform")
        account = self.rows(ACCOUNT).get(account_id_of(subject, owner, "CNY"))
        return account.balance.minor if account else 0

    @property
    def balances(self) -> dict[str, int]:
        """By subject, whoever is the owner; without those that are zero."""
        found: dict[str, int] = defaultdict(int)
        for account in self.rows(ACCOUNT).values():
            found[account.subject] += account.balance.minor
        return {subject: minor for subject, minor in found.items() if minor}

    @property
    def held(self) -> dict[str, int]:
        """By subject: what is held on it."""
        accounts = self.rows(ACCOUNT).values()
        return {a.subject: a.held_minor for a in accounts if a.held_minor}

    @property
    def journals(self) -> list[str]:
        return sorted(journal.event_type for journal in self.rows(JOURNAL).values())

    def hold(self, name: str) -> Hold:
        hold = self.rows(HOLD)[hold_id(name)]
        assert isinstance(hold, Hold)
        return hold

    def rows(self, kind: RowType[Any]) -> dict[str, Any]:
        return self.store.tables.get(kind, {})


@pytest.fixture
def book() -> Book:
    """ann has 500."""
    book = Book()
    book.post(top_up("ann", 500, key="0"))
    return book


@pytest.fixture
def world(bus: InProcessBus) -> World:
    return World(bus)


@pytest.fixture
def roles() -> set[str]:
    """Chores pass failpoints, too: where one is armed, `@pytest.mark.parametrize(*SERVE_ONLY)`."""
    return {"serve", "work"}


SERVE_ONLY: tuple[Any, ...] = ("roles", [{"serve"}])


@pytest.fixture
async def app(database: Database, bus: InProcessBus, roles: set[str]) -> AsyncIterator[App]:
    """Clearing in these roles, put together by its own bootstrap."""
    settings = ClearingSettings(
        clearing_database_url=database.app_url, drain_wait_s=0, listen="127.0.0.1:0"
    )
    app = build(settings, bus=bus, clock=SystemClock())
    await app.start(roles)
    yield app
    await app.stop()


@pytest.fixture
def core(app: App) -> Core[object]:
    return app.cores[0]


Stub = ledger_service_pb2_grpc.LedgerServiceStub


@pytest.fixture
async def stub(app: App) -> AsyncIterator[Stub]:
    """A client over a real connection."""
    assert app.server is not None
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{app.server.port}", options=[DIRECT]
    ) as channel:
        yield Stub(channel)


@pytest.fixture
async def books(database: Database, bus: InProcessBus) -> AsyncIterator[Books]:
    """Clearing that serves, without chores: a test closes days and makes snapshots when it will."""
    settings = ClearingSettings(
        clearing_database_url=database.app_url, drain_wait_s=0, listen="127.0.0.1:0"
    )
    app = build(settings, bus=bus, clock=SystemClock())
    await app.start({"serve"})
    assert app.server is not None
    async with books_of(app.server.port, database) as books:
        yield books
    await app.stop()
