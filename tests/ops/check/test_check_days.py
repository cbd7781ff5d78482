"""Invariant 2 at the end of closed days: snapshots and totals are sums of entries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import make_url

from clearing_svc.books.snapshots import Snapshots
from paymesh.db.engine import create_engine
from paymesh.store.postgres import PostgresStore
from tests.ops.check.check_world import World, check

DAYS = tuple(date(2026, 1, 5) + timedelta(days=n) for n in range(3))


@pytest.fixture
async def closed(world: World, only: Callable[[int], None]) -> World:
    """Its journals are of three days, all of them closed and with snapshots."""
    only(2)
    journals = world.values("clearing", "SELECT id FROM journal ORDER BY id")
    for id_, n in zip(journals, count()):
        world.run("clearing", "UPDATE journal SET accounting_date = %s WHERE id = %s",
                  DAYS[n % len(DAYS)], id_)  # fmt: skip
    for day in DAYS:
        world.run("clearing", "INSERT INTO accounting_day VALUES (%s, 1, now())", day)
    url = make_url(world.plan.admin_url).set(database=world.plan.databases["clearing"])
    engine = create_engine(url.render_as_string(hide_password=False), pool=1)
    assert await Snapshots(PostgresStore(engine)).run() == len(DAYS)
    await engine.dispose()
    return world


async def test_snapshots_as_they_are_made_tie_out(closed: World) -> None:
    assert closed.value("clearing", "SELECT count(*) FROM balance_snapshot") > len(DAYS)
    assert await check(closed.urls) == []


SNAPSHOT, TOTAL = "a snapshot is not", "the total of a closed day"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE balance_snapshot SET debit_minor = debit_minor + 1 WHERE day = '{1}'", SNAPSHOT),
        ("UPDATE balance_snapshot SET credit_minor = 0 WHERE day = '{2}'", SNAPSHOT),
        ("DELETE FROM balance_snapshot WHERE day = '{2}'", SNAPSHOT),
        ("UPDATE balance_snapshot SET day = '{0}'::date - 1 WHERE day = '{0}'", SNAPSHOT),
        ("UPDATE journal SET accounting_date = '{0}' WHERE accounting_date = '{2}'", SNAPSHOT),
        ("UPDATE day_total SET debit_minor = debit_minor + 1 WHERE day = '{1}'", TOTAL),
        ("UPDATE day_total SET credit_minor = credit_minor + 1 WHERE day = '{2}'", TOTAL),
        ("UPDATE day_total SET accounts = accounts + 1", TOTAL),
        ("DELETE FROM day_total WHERE day = '{1}' AND subject = 'CHANNEL_RECEIVABLE'", TOTAL),
    ],
)
async def test_a_closed_day_that_was_changed_is_found(
    damage: str, said: str, closed: World
) -> None:
    closed.run("clearing", damage.format(*DAYS))
    found: list[Any] = await check(closed.urls)
    assert {finding.invariant for finding in found} == {2}
    assert said in {" ".join(finding.title.split()[: len(said.split())]) for finding in found}


async def test_a_day_whose_snapshots_are_being_made_is_not_looked_at(closed: World) -> None:
    """Its total comes last."""
    closed.run("clearing", "DELETE FROM day_total WHERE day = %s", DAYS[2])
    closed.run("clearing", "DELETE FROM balance_snapshot WHERE day = %s AND shard_key %% 2 = 0",
               DAYS[2])  # fmt: skip
    assert await check(closed.urls) == []
