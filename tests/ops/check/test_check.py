"""Each invariant finds what was broken on purpose, names its chain, and lets healthy chains be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta
from io import StringIO

import pytest
from rich.console import Console

from paymesh_ops.check import INVARIANTS, DatabaseUnreadable, print_findings
from paymesh_ops.check import check as run
from paymesh_ops.sandbox.book import book_id
from tests.ops.check.check_chains import (  # fmt: skip
    BUSINESS,
    CHANNEL,
    FIRST,
    NOTIFICATION,
    RETURN,
    SECOND,
    STREAM,
    TRADE,
    TRANSFER,
    TRANSIT,
    book,
    number_of,
    order_of,
    step,
    trade_of,
)
from tests.ops.check.check_world import Ago, World, an_id, between, check, on


async def test_an_empty_mesh_is_green(empty: World) -> None:
    results = await run(empty.urls, sandbox_book={})
    assert [r.number for r in results] == [i.number for i in INVARIANTS]
    assert [f for r in results for f in r.findings] == []


async def test_healthy_chains_are_green(world: World) -> None:
    assert await check(world.urls, sandbox_book=book()) == []


Sql = tuple[str, str]
CORRUPTIONS: dict[str, tuple[int, list[Sql]]] = {
    "unbalanced": (1, [("clearing", "UPDATE entry SET amount_minor = 1 WHERE line = 1 AND "
                        + on("PAYER_TRANSIT"))]),
    "one entry": (1, [("clearing", "DELETE FROM entry WHERE line = 2")]),
    "no entries": (1, [("clearing", "DELETE FROM entry")]),
    "balance": (2, [("clearing", "UPDATE account SET balance_minor = balance_minor + 1 "
                     "WHERE owner = 'm1'")]),
    "no account": (2, [("clearing", "DELETE FROM account WHERE owner = 'm1'")]),
    "balance currency": (2, [("clearing", "UPDATE entry SET amount_currency = 'USD' WHERE "
                              + on("MERCHANT_PENDING"))]),
    "entries of another shard": (2, [("clearing", "UPDATE entry SET shard_key = 1023 - shard_key "
                                      f"WHERE {on('MERCHANT_PENDING')}")]),
    "delta lost": (2, [("clearing", "DELETE FROM account_delta")]),
    "delta too many": (2, [("clearing", "INSERT INTO account_delta (shard_key, account_id, "
                            "delta_minor) SELECT shard_key, account_id, 1 FROM account_delta")]),
    "delta folded, still there": (2, [("clearing", "UPDATE account SET balance_minor = "
                                       "balance_minor + 4 WHERE mode = 'BUFFERED'")]),
    "delta of another shard": (2, [("clearing", "UPDATE account_delta SET shard_key = "
                                    "1023 - shard_key")]),
    "delta that nobody folds": (2, [("clearing", "UPDATE account SET mode = 'DIRECT'")]),
    "minimum, buffered": (3, [("clearing", "INSERT INTO account_delta (shard_key, account_id, "
                               "delta_minor) SELECT shard_key, id, -1292 FROM account "
                               "WHERE subject = 'MERCHANT_PENDING'")]),
    "minimum": (3, [("clearing", "UPDATE account SET minimum_minor = 1292")]),
    "no journal": (5, [("clearing", "DELETE FROM journal WHERE event_type LIKE '%refund'")]),
    "journal too many": (5, [("pay", "UPDATE instruction SET state = 'FAILED'")]),
    "booked otherwise": (5, [("clearing", "UPDATE journal SET event_type = "
                              "'pay.instruction.suspended/suspense' WHERE event_type LIKE 'p%'")]),
    "booked amount": (5, [("pay", "UPDATE instruction SET amount_minor = 1298")]),
    "booked currency": (5, [("clearing", "UPDATE entry SET amount_currency = 'USD'")]),
    "paid twice": (6, [("trade", "UPDATE attempt SET state = 'SUCCEEDED'")]),
    "paid by nothing": (6, [("pay", f"UPDATE payment SET state = 'FAILED' WHERE id = '{SECOND}'")]),
    "paid, no payment": (6, [("pay", f"DELETE FROM payment WHERE id = '{SECOND}'")]),
    "not attributed": (6, [("clearing", "DELETE FROM journal WHERE event_type LIKE '%attrib%'")]),
    "attributed otherwise": (6, [("clearing", f"UPDATE entry SET reference = '{FIRST}' "
                                  f"WHERE {on('PAYER_TRANSIT')}")]),
    "not returned": (6, [("pay", "UPDATE payment SET state = 'SUCCEEDED'")]),
    "payment of no trade": (6, [("trade", f"DELETE FROM attempt WHERE id = '{FIRST}'")]),
    "negative": (8, [("trade", "UPDATE trade SET amount_minor = -1")]),
    "no currency": (8, [("clearing", "UPDATE entry SET amount_currency = 'eur'")]),
    "tools": (8, [("trade", "UPDATE attempt SET tools = '[]'")]),
    "payment currency": (8, [("pay", "UPDATE payment SET amount_currency = 'USD'")]),
    "instruction amount": (8, [("pay", "UPDATE instruction SET amount_minor = 5")]),
    "order amount": (8, [("gateway", "UPDATE channel_order SET amount_minor = 5")]),
    "moved amount": (8, [("gateway", "UPDATE channel_order SET moved_amount_minor = 5")]),
    "order not moved": (8, [("gateway", "UPDATE channel_order SET state = 'CLOSED'")]),
    "illegal move": (9, [("pay", f"UPDATE outbox SET state = 'RETURNED' WHERE "
                          f"aggregate_id = '{FIRST}' AND sequence = 2")]),
    "illegal trade": (9, [("trade", "UPDATE outbox SET state = 'CLOSED' WHERE sequence = 3 AND "
                           "type LIKE 'trade.trade.%'")]),
    "illegal order": (9, [("gateway", "UPDATE outbox SET state = 'SUCCEEDED' WHERE sequence = 2")]),
    "illegal attempt": (9, [("trade", f"UPDATE outbox SET state = 'FAILED' WHERE sequence = 3 AND "
                             f"aggregate_id = '{FIRST}'")]),
    "illegal instruction": (9, [("pay", f"UPDATE outbox SET state = 'CLOSED' WHERE sequence = 1 "
                                 f"AND aggregate_id = '{RETURN}'")]),
    "illegal notification": (9, [("trade", "UPDATE outbox SET state = 'DEAD' WHERE sequence = 1 "
                                  "AND type LIKE '%notification%'")]),
    "sequence gap": (9, [("pay", f"DELETE FROM outbox WHERE aggregate_id = '{FIRST}' "
                          "AND sequence = 3")]),
    "untold version": (12, [("trade", "UPDATE trade SET version = 5")]),
    "untold state": (12, [("gateway", "UPDATE channel_order SET state = 'FAILED'")]),
    "no history": (12, [("trade", f"DELETE FROM outbox WHERE aggregate_id = '{NOTIFICATION}'")]),
    "row gone": (12, [("pay", f"DELETE FROM instruction WHERE id = '{RETURN}'")]),
    "history gap": (12, [("trade", f"DELETE FROM outbox WHERE aggregate_id = '{TRADE}' AND "
                          "sequence = 2")]),
    "unpublished": (12, [("trade", "INSERT INTO outbox_due SELECT shard_key, event_id, "
                          "occurred_at, now() FROM outbox WHERE published")]),
    "not heard": (13, [("clearing", "DELETE FROM inbox")]),
    "result not heard": (13, [("pay", "DELETE FROM inbox")]),
    "payment not heard": (13, [("trade", "DELETE FROM inbox")]),
    "receivable": (14, [("clearing", "UPDATE entry SET amount_minor = 1 WHERE "
                         + on("CHANNEL_RECEIVABLE"))]),
    "refund not booked": (14, [("clearing", "DELETE FROM journal WHERE event_type LIKE '%refund'"
                                )]),
    "trade unowned": (18, [("trade", "UPDATE trade SET state = 'PAYING'")]),
    "booking unowned": (18, [("trade", f"UPDATE trade SET state = 'BOOKING' WHERE id = '{TRADE}'"
                              )]),
    "booking unpaid": (6, [("trade", "UPDATE attempt SET state = 'RETURNING' WHERE trade_id = "
                            f"'{TRADE}'"),
                           ("trade", f"UPDATE trade SET state = 'BOOKING' WHERE id = '{TRADE}'")]),
    "attempt unowned": (18, [("trade", "UPDATE attempt SET state = 'RETURNING'")]),
    "stream unowned": (18, [("trade", "UPDATE notification SET state = 'PENDING'")]),
    "payment unowned": (18, [("pay", "UPDATE payment SET state = 'SUSPENDED'")]),
    "instruction unowned": (18, [("pay", "UPDATE instruction SET state = 'CLOSING'")]),
    "order unowned": (18, [("gateway", "UPDATE channel_order SET state = 'CLOSING'")]),
    "callback not deduped": (19, [("gateway", "DELETE FROM inbox")]),
    "transit": (21, [("clearing", f"UPDATE entry SET amount_minor = 1 WHERE reference = '{SECOND}' "
                      "AND side = 'DEBIT'")]),
    "transit, not refunded": (21, [("clearing", f"DELETE FROM entry WHERE reference = '{FIRST}' "
                                    "AND side = 'DEBIT'")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
async def test_a_corruption_is_found(name: str, world: World, only: Callable[[int], None]) -> None:
    number, statements = CORRUPTIONS[name]
    for service, statement in statements:
        world.run(service, statement)
    only(number)
    findings = await check(world.urls)
    assert findings, f"invariant {number} saw nothing"
    assert BUSINESS in {f.business_id for f in findings}
    assert all(f.what_to_do and f.rows for f in findings)


def _again(service: str, table: str, **changes: object) -> Callable[[World], None]:
    def plant(world: World) -> None:
        world.put(service, table, **changes)

    return plant


NUMBER = number_of(step(FIRST, "COLLECT"))
TWICE: dict[str, tuple[int, str, Callable[[World], object]]] = {
    "journal": (4, BUSINESS, lambda w: w.journal(
        "trade.trade.paid/fee", TRADE, *between(("MERCHANT_PENDING", "m1", TRADE),
        ("FEE_INCOME", "platform", TRADE), 8), name="again")),
    "transaction": (10, BUSINESS, _again(
        "gateway", "channel_order", id="chn_x", channel="sandbox", pay_org_no="org",
        kind="COLLECT", channel_txn_id=NUMBER, request_no="other")),
    "order number": (10, BUSINESS, _again(
        "gateway", "channel_order", id="chn_x", channel="sandbox", pay_org_no="org",
        kind="REFUND", request_no=NUMBER)),
    "instruction": (10, BUSINESS, _again("pay", "instruction", id="ins_x", request_no=NUMBER)),
    "trade": (10, BUSINESS, _again(
        "trade", "trade", id="trd_x", merchant_id="m1", merchant_order_no="A-1")),
    "message": (13, "", lambda w: w.heard(
        "clearing", "clearing.ledger", an_id("evt", f"{TRADE}:trade.trade.paid:4"), shard=8)),
    "message of nobody": (13, "", lambda w: w.heard("pay", "pay.channel-results", "evt_x")),
    "currency": (14, "", _again(
        "clearing", "account", id="acc_x", normal_side="DEBIT", balance_minor=5,
        balance_currency="EUR")),
    "delta": (14, "", lambda w: w.account("FEE_INCOME", "platform", balance=1)),
    "delta of nobody": (2, "", _again("clearing", "account_delta", account_id="acc_x")),
    "callback lost": (19, "", lambda w: w.heard("gateway", "callback.sandbox", "cb-lost")),
}  # fmt: skip


@pytest.mark.parametrize("name", TWICE)
async def test_what_came_twice_is_found(
    name: str, world: World, only: Callable[[int], None]
) -> None:
    number, business_id, put_again = TWICE[name]
    with world.of(BUSINESS):
        put_again(world)
    only(number)
    findings = await check(world.urls)
    assert business_id in {f.business_id for f in findings}


async def test_entries_of_no_journal_say_what_they_refer_to(
    world: World, only: Callable[[int], None]
) -> None:
    """Which chain they are of, only their journal had known."""
    world.run("clearing", "DELETE FROM journal")
    only(1)
    findings = await check(world.urls)
    assert {f.business_id for f in findings} == {""}
    assert [FIRST] in [f.rows[0]["references"] for f in findings]


async def test_what_is_buffered_counts(world: World, impatient: None) -> None:
    """8 in the account's row and 4 beside it are 12, before and after they are folded."""
    world.run("clearing", "UPDATE account SET minimum_minor = 12, maximum_minor = 12 "
              "WHERE subject = 'FEE_INCOME'")  # fmt: skip
    of_income = "FROM account WHERE subject = 'FEE_INCOME'"
    for balance in (8, 12):
        assert world.value("clearing", f"SELECT balance_minor {of_income}") == balance
        assert await check(world.urls) == []
        world.run("clearing", f"SELECT fold_accounts(array_agg(id)) {of_income}")
    assert world.value("clearing", "SELECT count(*) FROM account_delta") == 0


async def test_two_answers_are_found(world: World, impatient: None) -> None:
    for shard in (1, 2):
        world.put("trade", "request_answer", shard_key=shard, scope="s", request_id="r")
    (finding,) = await check(world.urls)
    assert (finding.invariant, finding.rows[0]["request_id"]) == (11, "r")


async def test_the_channels_book_is_the_truth(world: World, impatient: None) -> None:
    findings = await check(world.urls, sandbox_book=book(state="CLOSED"))
    assert {f.invariant for f in findings} == {16}
    assert BUSINESS in {f.business_id for f in findings}


async def test_parked_events_are_not_lost(world: World, impatient: None) -> None:
    world.run("pay", "DELETE FROM inbox")
    found = await check(world.urls)
    parked = {str(finding.rows[0]["event_id"]) for finding in found}
    assert len(parked) == len(found) == 8
    assert await check(world.urls, parked={"pay.channel-results": parked}) == []


async def test_what_has_just_moved_is_let_be(world: World, impatient: None) -> None:
    world.run("clearing", "DELETE FROM inbox")
    world.run("clearing", "UPDATE journal SET event_type = 'other' WHERE event_type LIKE '%refund'")
    world.seal()
    assert {f.invariant for f in await check(world.urls)} == {5, 13, 14}
    world.run("pay", "UPDATE outbox SET occurred_at = now() WHERE type = 'pay.payment.processing'")
    assert await check(world.urls) == []
    assert {f.invariant for f in await check(world.urls, grace_s=0)} == {5, 13, 14}


async def test_a_trade_whose_booking_is_not_answered_yet_is_let_be(
    world: World, impatient: None
) -> None:
    """The ledger has booked it; nobody has told the trade."""
    trade_id = trade_of(TRANSFER)
    world.run("trade", "UPDATE trade SET state = 'BOOKING', version = 3, next_action_at = now() "
              "WHERE id = %s", trade_id)  # fmt: skip
    world.run("trade", "DELETE FROM outbox WHERE aggregate_id = %s AND sequence = 4", trade_id)
    paid = an_id("evt", f"{trade_id}:trade.trade.paid:4")
    for service in ("clearing", "trade"):
        world.run(service, "DELETE FROM inbox WHERE message_id = %s", paid)
    assert await check(world.urls) == []


async def test_a_chain_under_way_is_let_be(world: World, impatient: None) -> None:
    """The first payment succeeded, but its trade has yet to hear of it and to return it."""
    world.run("pay", "UPDATE payment SET state = 'RETURNING', version = 3, "
              "next_action_at = now() WHERE id = %s", FIRST)  # fmt: skip
    world.run("pay", "DELETE FROM outbox WHERE aggregate_id = %s AND sequence = 4", FIRST)
    late = an_id("evt", f"{FIRST}:pay.payment.returned:4")
    world.run("trade", "DELETE FROM inbox WHERE message_id = %s", late)
    world.run("trade", "UPDATE attempt SET state = 'RETURNING', version = 3 WHERE id = %s", FIRST)
    world.run("trade", "DELETE FROM outbox WHERE aggregate_id = %s AND sequence = 4", FIRST)
    world.run("trade", "UPDATE trade SET next_action_at = now()")
    world.run("pay", "DELETE FROM instruction WHERE id = %s", RETURN)
    world.run("gateway", "DELETE FROM channel_order WHERE id = %s", order_of(RETURN))
    for service, id_ in (("pay", RETURN), ("gateway", order_of(RETURN))):
        world.run(service, "DELETE FROM outbox WHERE aggregate_id = %s", id_)
    for service, id_, type_ in (
        ("clearing", RETURN, "pay.instruction.succeeded:2"),
        ("pay", order_of(RETURN), "gateway.channel.result:3"),
    ):
        world.run(
            service, "DELETE FROM inbox WHERE message_id = %s", an_id("evt", f"{id_}:{type_}")
        )
    world.run("clearing", "DELETE FROM entry WHERE journal_id IN (SELECT id FROM journal "
              "WHERE business_key = %s)", RETURN)  # fmt: skip
    world.run("clearing", "DELETE FROM journal WHERE business_key = %s", RETURN)
    for subject, owner in (CHANNEL, TRANSIT):
        world.account(subject, owner, balance=1299)
    world.seal()
    assert await check(world.urls) == []


async def test_differences_that_go_away_are_not_reported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("clearing", "UPDATE account SET balance_minor = balance_minor + 1")

    async def repaired(_seconds: float) -> None:
        world.run("clearing", "UPDATE account SET balance_minor = balance_minor - 1")

    monkeypatch.setattr("paymesh_ops.check.runner.asyncio.sleep", repaired)
    assert await check(world.urls) == []


async def test_a_database_that_is_away_is_named(world: World) -> None:
    with pytest.raises(DatabaseUnreadable, match="pay"):
        await check({**world.urls, "pay": "postgresql://nobody@127.0.0.1:1/x"})


async def test_findings_are_printed(world: World, impatient: None) -> None:
    world.put("trade", "trade", id="trd_y", state="PENDING", type="INSTANT", amount_minor=5,
              amount_currency="EUR", created_at=Ago(AGO_OLD), business_id="biz_[2]")  # fmt: skip
    seen: list[str] = []
    results = await run(world.urls, progress=seen.append)
    for i in INVARIANTS:
        assert (f"{i.number}  {i.sentence}" in seen) == (i.number != 16)
    console = Console(file=StringIO(), width=100)
    print_findings(console, results)
    text = console.file.getvalue()
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "biz_[2]" in text
    assert "2 violations of 2 invariants." in text
    assert STREAM not in text


async def test_a_report_says_up_to_when_services_were_compared(world: World) -> None:
    before = world.value("pay", "SELECT now()")
    report = await run(world.urls, grace_s=30)
    assert list(report.watermarks) == ["trade", "pay", "gateway", "clearing"]
    for at in report.watermarks.values():
        assert before <= at + timedelta(seconds=30) <= world.value("pay", "SELECT now()")
    console = Console(file=StringIO(), width=100)
    print_findings(console, report)
    mark = report.watermarks["gateway"].astimezone(UTC)
    assert f"gateway {mark:%H:%M:%S}" in console.file.getvalue()


async def test_long_passes_say_how_far_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paymesh_ops.check.snapshots.CHUNK_ROWS", 5)
    world.run("pay", "ANALYZE")
    seen: list[str] = []
    await run(world.urls, progress=seen.append)
    assert any("10 rows" in text for text in seen)
    assert any(text.endswith("%") for text in seen)


AGO_OLD = 600.0


async def test_databases_of_another_sandbox_are_told_in_one_sentence(
    world: World, impatient: None
) -> None:
    """Its book was purged, or lies in another folder: not a finding an order."""
    used = world.value(
        "gateway",
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database "
        "WHERE datname = current_database()",
    )
    assert used == f"sandbox {book_id(world.plan.home / 'sandbox')}"
    another = {**book(state="CLOSED"), "id": "another"}
    [finding] = await check(world.urls, sandbox_book=another)
    assert finding.title.startswith("these databases were used with another sandbox")
    assert "PAYMESH_HOME" in finding.what_to_do
    assert await check(world.urls, sandbox_book={**book(), "id": used.split()[1]}) == []
