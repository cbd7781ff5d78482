"""Writes rows past all rules, as the superuser: in what state a mesh may be, or must not be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import make_url

from clearing_svc.books.balances import rows
from clearing_svc.books.chain import seal
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.drafts import account_id_of
from clearing_svc.ledger.loading import HERE, load_chart
from paymesh.ids import derived_id, shard_of
from paymesh_ops.check import Finding
from paymesh_ops.check import check as run
from paymesh_ops.launch.mesh import MeshPlan

AGO = 600.0
CHART = load_chart(HERE / "chart.yaml")
DEFAULTS = {"text": "", "bigint": 0, "smallint": 0, "boolean": False, "bytea": b"", "jsonb": "{}"}


def an_id(prefix: str, key: str) -> str:
    return derived_id(prefix, bucket=7, key=key)


async def check(*args: Any, **kwargs: Any) -> list[Finding]:
    """What was found, of whatever invariant."""
    return [finding for result in await run(*args, **kwargs) for finding in result.findings]


Leg = tuple[str, str, str, str, int]
"""One entry: side, subject, owner, reference, minor units."""


class World:
    def __init__(self, plan: MeshPlan) -> None:
        self.plan, self.urls = plan, dict(plan.reader_urls)
        self._dbs: dict[str, psycopg.Connection[Any]] = {}
        for service, database in plan.databases.items():
            url = make_url(plan.admin_url).set(database=database)
            self._dbs[service] = psycopg.connect(
                url.render_as_string(hide_password=False),
                autocommit=True,
                options="-c synchronous_commit=off",
            )
        self.chain = {"business_id": "", "parent_business_id": "", "traffic": "LIVE"}
        """What rows say of their chain."""
        self._tables: dict[str, list[str]] = {}
        self._columns: dict[tuple[str, str], dict[str, str]] = {}
        self._loosen()

    def close(self) -> None:
        for db in self._dbs.values():
            db.close()

    def run(self, service: str, statement: str, *parameters: object) -> None:
        self._dbs[service].execute(statement.encode(), parameters or None)

    def value(self, service: str, statement: str) -> Any:
        row = self._dbs[service].execute(statement.encode()).fetchone()
        return row[0] if row else None

    def values(self, service: str, statement: str) -> list[Any]:
        return [value for (value,) in self._dbs[service].execute(statement.encode()).fetchall()]

    def _loosen(self) -> None:
        """Takes away what would refuse corruption: CHECKs, unique keys, append-only triggers."""
        for service, db in self._dbs.items():
            for table, name in db.execute(
                "SELECT conrelid::regclass::text, conname FROM pg_constraint "
                "WHERE contype IN ('c', 'u') AND connamespace = 'public'::regnamespace"
            ).fetchall():
                self.run(service, f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            for (name,) in db.execute(
                "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class c ON c.oid = "
                "indexrelid WHERE indisunique AND NOT indisprimary AND relnamespace = "
                "'public'::regnamespace"
            ).fetchall():
                self.run(service, f"DROP INDEX {name}")
        # The triggers stay as they are: one of the invariants is that they do.
        self.run(
            "clearing",
            """
            CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                    RAISE EXCEPTION 'append-only';
                END IF;
                RETURN NULL;
            END $$""",
        )

    def tables(self, service: str) -> list[str]:
        if service not in self._tables:
            rows = self._dbs[service].execute(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
                "AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'"
            )
            self._tables[service] = [name for (name,) in rows]
        return self._tables[service]

    @contextmanager
    def of(self, business_id: str, parent: str = "") -> Iterator[None]:
        """Rows that are put in meanwhile belong to this chain."""
        before = self.chain
        self.chain = before | {"business_id": business_id, "parent_business_id": parent}
        yield
        self.chain = before

    def clear(self) -> None:
        for service in self._dbs:
            deletes = [f"DELETE FROM {table}" for table in self.tables(service)]
            self.run(service, ";".join(deletes))

    def restore(self, plant: Callable[[World], None]) -> None:
        """Everything as `plant` made it: planted once, then copied."""
        first = self.value("pay", "SELECT to_regclass('saved.payment')") is None
        if first:
            plant(self)
        for service in self._dbs:
            copies = ["CREATE SCHEMA saved"] if first else []
            for t in self.tables(service):
                make, insert = f"CREATE TABLE saved.{t} AS TABLE {t}", f"INSERT INTO {t} "
                copies.append(make if first else insert + f"TABLE saved.{t}")
            self.run(service, ";".join(copies))

    def put(self, service: str, table: str, **values: object) -> None:
        """Inserts a row; what is not said is empty, zero or NULL. The database numbers postings."""
        key = (service, table)
        if key not in self._columns:
            rows = self._dbs[service].execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_name = %s AND is_nullable = 'NO' AND column_name <> 'posting'",
                [table],
            )
            self._columns[key] = dict(rows.fetchall())
        row: dict[str, Any] = {}
        for name, type_ in self._columns[key].items():
            row[name] = DEFAULTS.get(type_, Ago(AGO))
        row |= {"version": 1} if "version" in row else {}
        row |= self.chain if "business_id" in row else {}
        row |= values
        row.setdefault("shard_key", 0)
        id_ = str(row.get("id") or row.get("event_id") or "")
        if len(id_) == len("xxx_") + 28 and "shard_key" not in values:
            row["shard_key"] = shard_of(id_)
        names, marks, values_ = [], [], []
        for name, value in row.items():
            names.append(name)
            ago = isinstance(value, Ago)
            marks.append("now() - make_interval(secs => %s)" if ago else "%s")
            values_.append(value.seconds if isinstance(value, Ago) else value)
        self.run(
            service,
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(marks)})",
            *values_,
        )

    # What rows go together

    def event(
        self, service: str, id_: str, type_: str, sequence: int, state: str,
        *heard_by: str, ago: float = AGO,
    ) -> str:  # fmt: skip
        """An entry of a row's log; published if queues heard of it."""
        event_id = an_id("evt", f"{id_}:{type_}:{sequence}")
        self.put(
            service, "outbox", event_id=event_id, type=type_, aggregate_id=id_, sequence=sequence,
            state=state, occurred_at=Ago(ago - sequence / 10), published=bool(heard_by),
        )  # fmt: skip
        for queue in heard_by:
            self.heard(queue.split(".")[0], queue, event_id)
        return event_id

    def history(self, service: str, id_: str, type_: str, *states: str, ago: float = AGO) -> None:
        """The log of one row; the names of its events follow from the states."""
        for sequence, state in enumerate(states, start=1):
            self.event(service, id_, f"{type_}.{state.lower()}", sequence, state, ago=ago)

    def heard(self, service: str, queue: str, message_id: str, shard: int = 7) -> None:
        self.put(service, "inbox", consumer=queue, message_id=message_id, shard_key=shard)

    def journal(
        self, event_type: str, key: str, *legs: Leg, name: str = "", ago: float = AGO
    ) -> str:
        """Books it: journal, entries, balances."""
        id_ = an_id("jrn", event_type + key + name)
        self.put("clearing", "journal", id=id_, event_type=event_type, business_key=key,
                 posted_at=Ago(ago))  # fmt: skip
        for line, (side, subject, owner, reference, minor) in enumerate(legs, start=1):
            sign = 1 if Side(side) is CHART[subject].normal_side else -1
            account = self.account(subject, owner, balance=sign * minor)
            self.put("clearing", "entry", shard_key=shard_of(account), journal_id=id_, line=line,
                     account_id=account, side=side, amount_minor=minor, amount_currency="EUR",
                     reference=reference)  # fmt: skip
        return id_

    def account(self, subject: str, owner: str, *, balance: int = 0, held: int = 0) -> str:
        """So much more on it, beside it if it is BUFFERED; so much more held; its id."""
        id_, of_chart = account_id_of(subject, owner, "EUR"), CHART[subject]
        mode = self.value("clearing", f"SELECT mode FROM account WHERE id = '{id_}'")
        if mode is None:
            self.put("clearing", "account", id=id_, status="OPEN", mode="DIRECT", subject=subject,
                     owner=owner, normal_side=of_chart.normal_side, balance_currency="EUR",
                     minimum_minor=of_chart.minimum_in("EUR"),
                     maximum_minor=of_chart.maximum_in("EUR"))  # fmt: skip
        if mode == "BUFFERED" and balance:
            self.put("clearing", "account_delta", shard_key=shard_of(id_), account_id=id_,
                     delta_minor=balance)  # fmt: skip
            balance = 0
        self.run("clearing", "UPDATE account SET balance_minor = balance_minor + %s, "
                 "held_minor = held_minor + %s WHERE id = %s", balance, held, id_)  # fmt: skip
        return id_

    def seal(self) -> None:
        """A new chain, of one block with all that is booked so far."""

        async def sealed() -> None:
            url = make_url(self.plan.admin_url).set(database=self.plan.databases["clearing"])
            plain = url.render_as_string(hide_password=False)
            async with await psycopg.AsyncConnection.connect(plain) as connection:
                await rows(connection, "DELETE FROM block")
                [(own,)] = await rows(connection, "SELECT pg_current_xact_id()::text::bigint")
                await seal(connection, own)

        with ThreadPoolExecutor(1) as thread:  # a test may have a loop that runs
            thread.submit(asyncio.run, sealed()).result()

    def buffer(self, subject: str, owner: str) -> None:
        """What is booked from now on waits beside the account."""
        id_ = account_id_of(subject, owner, "EUR")
        self.run("clearing", "UPDATE account SET mode = 'BUFFERED' WHERE id = %s", id_)


def on(*subjects: str) -> str:
    """SQL that chooses the entries on the accounts of these subjects."""
    names = ", ".join(f"'{subject}'" for subject in subjects)
    return f"account_id IN (SELECT id FROM account WHERE subject IN ({names}))"


def between(debit: tuple[str, str, str], credit: tuple[str, str, str], minor: int) -> list[Leg]:
    """The legs of a journal with one debit and one credit: subject, owner, reference."""
    return [("DEBIT", *debit, minor), ("CREDIT", *credit, minor)]


class Ago:
    """So many seconds before now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
