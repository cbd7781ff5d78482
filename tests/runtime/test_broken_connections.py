"""Connections that break in the middle of a batch: nothing is half, nothing is twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

import pytest
from sqlalchemy import make_url

from paymesh.core import View
from paymesh.db.engine import create_engine
from paymesh.ids import new_id
from paymesh.shell import Rule, Shell
from paymesh.store.port import MessageKey
from paymesh.store.postgres import PostgresStore
from tests.runtime.cutting_proxy import CuttingProxy
from tests.runtime.world import (
    BUCKET,
    Database,
    create,
    done,
    one,
    pay,
    payment_moved,
    pending,
    shell_on,
    trade_of,
    verdicts,
)
from trade_svc.store import TRADES
from trade_svc.trades.domain import create_trade
from trade_svc.trades.model import CreateTrade, PaymentOutcome, TradeState, TradeView

TradeShell = Shell[TradeView]


def killing(database: Database, *, times: int) -> Rule:
    """A rule during which the connection of its own transaction dies, the first `times` times."""
    left = [times]

    def rule(state: TradeView, command: CreateTrade, at: datetime, view: View) -> Any:
        if left[0] > 0:
            left[0] -= 1
            database.kill_open_transactions()
        return create_trade(state, command, at, view)

    return rule


async def test_a_connection_that_dies_before_the_commit_is_tried_again(
    shell: TradeShell, database: Database
) -> None:
    rule = killing(database, times=1)
    fragile = shell_on(shell.store, rules={CreateTrade: rule})
    outcomes = await fragile.process([create("a"), create("b")])
    assert verdicts(outcomes) == ["OK", "OK"]
    assert database.transactions("trade") == 1
    assert database.count("trade") == database.count("request_answer") == 2


async def test_a_database_that_keeps_dying_is_unavailable_and_nothing_is_half(
    shell: TradeShell, database: Database
) -> None:
    """The caller repeats the same request, which then is decided once."""
    item = create("a")
    fragile = shell_on(shell.store, rules={CreateTrade: killing(database, times=99)})
    assert verdicts(await fragile.process([item, create("b")])) == ["UNAVAILABLE"] * 2
    for table in ("trade", "request_answer", "guard", "outbox", "outbox_due"):
        assert database.count(table) == 0
    assert verdicts([await one(shell, item)]) == ["OK"]


@pytest.fixture
async def cutting(admin_url: str) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(make_url(admin_url).port)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture
async def cut_store(database: Database, cutting: CuttingProxy) -> AsyncIterator[PostgresStore]:
    url = make_url(database.app_url).set(port=cutting.port)
    engine = create_engine(url.render_as_string(hide_password=False), pool=2)
    store = PostgresStore(engine)
    await store.load(TRADES, [])  # a new connection commits something of its own
    yield store
    await engine.dispose()


@pytest.mark.parametrize(("when", "verdict"), [("after", "AGAIN"), ("before", "OK")])
async def test_after_an_unknown_commit_the_answer_is_read_and_decided_once(
    cut_store: PostgresStore,
    cutting: CuttingProxy,
    database: Database,
    when: Literal["before", "after"],
    verdict: str,
) -> None:
    """Whether it was committed or not, the callers get the one answer that is in the database."""
    cutting.when, cutting.cuts = when, 1
    items = [create("a"), create("b"), create("a")]
    outcomes = await shell_on(cut_store).process(items)
    assert cutting.cuts == 0, "the connection was cut"
    assert verdicts(outcomes) == [verdict, verdict, "ORDER_EXISTS"]
    for item, outcome in zip(items[:2], outcomes[:2], strict=True):
        assert done(outcome).reply.trade.trade_id == item.command.trade_id
    assert database.count("trade") == 2
    assert database.count("request_answer") == 3
    assert database.transactions("request_answer") == 1


async def test_a_commit_that_stays_unknown_is_unavailable_and_never_done_twice(
    cut_store: PostgresStore, cutting: CuttingProxy, shell: TradeShell, database: Database
) -> None:
    """Nothing got through: the same request, later, is decided then."""
    cutting.when, cutting.cuts = "before", 99
    item = create("a")
    assert verdicts([await one(shell_on(cut_store), item)]) == ["UNAVAILABLE"]
    assert database.count("trade") == 0
    assert verdicts([await one(shell, item), await one(shell, item)]) == ["OK", "AGAIN"]


async def test_a_message_counts_once_whatever_happens_to_its_commit(
    cut_store: PostgresStore, cutting: CuttingProxy, shell: TradeShell, database: Database
) -> None:
    """An event whose commit is unknown is seen the second time, and changes nothing again."""
    trade_id = await pending(shell)
    payment_id = new_id("pay", bucket=BUCKET)
    done(await one(shell, pay(trade_id, payment_id=payment_id)))
    moved = replace(
        payment_moved(trade_id, payment_id, PaymentOutcome.SUCCEEDED),
        claim=MessageKey("trade.payments", "evt_1"),
    )
    cutting.when, cutting.cuts = "after", 1
    assert verdicts([await one(shell_on(cut_store), moved)]) == ["AGAIN"]
    trade = await trade_of(shell.store, trade_id)
    assert (trade.state, trade.version) == (TradeState.PAID, 3)
    assert database.count("inbox") == 1
