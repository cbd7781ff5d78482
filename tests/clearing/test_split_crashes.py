"""Whoever posts a split journal dies at any point of it, and somebody else finishes it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count

import psycopg
import pytest

from clearing_svc.ledger.splitting import OVER, SplitJournal
from paymesh import failpoint
from paymesh.db.migrate import ROOT
from paymesh.errors import PaymentError
from tests.clearing.conftest import Database
from tests.clearing.ledger_world import item, top_up
from tests.clearing.ledger_world import post as posting
from tests.clearing.split_child import FLOWS, clearing, post
from tests.clearing.split_world import all_is_well, balances, journals

pytestmark = pytest.mark.slow

POINTS = ["shell.before_commit", "shell.after_commit", "effect.before_call", "effect.after_call"]
ENDS = {"posted": "POSTED", "refused": "REFUSED", "suspended": "POSTED"}
BY_FLOW = pytest.mark.parametrize(
    "flow",
    [pytest.param(f, marks=pytest.mark.prove if n else pytest.mark.slow)
     for n, f in enumerate(FLOWS)],
)  # fmt: skip


@pytest.fixture
async def rich(database: Database) -> Database:
    """ann and bob have 10,000 each; eve's account is closed."""
    drafts = [top_up("ann", 10_000, key="a"), top_up("bob", 10_000, key="b")]
    async with clearing(database.app_url) as app:
        await app.cores[0].shell.process([item(posting(draft)) for draft in drafts])
        await app.cores[0].shell.process([item(posting(top_up("eve", 1, key="e")))])
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("UPDATE account SET status = 'CLOSED' WHERE owner = 'eve'")
    return database


async def finished(url: str, key: str, flow: str) -> SplitJournal:
    """Another process, with a sweeper; the caller asks again until he sees the end."""
    async with clearing(url, "work") as app:
        deadline = time.monotonic() + 60
        while (split := await post(app, key, flow)).state not in OVER:
            assert time.monotonic() < deadline, split
            await asyncio.sleep(0.05)
        return split


def as_if_never_disturbed(database: Database, flow: str, times: int) -> None:
    assert all_is_well(database)
    legs = {
        "posted": {"ann": -30, "bob": -20, "cyd": 35, "dan": 15},
        "refused": {},
        "suspended": {"ann": -5, "cyd": 2},
    }[flow]
    start = {"ann": 10_000, "bob": 10_000, "eve": 1}
    owners = {*start, *legs}
    expected = {o: start.get(o, 0) + times * legs.get(o, 0) for o in owners}
    assert balances(database) == expected
    suspended = times * 3 if flow == "suspended" else 0
    aside = {"eve": suspended} if suspended else {}
    assert balances(database, "USER_RETURNS_PAYABLE") == aside
    if flow == "posted":
        assert len(journals(database)) == 4 * times


@pytest.mark.parametrize("point", POINTS)
@BY_FLOW
async def test_a_fault_at_any_passage_of_any_point_is_finished(
    rich: Database, flow: str, point: str
) -> None:
    """Faults at the first, second, … passage, until there is none left to fail at."""
    for nth in count(1):
        failpoint.arm(f"{point}:{nth}:error")
        try:
            with suppress(PaymentError, failpoint.InjectedFault):
                async with clearing(rich.app_url) as app:
                    await post(app, f"{nth}", flow)
            fired = failpoint._passed[point] >= nth
        finally:
            failpoint.arm("")
        assert (await finished(rich.app_url, f"{nth}", flow)).state == ENDS[flow]
        if not fired:
            break
    assert nth > 3
    as_if_never_disturbed(rich, flow, nth)


async def test_left_alone_the_sweeper_finishes_it(rich: Database) -> None:
    """Nobody asks again: next_action_at is enough."""
    failpoint.arm("shell.after_commit:1:error")
    try:
        with suppress(PaymentError):
            async with clearing(rich.app_url) as app:
                await post(app, "1", "posted")
    finally:
        failpoint.arm("")
    under_way = "SELECT count(*) FROM split_journal WHERE next_action_at IS NOT NULL"
    assert rich.query(under_way) == [(1,)]
    async with clearing(rich.app_url, "work"):
        deadline = time.monotonic() + 60
        while rich.query(under_way) != [(0,)]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    as_if_never_disturbed(rich, "posted", 1)


@BY_FLOW
@pytest.mark.parametrize("nth", [1, pytest.param(3, marks=pytest.mark.prove)])
@pytest.mark.parametrize("point", POINTS)
async def test_a_process_that_is_killed_at_a_point_is_survived(
    rich: Database, flow: str, point: str, nth: int
) -> None:
    """SIGKILL: whatever else was under way in it is gone, too."""
    environment = {
        **os.environ,
        "FAILPOINT": f"{point}:{nth}:kill",
        "PYTHONPATH": f"{ROOT}:{ROOT}/gen",
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.clearing.split_child", rich.app_url, "1", flow),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert await asyncio.wait_for(child.wait(), 600) == -signal.SIGKILL
    assert (await finished(rich.app_url, "1", flow)).state == ENDS[flow]
    as_if_never_disturbed(rich, flow, 1)
