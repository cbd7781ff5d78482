"""The schema: what the migrations make is what the code declares, and old rows live on in it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic import command

from gateway_svc.orders.model import OrderKind, OrderState, order_id_of
from gateway_svc.store import ORDERS, metadata
from paymesh.db import migrate
from paymesh.db.engine import create_engine
from paymesh.store.postgres import PostgresStore
from tests.databases import Databases
from tests.gateway.gateway_world import Database, new_request_no

CHECKS = """
    SELECT conname, pg_get_constraintdef(c.oid) FROM pg_constraint c
    JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE c.contype = 'c' AND t.relname = 'channel_order' AND n.nspname = %s ORDER BY 1
"""


def test_the_database_is_what_the_code_declares(migrated: Database) -> None:
    """The migrations leave no difference to the tables in store.py."""
    assert migrate.differences("gateway", migrated.owner_url, metadata) == []


def test_the_checks_are_what_the_code_declares(migrated: Database) -> None:
    """They are not among the differences: so the table is made anew, and compared."""
    url = sa.make_url(migrated.admin_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE SCHEMA declared"))
        connection.execute(sa.text("SET search_path TO declared"))
        metadata.tables["channel_order"].create(connection)
        both = [
            connection.exec_driver_sql(CHECKS, (schema,)).all() for schema in ("declared", "public")
        ]
        connection.rollback()
    assert both[0] == both[1]
    assert len(both[0]) == 4


@pytest.fixture
def old_database(databases: Databases) -> Database:
    """As it was before payouts, with one order, that was paid."""
    database = databases.new("gateway", Database, migrated=False)
    config = migrate._config("gateway")
    with migrate._connected(database.owner_url) as connection:
        config.attributes["connection"] = connection
        config.attributes["app_role"] = "paymesh_gateway_app"
        command.upgrade(config, "gateway_0001")
    database.execute(
        "INSERT INTO channel_order VALUES (0, %s, 'biz_1', 'mer_1', '', '', '2088', 'LIVE', '', 2,"
        " 'SUCCEEDED', 'COLLECT', 'sandbox', %s, 1234, 'CNY', 'Tea', now(), now(), 'pay_1', '',"
        " 1234, 'CNY', '42', now(), '', '{}', NULL, 0)",
        order_id_of(NO),
        NO,
    )
    return database


NO = "aa" + new_request_no()[2:]
"""Of the first shard."""


async def test_orders_from_before_payouts_can_be_read(old_database: Database) -> None:
    migrate.migrate("gateway", old_database.owner_url, app_role="paymesh_gateway_app")
    engine = create_engine(old_database.app_url, pool=1)
    order = (await PostgresStore(engine).load(ORDERS, [order_id_of(NO)]))[order_id_of(NO)].order
    await engine.dispose()
    assert order is not None
    assert (order.kind, order.state) == (OrderKind.COLLECT, OrderState.SUCCEEDED)
    assert (order.sealed_payee, order.payee_digest) == (b"", "")
