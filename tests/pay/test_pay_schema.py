"""Tables of the payment core: what older versions left, and what the database itself refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command

from pay_svc.payments.model import InstructionKind, PaymentState, Purpose
from pay_svc.payments.steps import instruction_id
from pay_svc.store import PAYMENTS, metadata
from paymesh.db import migrate as migrations
from paymesh.db.engine import create_engine
from paymesh.db.migrate import differences, migrate
from paymesh.ids import body_of, shard_of
from paymesh.store.postgres import PostgresStore
from paymesh.tools import Tool, ToolKind
from tests.databases import Database, Databases
from tests.pay.drive import AT, PAYMENT_ID, TRADE_ID, eur

COLLECT_ID = instruction_id(PAYMENT_ID, "collect:0")
CONTEXT = "'biz_1', 'mer_1', 'shop', 'books', '2088', 'LIVE', ''"
OLD_PAYMENT = f"""
    INSERT INTO payment (shard_key, id, business_id, merchant_id, order_type, sub_type,
        pay_org_no, traffic, parent_business_id, version, state, trade_id, purpose, amount_minor,
        amount_currency, tools, subject, expires_at, created_at, owner, next_action_at,
        action_attempts)
    VALUES (%s, %s, {CONTEXT}, 1, 'PROCESSING', %s, 'PURCHASE', 1234, 'EUR',
        '[{{"channel": "sandbox", "minor": 1234, "currency": "EUR"}}]', 'books', %s, %s, '',
        now(), 0)
"""
OLD_INSTRUCTION = f"""
    INSERT INTO instruction (shard_key, id, business_id, merchant_id, order_type, sub_type,
        pay_org_no, traffic, parent_business_id, version, state, payment_id, kind, amount_minor,
        amount_currency, channel, request_no, created_at, compensates, channel_txn_id)
    VALUES (%s, %s, {CONTEXT}, 1, 'PROCESSING', %s, 'CHANNEL_COLLECT', 1234, 'EUR', 'sandbox', %s,
        %s, '', '')
"""


@pytest.fixture
def old(databases: Databases) -> Database:
    """A database of the first version, with a payment on its way."""
    database = databases.new("pay", migrated=False)
    url = sa.make_url(database.owner_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    config = migrations._config("pay")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        config.attributes["app_role"] = "paymesh_pay_app"
        command.upgrade(config, "pay_0001")
    shard = shard_of(PAYMENT_ID)
    database.query(OLD_PAYMENT, shard, PAYMENT_ID, TRADE_ID, AT, AT)
    database.query(OLD_INSTRUCTION, shard, COLLECT_ID, PAYMENT_ID, body_of(COLLECT_ID), AT)
    return database


async def test_payments_of_the_first_version_go_on(old: Database) -> None:
    """They are read as they were meant, and the tables are what the code declares."""
    migrate("pay", old.owner_url, app_role="paymesh_pay_app")
    engine = create_engine(old.app_url, pool=1)
    view = (await PostgresStore(engine).load(PAYMENTS, [PAYMENT_ID]))[PAYMENT_ID]
    await engine.dispose()
    assert (view.payment.state, view.payment.purpose) == (
        PaymentState.PROCESSING,
        Purpose.PURCHASE,
    )
    assert view.payment.tools == (Tool("sandbox", eur(1234), ToolKind.CHANNEL),)
    assert view.payment.payer_id == view.payment.failure_reason == ""
    [collect] = view.instructions
    assert (collect.kind, collect.hold_id, collect.hold_sources) == (
        InstructionKind.CHANNEL_COLLECT,
        "",
        (),
    )
    assert differences("pay", old.owner_url, metadata) == []


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("payment SET purpose = 'WITHDRAWAL'", "payment_withdrawal_has_beneficiary"),
        ("payment SET beneficiary_id = 'ben_1'", "payment_withdrawal_has_beneficiary"),
        ("payment SET purpose = 'REFUND'", "payment_refund_has_original"),
        ("payment SET next_action_at = NULL", "payment_is_looked_after"),
        ("instruction SET kind = 'HOLD'", "instruction_hold_has_id"),
        ("beneficiary SET sealed_account_no = ''", "beneficiary_has_its_number"),
    ],
)
def test_the_database_refuses_what_no_rule_would_write(
    database: Database, change: str, constraint: str
) -> None:
    shard, now = shard_of(PAYMENT_ID), datetime.now(UTC)
    new = ", payer_id, beneficiary_id, payout_channel, original_payment_id, failure_reason)"
    insert = OLD_PAYMENT.replace("action_attempts)", "action_attempts" + new)
    insert = insert.replace("now(), 0)", "now(), 0, '', '', '', '', '')")
    database.query(insert, shard, PAYMENT_ID, TRADE_ID, now, now)
    new = ", hold_id, hold_sources, failure_reason)"
    insert = OLD_INSTRUCTION.replace("channel_txn_id)", "channel_txn_id" + new)
    insert = insert.replace("'', '')", "'', '', '', '[]', '')")
    database.query(insert, shard, COLLECT_ID, PAYMENT_ID, body_of(COLLECT_ID), now)
    database.query(
        f"INSERT INTO beneficiary VALUES (1, 'ben_1', {CONTEXT}, 1, 'ACTIVE', 'ann', 'bank', "
        "'sealed', '*', 'Ann', now(), now())"
    )
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        database.query(f"UPDATE {change}")
    assert refused.value.diag.constraint_name == constraint
