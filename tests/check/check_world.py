"""Writes rows past all rules, as the superuser: whole chains, and what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from sqlalchemy import make_url

from paymesh.ids import bucket_of, derived_id
from paymesh.launch.mesh import MeshPlan

BUSINESS = "biz_1"
AGO = 600.0
DEFAULTS = {"text": "", "bigint": 0, "smallint": 0, "boolean": False, "bytea": b"", "jsonb": "{}"}


def an_id(prefix: str, key: str) -> str:
    return derived_id(prefix, bucket=7, key=key)


TRADE, FIRST, SECOND = an_id("trd", "t"), an_id("pmt", "1"), an_id("pmt", "2")
COLLECT = {FIRST: an_id("ins", "c1"), SECOND: an_id("ins", "c2")}
RETURN = an_id("ins", "r1")
STREAM, NOTIFICATION = an_id("nts", "t"), an_id("ntf", "t")
ORDER = {ins: "chn_" + ins.split("_")[1] for ins in (*COLLECT.values(), RETURN)}


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
        for table in ("journal", "entry"):  # ENABLE ALWAYS: session_replication_role is not enough
            self.run("clearing", f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only")

    def tables(self, service: str) -> list[str]:
        if service not in self._tables:
            rows = self._dbs[service].execute(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
                "AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'"
            )
            self._tables[service] = [name for (name,) in rows]
        return self._tables[service]

    def clear(self) -> None:
        for service in self._dbs:
            deletes = [f"DELETE FROM {table}" for table in self.tables(service)]
            self.run(service, ";".join(deletes))

    def restore(self) -> None:
        """The chain as `plant` made it: planted once, then copied."""
        first = self.value("pay", "SELECT to_regclass('saved.payment')") is None
        if first:
            self.plant()
        for service in self._dbs:
            copies = ["CREATE SCHEMA saved"] if first else []
            for t in self.tables(service):
                make, insert = f"CREATE TABLE saved.{t} AS TABLE {t}", f"INSERT INTO {t} "
                copies.append(make if first else insert + f"TABLE saved.{t}")
            self.run(service, ";".join(copies))

    def put(self, service: str, table: str, **values: object) -> None:
        """Inserts a row; what is not said is empty, zero or NULL."""
        key = (service, table)
        if key not in self._columns:
            rows = self._dbs[service].execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_name = %s AND is_nullable = 'NO'",
                [table],
            )
            self._columns[key] = dict(rows.fetchall())
        row: dict[str, Any] = {}
        for name, type_ in self._columns[key].items():
            row[name] = DEFAULTS.get(type_, _Ago(AGO))
        row |= {"business_id": BUSINESS, "traffic": "LIVE"} if "business_id" in row else {}
        if "version" in row:
            row["version"] = 1
        row |= values
        names, marks, values_ = [], [], []
        for name, value in row.items():
            names.append(name)
            ago = isinstance(value, _Ago)
            marks.append("now() - make_interval(secs => %s)" if ago else "%s")
            values_.append(value.seconds if isinstance(value, _Ago) else value)
        self.run(
            service,
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(marks)})",
            *values_,
        )

    # A chain

    def history(self, service: str, id_: str, type_: str, *states: str, ago: float = AGO) -> None:
        """The log of one row; the names of its events follow from the states."""
        for sequence, state in enumerate(states, start=1):
            self.event(service, id_, f"{type_}.{state.lower()}", sequence, state, ago=ago)

    def event(
        self, service: str, id_: str, type_: str, sequence: int, state: str,
        *, published: bool = False, ago: float = AGO,
    ) -> str:  # fmt: skip
        event_id = an_id("evt", f"{id_}:{type_}:{sequence}")
        self.put(
            service, "outbox", event_id=event_id, type=type_, aggregate_id=id_, sequence=sequence,
            state=state, occurred_at=_Ago(ago - sequence / 10), published=published,
        )  # fmt: skip
        return event_id

    def heard(self, service: str, queue: str, message_id: str, shard: int = 7) -> None:
        self.put(service, "inbox", consumer=queue, message_id=message_id, shard_key=shard)

    def told(self, service: str, queue: str, to: str, *event: Any, **kwargs: Any) -> None:
        """An event that was published and heard."""
        self.heard(to, queue, self.event(service, *event, published=True, **kwargs))

    def plant(self) -> None:
        """A trade paid at its second attempt; the first one succeeded too late and went back."""
        money = {"amount_minor": 1299, "amount_currency": "EUR"}
        tools = json.dumps([{"channel": "sandbox", "minor": 1299, "currency": "EUR"}])
        self.put("trade", "trade", id=TRADE, version=4, state="PAID", type="INSTANT",
                 merchant_order_no="A-1", merchant_id="m1", paid_payment_id=SECOND,
                 subject="Tea", **money)  # fmt: skip
        self.history("trade", TRADE, "trade.trade", "PENDING", "PAYING", "PAYING")
        for queue, to in (("clearing.ledger", "clearing"), ("trade.notifications", "trade")):
            paid = an_id("evt", f"{TRADE}:trade.trade.paid:4")
            self.heard(to, queue, paid)
        self.event("trade", TRADE, "trade.trade.paid", 4, "PAID", published=True)
        attempts = {
            FIRST: ("PROCESSING", "CLOSING", "RETURNING", "RETURNED"),
            SECOND: ("PROCESSING", "SUCCEEDED"),
        }
        for id_, states in attempts.items():
            self.put("trade", "attempt", id=id_, version=len(states), state=states[-1],
                     trade_id=TRADE, tools=tools)  # fmt: skip
            self.history("trade", id_, "trade.attempt", *states)
        self.put("trade", "notification_stream", id=STREAM, version=2, trade_id=TRADE)
        self.put("trade", "notification", id=NOTIFICATION, version=2, state="DELIVERED",
                 stream_id=STREAM, sequence=4, body='{"id":"x"}')  # fmt: skip
        self.history("trade", NOTIFICATION, "trade.notification", "PENDING", "DELIVERED")
        self._pay(money, tools)
        self.journal("trade.trade.paid/attribution", TRADE, ("PAYER_TRANSIT", "platform", SECOND),
                     ("MERCHANT_PENDING", "m1", TRADE), 1299)  # fmt: skip
        self.journal("trade.trade.paid/fee", TRADE, ("MERCHANT_PENDING", "m1", TRADE),
                     ("FEE_INCOME", "platform", TRADE), 8)  # fmt: skip

    def _pay(self, money: dict[str, Any], tools: str) -> None:
        for id_, states in {
            FIRST: ("PROCESSING", "SUCCEEDED", "RETURNING", "RETURNED"),
            SECOND: ("PROCESSING", "SUCCEEDED"),
        }.items():
            self.put("pay", "payment", id=id_, version=len(states), state=states[-1],
                     trade_id=TRADE, tools=tools, **money)  # fmt: skip
            for n, state in enumerate(states, start=1):
                if state in {"SUCCEEDED", "RETURNED"}:
                    self.told("pay", "trade.payments", "trade", id_,
                              f"pay.payment.{state.lower()}", n, state)  # fmt: skip
                else:
                    self.event("pay", id_, f"pay.payment.{state.lower()}", n, state)
        for ins, payment, kind in (
            (COLLECT[FIRST], FIRST, "COLLECT"), (COLLECT[SECOND], SECOND, "COLLECT"),
            (RETURN, FIRST, "REFUND"),
        ):  # fmt: skip
            self.put("pay", "instruction", id=ins, version=2, state="SUCCEEDED", payment_id=payment,
                     kind=f"CHANNEL_{kind}", channel="sandbox", request_no=ins.split("_")[1],
                     **money)  # fmt: skip
            self.event("pay", ins, "pay.instruction.started", 1, "PROCESSING")
            self.told("pay", "clearing.ledger", "clearing", ins, "pay.instruction.succeeded", 2,
                      "SUCCEEDED")  # fmt: skip
            sides = ("CHANNEL_RECEIVABLE", "sandbox:org", ""), (
                "PAYER_TRANSIT", "platform", payment)  # fmt: skip
            debit, credit = sides if kind == "COLLECT" else sides[::-1]
            self.journal(f"pay.instruction.succeeded/{kind.lower()}", ins, debit, credit, 1299)
            self._order(ins, payment, kind, money)

    def _order(self, ins: str, payment: str, kind: str, money: dict[str, Any]) -> None:
        states = ("PENDING", "PROCESSING") if kind == "REFUND" else ("PENDING", "AWAITING_PAYER")
        order, number = ORDER[ins], ins.split("_")[1]
        self.put("gateway", "channel_order", id=order, version=3, state="SUCCEEDED", kind=kind,
                 channel="sandbox", pay_org_no="org", request_no=number, reference=payment,
                 moved_amount_minor=1299, moved_amount_currency="EUR", channel_txn_id=number,
                 **money)  # fmt: skip
        self.history("gateway", order, "gateway.channel", *states)
        self.told("gateway", "pay.channel-results", "pay", order, "gateway.channel.result", 3,
                  "SUCCEEDED")  # fmt: skip
        self.put("gateway", "callback", id=an_id("cbk", ins), channel="sandbox", matched=True,
                 callback_id=f"cb-{number}", request_no=number)  # fmt: skip
        self.heard("gateway", "callback.sandbox", f"cb-{number}")

    def journal(
        self, event_type: str, key: str, debit: tuple[str, str, str],
        credit: tuple[str, str, str], minor: int, *, name: str = "",
    ) -> str:  # fmt: skip
        """Books it: journal, entries, balances."""
        id_ = an_id("jrn", event_type + key + name)
        self.put("clearing", "journal", id=id_, event_type=event_type, business_key=key)
        for line, (side, (subject, owner, reference)) in enumerate(
            (("DEBIT", debit), ("CREDIT", credit)), start=1
        ):
            account = derived_id("acc", bucket=bucket_of(owner), key=subject + owner)
            self.put("clearing", "entry", id=an_id("ent", f"{id_}{line}"), journal_id=id_,
                     line=line, account_id=account, subject=subject, owner=owner, side=side,
                     amount_minor=minor, amount_currency="EUR", reference=reference)  # fmt: skip
            normal = "DEBIT" if subject == "CHANNEL_RECEIVABLE" else "CREDIT"
            known = self.value("clearing", f"SELECT 1 FROM account WHERE id = '{account}'")
            if known is None:
                self.put("clearing", "account", id=account, status="OPEN", subject=subject,
                         owner=owner, normal_side=normal, balance_currency="EUR",
                         minimum_minor=0 if subject == "MERCHANT_PENDING" else None)  # fmt: skip
            self.run("clearing", "UPDATE account SET balance_minor = balance_minor + %s "
                     "WHERE id = %s", minor if side == normal else -minor, account)  # fmt: skip
        return id_


class _Ago:
    """So many seconds before now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Ago = _Ago
