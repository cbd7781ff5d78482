"""`paymesh explain`: the open items of a balance, and what is said when one of them is not true."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from paymesh.money import Money
from paymesh_ops.cli.main import app
from paymesh_ops.explain import Explanation, UnknownAccount
from paymesh_ops.explain import explain as run
from paymesh_ops.explain.printing import moment, print_explanation
from tests.ops.check.check_chains import (
    BOUGHT,
    BOUNCED,
    BUSINESS,
    FIRST,
    REFUND,
    SECOND,
    TOP_UP,
    TRADE,
    payment_of,
    step,
    user,
)
from tests.ops.check.check_world import CHART, World, between, on

RECEIVABLE = "CHANNEL_RECEIVABLE:sandbox:org:EUR"


async def explain(world: World, name: str, at: datetime | None = None) -> Explanation:
    return await run(world.urls, name, chart=CHART, at=at)


def euros(minor: int) -> Money:
    return Money("EUR", minor)


def shown(told: Explanation, *, limit: int = 50, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width)
    print_explanation(console, told, limit=limit)
    return str(console.file.getvalue())


async def test_every_account_of_healthy_chains_is_explained(world: World) -> None:
    rows = world.values("clearing", "SELECT id FROM account")
    assert len(rows) == 9
    for account_id in rows:
        told = await explain(world, account_id)
        assert (told.unexplained.minor, told.sum()) == (0, told.balance), told.account.name


@pytest.mark.parametrize(
    ("name", "balance", "items"),
    [
        (RECEIVABLE, 3299, [(1299, BUSINESS), (2000, TOP_UP)]),
        ("USER_BALANCE:u1:EUR", 1750, [(950, TOP_UP), (300, REFUND), (500, BOUNCED)]),
        ("MERCHANT_PENDING:m1:EUR", 1291, [(1291, BUSINESS)]),
        ("FEE_INCOME:EUR", 12, [(8, BUSINESS), (4, BOUGHT)]),
        ("PAYER_TRANSIT:EUR", 0, []),
        ("PAYOUT_TRANSIT:sandbox:org:EUR", 0, []),
    ],
)
async def test_open_items_make_up_the_balance(
    name: str, balance: int, items: list[tuple[int, str]], world: World
) -> None:
    """What was given back or spent is gone from them: the oldest first."""
    told = await explain(world, name)
    assert told.balance == euros(balance)
    assert [(item.minor, item.lines[0].business_id) for item, _ in told.items] == items
    assert all(verdict.confirmed for _, verdict in told.items)


async def test_what_is_held_is_said(world: World) -> None:
    told = await explain(world, "USER_BALANCE:u1:EUR")
    assert (told.account.held, told.holds) == (euros(200), 1)
    assert re.search(r"EUR 2\.00  by 1 hold, the oldest 1\d min old", shown(told))


DOUBTS = {
    "no such instruction": ("pay", "DELETE FROM instruction WHERE id = '{collect}'",
                            "pay has no such instruction", RECEIVABLE),
    "not succeeded": ("pay", "UPDATE instruction SET state = 'FAILED' WHERE id = '{collect}'",
                      "pay says FAILED", RECEIVABLE),
    "another amount": ("pay", "UPDATE instruction SET amount_minor = 5 WHERE id = '{collect}'",
                       "pay says SUCCEEDED of EUR 0.05", RECEIVABLE),
    "not bounced": ("pay", "UPDATE instruction SET state = 'SUCCEEDED' WHERE state = 'BOUNCED'",
                    "pay says SUCCEEDED", "USER_BALANCE:u1:EUR"),
    "no such trade": ("trade", "DELETE FROM trade WHERE id = '{trade}'",
                      "trade has no such trade", "MERCHANT_PENDING:m1:EUR"),
    "not paid": ("trade", "UPDATE trade SET state = 'CLOSED' WHERE id = '{trade}'",
                 "trade says CLOSED", "MERCHANT_PENDING:m1:EUR"),
    "by another payment": ("trade", "UPDATE trade SET paid_payment_id = 'x' WHERE id = '{trade}'",
                           "trade says: by another payment", "MERCHANT_PENDING:m1:EUR"),
    "of another amount": ("trade", "UPDATE trade SET amount_minor = 5 WHERE id = '{trade}'",
                          "trade says PAID of EUR 0.05", "MERCHANT_PENDING:m1:EUR"),
    "no journal": ("clearing", "DELETE FROM journal WHERE business_key = '{collect}'",
                   "the entry has no journal", RECEIVABLE),
    "no balance": ("clearing", "UPDATE entry SET amount_minor = 5 WHERE side = 'CREDIT' AND "
                   + on("PAYER_TRANSIT"), "its journal does not balance", RECEIVABLE),
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBTS)
async def test_what_did_not_happen_is_not_explained(name: str, world: World) -> None:
    service, statement, said, account = DOUBTS[name]
    world.run(service, statement.format(collect=step(SECOND, "COLLECT"), trade=TRADE))
    told = await explain(world, account)
    doubted = [(item, verdict) for item, verdict in told.items if not verdict.confirmed]
    assert said in {verdict.said for _, verdict in doubted}
    assert told.sum() == told.balance
    assert told.unexplained.minor == sum(item.minor for item, _ in doubted) != 0


async def test_a_balance_that_is_not_its_entries_is_not_explained(world: World) -> None:
    world.run("clearing", "UPDATE account SET balance_minor = balance_minor + 5")
    told = await explain(world, RECEIVABLE)
    assert told.unexplained == euros(5)
    assert "invariant 2" in shown(told)


async def test_what_is_buffered_is_of_the_balance(world: World) -> None:
    world.run("clearing", "UPDATE account_delta SET delta_minor = delta_minor + 5")
    told = await explain(world, "FEE_INCOME:EUR")
    assert (told.balance, told.sum(), told.unexplained) == (euros(17), euros(12), euros(5))


async def test_what_was_posted_by_hand_is_confirmed_by_its_balance(world: World) -> None:
    world.journal("correction", "ticket 7", *between(
        ("CHANNEL_RECEIVABLE", "sandbox:org", ""), (*user("u1"), ""), 100))  # fmt: skip
    told = await explain(world, RECEIVABLE)
    item, verdict = told.items[-1]
    assert (item.minor, verdict.said) == (100, "posted by hand")
    assert told.unexplained.minor == 0


async def test_entries_of_before_there_were_references_are_matched_oldest_first(
    world: World,
) -> None:
    world.run("clearing", f"UPDATE entry SET reference = '' WHERE {on('CHANNEL_RECEIVABLE')} "
              "AND reference = ANY(%s)", [FIRST, SECOND])  # fmt: skip
    told = await explain(world, RECEIVABLE)
    assert (told.sum(), told.unexplained) == (euros(3299), euros(0))


async def test_a_balance_at_a_time_is_that_of_the_entries_until_then(world: World) -> None:
    world.run("clearing", "UPDATE journal SET posted_at = now() - interval '1 hour' "
              "WHERE business_id = %s", TOP_UP)  # fmt: skip
    now = datetime.now(UTC)
    told = await explain(world, "USER_BALANCE:u1:EUR", now - timedelta(minutes=30))
    assert (told.balance, told.unexplained) == (euros(2000), euros(0))
    assert [item.lines[0].business_id for item, _ in told.items] == [TOP_UP]
    assert "known for now only" in shown(told)
    earlier = await explain(world, "USER_BALANCE:u1:EUR", now - timedelta(days=1))
    assert (earlier.balance, earlier.items) == (euros(0), ())


async def test_an_account_is_found_by_its_id_and_by_its_name(world: World) -> None:
    told = await explain(world, RECEIVABLE)
    assert (await explain(world, told.account.id)).account == told.account
    assert told.account.name == RECEIVABLE


@pytest.mark.parametrize(("name", "said"), [
    ("acc_x", "SUBJECT:OWNER:CURRENCY"),
    ("NOTHING", "SUBJECT:CURRENCY"),
    ("USER_BALANCE:nobody:EUR", "USER_BALANCE:u1:EUR, USER_BALANCE:u2:EUR"),
    ("MERCHANT_PENDING:m1:USD", "MERCHANT_PENDING:m1:EUR"),
])  # fmt: skip
async def test_an_unknown_account_is_answered_with_those_that_there_are(
    name: str, said: str, world: World
) -> None:
    with pytest.raises(UnknownAccount, match=said):
        await explain(world, name)


@pytest.mark.parametrize("width", [100, 110])
async def test_an_explanation_fits_the_terminal(width: int, world: World) -> None:
    world.run("clearing", "UPDATE account SET balance_minor = balance_minor + 5")
    world.run("trade", "UPDATE trade SET paid_payment_id = 'x'")
    for account_id in world.values("clearing", "SELECT id FROM account"):
        text = shown(await explain(world, account_id), width=width)
        assert all(len(line) <= width for line in text.splitlines())
        assert "…" not in text


async def test_the_oldest_are_shown_and_the_others_summed(world: World) -> None:
    told = await explain(world, "USER_BALANCE:u1:EUR")
    text = shown(told, limit=1)
    assert TOP_UP in text
    assert BOUNCED not in text
    assert "… and 2 more, together EUR 8.00" in text
    assert "of EUR 20.00" in text, "what is left of a larger amount says so"
    assert payment_of(BOUNCED) not in text


@pytest.mark.parametrize(("arguments", "code", "said"), [
    ([RECEIVABLE], 0, "EUR 32.99"),
    ([RECEIVABLE, "--at", "2026-01-01"], 0, "at 2026-01-01 00:00:00 UTC"),
    ([RECEIVABLE, "--limit", "1"], 0, "and 1 more"),
    (["USER_BALANCE:u2:EUR"], 1, "invariant 2"),
    (["USER_BALANCE:[/]:EUR"], 1, "there is no account 'USER_BALANCE:[/]:EUR'"),
    ([RECEIVABLE, "--at", "[/]"], 1, "--at '[/]' is no time"),
])  # fmt: skip
def test_the_command_fails_where_something_is_unexplained(
    arguments: list[str], code: int, said: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("clearing", "UPDATE account SET balance_minor = 5 WHERE owner = 'u2'")
    monkeypatch.setattr("paymesh_ops.cli.main.plan_of_running", lambda: world.plan)
    result = CliRunner().invoke(app, ["explain", *arguments])
    assert (result.exit_code, said in result.output) == (code, True), result.output


def test_times_without_an_offset_are_utc() -> None:
    assert moment("2026-11-23T10:00") == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert moment("2026-11-23T10:00+01:00") == datetime(2026, 11, 23, 9, tzinfo=UTC)
    with pytest.raises(ValueError, match="yesterday"):
        moment("yesterday")
