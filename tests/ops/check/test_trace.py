"""The story of a chain is complete, in order, and fits a terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from paymesh.money import Money
from paymesh_ops.trace import UnknownBusinessId, print_story, story
from tests.ops.check.check_chains import BOUGHT, BUSINESS, REFUND, REFUND_ROW, SECOND, TRADE
from tests.ops.check.check_world import World


async def test_a_story_has_everything(world: World) -> None:
    told = await story(world.urls, BUSINESS)
    assert (told.order_no, told.amount, told.state) == ("A-1", Money("EUR", 1299), "PAID")
    assert {m.service for m in told.moments} == {"trade", "pay", "gateway"}
    assert [m.at for m in told.moments] == sorted(m.at for m in told.moments)
    assert len([m for m in told.moments if m.kind == "callback"]) == 3
    assert [n.state for n in told.notifications] == ["DELIVERED"]
    assert len(told.journals) == 5
    assert all(len(journal.entries) == 2 for journal in told.journals)


@pytest.mark.parametrize("id_", [TRADE, SECOND])
async def test_other_ids_lead_there_too(id_: str, world: World) -> None:
    assert (await story(world.urls, id_)).business_id == BUSINESS


async def test_a_refund_and_its_trade_name_each_other(world: World) -> None:
    bought, refund = [await story(world.urls, id_) for id_ in (BOUGHT, REFUND_ROW)]
    assert ([r.business_id for r in bought.refunds], bought.parent) == ([REFUND], "")
    assert (refund.business_id, refund.parent, refund.refunds) == (REFUND, BOUGHT, ())
    assert refund.refund is not None
    assert (refund.refund.amount, refund.refund.state) == (Money("EUR", 700), "SUCCEEDED")
    for told, other in ((bought, REFUND), (refund, BOUGHT)):
        console = Console(file=StringIO(), width=100)
        print_story(console, told)
        text = console.file.getvalue()
        head = text.split("Timeline")[0]
        assert other in head
        assert "EUR 7.00" in head
        assert "hold.posted" in text


async def test_entries_of_an_account_that_is_gone_are_told(world: World) -> None:
    gone = world.value("clearing", "SELECT id FROM account WHERE owner = 'm1'")
    world.run("clearing", "DELETE FROM account WHERE owner = 'm1'")
    told = await story(world.urls, BUSINESS)
    accounts = [entry.account for journal in told.journals for entry in journal.entries]
    assert (len(accounts), accounts.count(gone)) == (10, 2)


async def test_an_unknown_business_id_is_said(world: World) -> None:
    with pytest.raises(UnknownBusinessId, match="'biz_nobody'"):
        await story(world.urls, "biz_nobody")


async def test_a_story_fits_the_terminal(world: World) -> None:
    console = Console(file=StringIO(), width=100)
    print_story(console, await story(world.urls, BUSINESS))
    text = console.file.getvalue()
    assert all(len(line) <= 100 for line in text.splitlines())
    for part in (BUSINESS, "A-1", "EUR 12.99", TRADE, SECOND, "CHANNEL_RECEIVABLE", "total"):
        assert part in text
    assert "…" not in text
