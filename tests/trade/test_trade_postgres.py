"""The trade core on its real store: many at once, old rows, and the database's own last word."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import grpc
import psycopg
import pytest
from alembic import command

from paymesh.db.engine import create_engine
from paymesh.db.migrate import _config, _connected, differences, migrate
from paymesh.errors import Unavailable
from paymesh.ids import new_id
from paymesh.store.postgres import PostgresStore
from paymesh.tools import ToolKind
from tests.databases import Databases
from tests.trade.actors import PaymentCore, succeeds
from tests.trade.trade_world import Database, Shop, Trades, money, refusal, until
from trade_svc.store import TRADES, metadata
from trade_svc.types.declaration import TradeState


async def test_of_a_hundred_refunds_at_once_exactly_three_fit(
    trades: Trades, payments: PaymentCore, database: Database
) -> None:
    """100 x 30.00 of 100.00, at two processes: 90.00 are given back, 10.00 are left."""
    channels = [trades.caller(await trades.start("serve", "work")) for _ in range(2)]
    shop = await Shop.opened(channels[0])
    other = Shop.at(channels[1], shop.merchant_id)
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")

    async def refund(caller: Shop) -> str:
        try:
            await caller.gives_back(trade, 30_00)
        except grpc.aio.AioRpcError as refused:
            return refused.code().name
        return "OK"

    outcomes = await asyncio.gather(*(refund([shop, other][n % 2]) for n in range(100)))
    assert Counter(outcomes) == {"OK": 3, "FAILED_PRECONDITION": 97}
    found = await shop.refunded(trade, *["SUCCEEDED"] * 3)
    assert (found.refunded_amount, found.refunding_amount) == (money(90_00), money(0))
    refused = await refusal(shop.gives_back(trade, 10_01))
    assert refused.metadata == {"refundable_minor_units": "1000"}
    refunds = [asked for asked in payments.asked.values() if asked.original_payment_id]
    assert [asked.amount for asked in refunds] == [money(30_00)] * 3
    # Each version has its event: created, paying, paid; three times refunding and refunded.
    log = database.query(
        "SELECT sequence FROM outbox WHERE aggregate_id = %s ORDER BY sequence", trade.trade_id
    )
    assert log == [(n,) for n in range(1, found.version + 1)]
    assert found.version == 9


async def test_a_payment_races_with_a_close_and_one_wins(
    trades: Trades, payments: PaymentCore
) -> None:
    """At two processes, ten times over: money that came too late is asked back."""
    channels = [trades.caller(await trades.start("serve", "work")) for _ in range(2)]
    shop = await Shop.opened(channels[0])
    other = Shop.at(channels[1], shop.merchant_id)
    payments.decides = succeeds
    for _ in range(10):
        trade = await shop.orders()
        paid, closed = await asyncio.gather(
            shop.pays(trade), other.closes(trade), return_exceptions=True
        )
        if isinstance(closed, BaseException):
            assert (await shop.reaches(trade, "PAID")).paid_payment_id == paid.payment_id
            continue
        assert (await shop.reaches(trade, "CLOSED")).paid_payment_id == ""
        if not isinstance(paid, BaseException):
            await until(lambda paid=paid: _asked_back(payments, paid.payment_id))


async def _asked_back(payments: PaymentCore, payment_id: str) -> bool:
    return payment_id in payments.cancelled


async def test_a_trade_and_its_refunds_are_read_as_of_one_moment(
    trades: Trades, payments: PaymentCore, database: Database
) -> None:
    """A refund ends between the reading of the trade and of its refunds: both are as before."""
    shop = await Shop.opened(trades.caller(await trades.start("serve")))
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    payments.decides = lambda request: Unavailable("not now")
    await shop.gives_back(trade, 30_00)
    before = await shop.trade(trade)
    async with await psycopg.AsyncConnection.connect(database.admin_url) as connection:
        await connection.execute("LOCK TABLE refund IN ACCESS EXCLUSIVE MODE")
        reading = asyncio.create_task(shop.trade(trade))
        await until(lambda: _waits(database))
        await connection.execute("UPDATE trade SET refunding_minor = 0, refunded_minor = 3000")
        await connection.execute("UPDATE refund SET state = 'SUCCEEDED'")
    assert await reading == before
    assert (await shop.trade(trade)).refunded_amount == money(30_00)


async def _waits(database: Database) -> bool:
    """Whether somebody waits for a lock."""
    return bool(database.waiting())


# The database


OLD_TRADE = """
    INSERT INTO trade (shard_key, id, business_id, merchant_id, order_type, sub_type, pay_org_no,
        traffic, parent_business_id, version, state, type, merchant_order_no, amount_minor,
        amount_currency, subject, payer_id, expires_at, created_at, paid_at, closed_at,
        paid_payment_id, next_action_at, action_attempts)
    VALUES (77, %s, 'biz_1', 'mer_1', 'web', '', '', 'LIVE', '', 3, 'PAID', 'INSTANT', 'order-1',
        10000, 'EUR', 'Shoes', '', %s, %s, %s, NULL, %s, NULL, 0)
"""
OLD_ATTEMPT = """
    INSERT INTO attempt (shard_key, id, business_id, merchant_id, order_type, sub_type, pay_org_no,
        traffic, parent_business_id, version, state, trade_id, tools, created_at)
    VALUES (77, %s, 'biz_1', 'mer_1', 'web', '', '', 'LIVE', '', 2, 'SUCCEEDED', %s, %s, %s)
"""


async def test_rows_from_before_are_read_as_they_were_meant(databases: Databases) -> None:
    """A trade paid under the first schema has no parties and no refunds, and can be refunded."""
    database = databases.new("trade", Database, migrated=False)
    config = _config("trade")
    with _connected(database.owner_url) as connection:
        config.attributes["connection"] = connection
        config.attributes["app_role"] = "paymesh_trade_app"
        command.upgrade(config, "trade_0001")
    trade_id, payment_id = new_id("trd", bucket=77), new_id("pay", bucket=77)
    now = datetime.now(UTC)
    tools = json.dumps([{"channel": "sandbox", "minor": 10000, "currency": "EUR"}])
    database.execute(OLD_TRADE, trade_id, now, now, now, payment_id)
    database.execute(OLD_ATTEMPT, payment_id, trade_id, tools, now)

    migrate("trade", database.owner_url, app_role="paymesh_trade_app")
    assert differences("trade", database.owner_url, metadata) == []
    engine = create_engine(database.app_url, pool=1)
    view = (await PostgresStore(engine).load(TRADES, [trade_id]))[trade_id]
    await engine.dispose()
    trade, [attempt] = view.trade, view.attempts
    assert (trade.state, trade.payee_id, trade.beneficiary_id) == (TradeState.PAID, "", "")
    assert (trade.refundable_minor, view.refunds) == (10000, ())
    assert (attempt.tools[0].kind, attempt.failure_reason) == (ToolKind.CHANNEL, "")


async def broken(database: Database, statement: str, *parameters: object) -> str:
    """The constraint that refuses the statement."""
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        # In a thread: it may have to wait for a transaction of ours.
        await asyncio.to_thread(database.execute, statement, *parameters)
    return str(refused.value.diag.constraint_name)


@pytest.mark.parametrize(("change", "constraint"), [
    ("refunding_minor = 10001", "trade_refunds_fit"),
    ("refunded_minor = 10000, refunding_minor = 1", "trade_refunds_fit"),
    ("refunded_minor = -1", "trade_refunds_fit"),
    ("refunding_minor = -1, refunded_minor = 5", "trade_refunds_fit"),
    ("refunded_minor = 9223372036854775807", "trade_refunds_fit"),
    ("state = 'RETURNED', paid_payment_id = ''", "trade_paid_has_its_payment"),
    ("state = 'CLOSED'", "trade_paid_has_its_payment"),
])  # fmt: skip
async def test_the_table_itself_refuses_what_must_not_be(
    change: str, constraint: str, shop: Shop, payments: PaymentCore, database: Database
) -> None:
    """The last line of defence, whatever the rules above it do."""
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    update = f"UPDATE trade SET {change} WHERE id = %s"
    assert await broken(database, update, trade.trade_id) == constraint


async def test_a_payment_carries_out_one_refund(
    shop: Shop, payments: PaymentCore, database: Database
) -> None:
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    first, second = await shop.gives_back(trade, 1), await shop.gives_back(trade, 2)
    update = "UPDATE refund SET payment_id = %s WHERE id = %s"
    found = await broken(database, update, first.payment_id, second.refund_id)
    assert found == "refund_one_payment"


async def test_a_core_that_died_is_followed_by_one_that_goes_on(
    trades: Trades, payments: PaymentCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refund was reserved and never asked for: another process finds it due."""
    first = await trades.start("serve")
    shop = await Shop.opened(trades.caller(first))
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    for act in ("offer", "start"):
        monkeypatch.setattr(first.cores[0].executor, act, _nothing)
    refund = await shop.gives_back(trade, 30_00)
    assert refund.payment_id not in payments.asked
    await trades.start("work")
    await shop.refunded(trade, "SUCCEEDED")


def _nothing(effects: Any, **_: Any) -> None:
    """As if the process had been killed after its commit."""
