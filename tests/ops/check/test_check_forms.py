"""Refunds, balances and withdrawals: each invariant finds what was broken in them on purpose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.ops.check.check_chains import (
    BOUGHT,
    BOUNCED,
    REFUND,
    TOP_UP,
    TRADE,
    TRANSFER,
    TRANSIT,
    WAITING,
    book,
    hold_of,
    instruction,
    payment_of,
    step,
    tools,
    trade_of,
    user,
)
from tests.ops.check.check_world import World, an_id, between, check, on

pytestmark = pytest.mark.slow  # all of them together; test_check.py has the other corruptions

Sql = tuple[str, str]
BACK = payment_of(REFUND)
OPEN_HOLD = hold_of(payment_of(WAITING))


def _parts(field: str, value: int, where: str) -> Sql:
    return ("clearing", f"UPDATE hold SET parts = jsonb_set(parts, '{{0,{field}}}', '{value}') "
            f"WHERE {where}")  # fmt: skip


CORRUPTIONS: dict[str, tuple[int, str, list[Sql]]] = {
    "held more than there is": (3, TOP_UP, [("clearing", "UPDATE account SET held_minor = 1751 "
                                             "WHERE owner = 'u1'")]),
    "owed more than lent": (3, REFUND, [("clearing", "UPDATE account SET maximum_minor = 3 "
                                         "WHERE subject = 'MERCHANT_RECEIVABLE'")]),
    "transfer not booked": (5, TRANSFER, [("clearing", "DELETE FROM journal WHERE event_type "
                                           "LIKE '%/transfer'")]),
    "bounce not booked": (5, BOUNCED, [("clearing", "DELETE FROM journal WHERE event_type "
                                        "LIKE '%/bounce'")]),
    "booked as bounced": (5, BOUNCED, [("pay", "UPDATE instruction SET state = 'SUCCEEDED' "
                                        "WHERE state = 'BOUNCED'")]),
    "payout, only bounced": (5, BOUNCED, [("clearing", "DELETE FROM journal WHERE event_type "
                                           "LIKE '%/payout'")]),
    "refund of no trade": (6, REFUND, [("trade", "DELETE FROM refund")]),
    "refund by a purchase": (6, REFUND, [("pay", "UPDATE payment SET purpose = 'PURCHASE' "
                                          "WHERE purpose = 'REFUND'")]),
    "came back, not returned": (6, BOUNCED, [("pay", "UPDATE payment SET state = 'SUCCEEDED' "
                                              "WHERE state = 'RETURNED'")]),
    "returned, still paid": (6, BOUNCED, [("trade", "UPDATE attempt SET state = 'SUCCEEDED' "
                                           "WHERE state = 'RETURNED'")]),
    "payment of another": (6, TRANSFER, [("pay", f"UPDATE payment SET trade_id = '{TRADE}'")]),
    "not transferred on": (6, TRANSFER, [("clearing", "DELETE FROM journal WHERE event_type "
                                          f"LIKE '%attrib%' AND business_id = '{TRANSFER}'")]),
    "refunded, not said": (7, BOUGHT, [("trade", "UPDATE trade SET refunded_minor = 0")]),
    "reserved for nothing": (7, BOUGHT, [("trade", "UPDATE trade SET refunding_minor = 1")]),
    "refunded too much": (7, BOUGHT, [("trade", "UPDATE refund SET amount_minor = 701"),
                                      ("trade", "UPDATE trade SET refunded_minor = 701 "
                                       "WHERE refunded_minor > 0")]),
    "back, not returned": (7, BOUGHT, [("trade", "UPDATE refund SET returned_minor = 1"),
                                       ("trade", "UPDATE trade SET refunded_minor = 699 "
                                        "WHERE refunded_minor > 0")]),
    "back, not the channel's part": (7, BOUGHT, [("trade", "UPDATE refund SET state = 'RETURNED', "
                                                  "returned_minor = 401"),
                                                 ("trade", "UPDATE trade SET refunded_minor = 299 "
                                                  "WHERE refunded_minor > 0")]),
    "returned by a success": (7, REFUND, [("trade", "UPDATE refund SET state = 'RETURNED', "
                                           "returned_minor = 400"),
                                          ("trade", "UPDATE trade SET refunded_minor = 300 "
                                           "WHERE refunded_minor > 0")]),
    "suspended, by a success": (6, WAITING, [("trade", "UPDATE attempt SET state = 'SUSPENDED' "
                                              f"WHERE id = '{payment_of(WAITING)}'")]),
    "refund of what is not paid": (7, BOUGHT, [("trade", "UPDATE trade SET state = 'CLOSED'")]),
    "too much by the channel": (7, BOUGHT, [("trade", f"UPDATE refund SET tools = "
                                             f"'{tools(500, 200)}'")]),
    "refunded by a failure": (7, REFUND, [("pay", "UPDATE payment SET state = 'FAILED'")]),
    "refunded by no success": (7, REFUND, [("pay", "UPDATE payment SET succeeded_at = NULL")]),
    "refund not heard": (7, REFUND, [("trade", "UPDATE refund SET state = 'PROCESSING'")]),
    "refund of another payment": (7, REFUND, [("pay", "UPDATE payment SET original_payment_id = "
                                               "'pay_x'")]),
    "refund's tools": (8, REFUND, [("trade", "UPDATE refund SET tools = '[]'")]),
    "payment's tools": (8, TRANSFER, [("pay", f"UPDATE payment SET tools = '{tools(1)}'")]),
    "refund amount": (8, REFUND, [("trade", "UPDATE refund SET amount_minor = 650")]),
    "hold amount": (8, WAITING, [("clearing", "UPDATE hold SET amount_minor = -1")]),
    "payout in part": (8, BOUNCED, [("pay", "UPDATE instruction SET amount_minor = 499 "
                                     "WHERE kind = 'CHANNEL_PAYOUT'")]),
    "held in part": (8, WAITING, [("pay", "UPDATE instruction SET amount_minor = 1 "
                                   "WHERE kind = 'HOLD'")]),
    "not transferred": (8, BOUGHT, [("pay", "DELETE FROM instruction WHERE kind = 'TRANSFER'")]),
    "refund in part": (8, REFUND, [("pay", "DELETE FROM instruction WHERE kind = 'TRANSFER'")]),
    "bounce not heard": (8, BOUNCED, [("gateway", "UPDATE channel_order SET state = 'SUCCEEDED' "
                                       "WHERE state = 'BOUNCED'")]),
    "order ahead": (8, WAITING, [("gateway", "UPDATE channel_order SET state = 'SUCCEEDED'")]),
    "order of another kind": (8, WAITING, [("gateway", "UPDATE channel_order SET kind = 'REFUND' "
                                            "WHERE kind = 'PAYOUT'")]),
    "illegal hold": (9, BOUGHT, [("clearing", "UPDATE outbox SET state = 'RELEASED' WHERE "
                                  "type LIKE 'clearing.hold.%' AND sequence = 1")]),
    "illegal refund": (9, REFUND, [("trade", "UPDATE outbox SET state = 'FAILED' WHERE "
                                    "type LIKE 'trade.refund.%' AND sequence = 1")]),
    "illegal bounce": (9, BOUNCED, [("gateway", "UPDATE outbox SET state = 'FAILED' "
                                     "WHERE sequence = 3")]),
    "illegal withdrawal": (9, BOUNCED, [("trade", "UPDATE outbox SET state = 'CLOSED' WHERE "
                                         "sequence = 2 AND type LIKE 'trade.trade.%'")]),
    "untold hold": (12, WAITING, [("clearing", "UPDATE hold SET state = 'RELEASED'")]),
    "untold refund": (12, REFUND, [("trade", "UPDATE refund SET version = 3")]),
    "payout transit": (14, BOUNCED, [("clearing", "DELETE FROM journal WHERE event_type LIKE "
                                      "'%/bounce'")]),
    "payout not booked": (14, WAITING, [("gateway", "UPDATE channel_order SET state = 'SUCCEEDED',"
                                         " moved_amount_minor = 200, moved_amount_currency = 'EUR'"
                                         " WHERE state = 'PENDING'")]),
    "taken beyond": (15, BOUGHT, [_parts("posted", 301, f"business_id = '{BOUGHT}'")]),
    "parts do not sum": (15, BOUGHT, [_parts("held", 301, f"business_id = '{BOUGHT}'")]),
    "open, nothing left": (15, BOUGHT, [("clearing", "UPDATE hold SET state = 'HELD'")]),
    "ended, something left": (15, WAITING, [("clearing", "UPDATE hold SET state = 'POSTED'")]),
    "released, posted": (15, WAITING, [_parts("released", 200, f"id = '{OPEN_HOLD}'"),
                                       ("clearing", "UPDATE hold SET state = 'POSTED'")]),
    "account holds nothing": (15, WAITING, [("clearing", "UPDATE account SET held_minor = 0")]),
    "account holds more": (15, TOP_UP, [("clearing", "UPDATE account SET held_minor = 1 "
                                         "WHERE subject = 'MERCHANT_PENDING' OR owner = 'u2'"),
                                        ("clearing", f"UPDATE account SET business_id = '{TOP_UP}'"
                                         )]),
    "taken by no entry": (15, REFUND, [("clearing", "DELETE FROM entry WHERE reference = "
                                        f"'{hold_of(BACK)}'")]),
    "hold of what is over": (15, WAITING, [("pay", "UPDATE payment SET state = 'CLOSED' WHERE "
                                            "state = 'PROCESSING'")]),
    "no hold": (15, WAITING, [("clearing", f"DELETE FROM hold WHERE id = '{OPEN_HOLD}'")]),
    "refused, but held": (15, WAITING, [("pay", "UPDATE instruction SET state = 'FAILED' WHERE "
                                         "kind = 'HOLD'")]),
    "another amount": (15, WAITING, [("pay", "UPDATE instruction SET amount_minor = 1 WHERE "
                                      "kind = 'HOLD'")]),
    "used, not said": (15, TRANSFER, [("pay", "DELETE FROM instruction WHERE kind = 'TRANSFER'")]),
    "placed by nobody": (15, WAITING, [("pay", "DELETE FROM instruction WHERE hold_id <> ''")]),
    "used, not placed": (15, BOUGHT, [("pay", "DELETE FROM instruction WHERE kind = 'HOLD'")]),
    "refund unowned": (18, REFUND, [("trade", "UPDATE refund SET state = 'PROCESSING'")]),
    "payout unowned": (18, WAITING, [("gateway", "UPDATE channel_order SET next_action_at = NULL")
                                     ]),
    "for nothing": (21, BOUNCED, [("clearing", "UPDATE entry SET reference = '' "
                                   f"WHERE {on('PAYOUT_TRANSIT')}")]),
    "bounce in transit": (21, BOUNCED, [("clearing", "DELETE FROM entry WHERE side = 'DEBIT' AND "
                                         + on("PAYOUT_TRANSIT"))]),
    "transfer in transit": (21, TRANSFER, [("clearing", "DELETE FROM entry WHERE side = 'CREDIT' "
                                            f"AND reference = '{payment_of(TRANSFER)}'")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
async def test_a_corruption_of_a_form_is_found(
    name: str, world: World, only: Callable[[int], None]
) -> None:
    number, business_id, statements = CORRUPTIONS[name]
    for service, statement in statements:
        world.run(service, statement)
    only(number)
    findings = await check(world.urls)
    assert findings, f"invariant {number} saw nothing"
    assert business_id in {f.business_id for f in findings}
    assert all(f.what_to_do and f.rows for f in findings)


def _released(w: World) -> None:
    instruction(w, payment_of(WAITING), "RELEASE", 200, hold_id=OPEN_HOLD,
                compensates=step(payment_of(WAITING), "HOLD"))  # fmt: skip


ADDED: dict[str, tuple[int, str, Callable[[World], object]]] = {
    "a hold is booked": (5, WAITING, lambda w: w.journal(
        "pay.instruction.succeeded/hold", step(payment_of(WAITING), "HOLD"),
        *between((*user("u1"), ""), (*TRANSIT, "x"), 200))),
    "a withdrawal is attributed": (6, BOUNCED, lambda w: w.journal(
        "trade.trade.paid/attribution", trade_of(BOUNCED),
        *between((*TRANSIT, payment_of(BOUNCED)), (*user("u1"), ""), 500))),
    "one payment, two refunds": (6, REFUND, lambda w: w.put(
        "trade", "refund", id=an_id("rfd", "again"), payment_id=BACK)),
    "released, but held": (15, WAITING, _released),
    "a beneficiary without a log": (12, TOP_UP, lambda w: w.put(
        "pay", "beneficiary", id=an_id("ben", "b"), state="ACTIVE")),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDED)
async def test_what_should_not_be_there_is_found(
    name: str, world: World, only: Callable[[int], None]
) -> None:
    number, business_id, add = ADDED[name]
    with world.of(business_id):
        add(world)
    only(number)
    assert business_id in {f.business_id for f in await check(world.urls)}


async def test_the_channels_book_is_the_truth_of_payouts_too(
    world: World, only: Callable[[int], None]
) -> None:
    only(16)
    for table, state in (("payouts", "SUCCESS"), ("refunds", "FAILED")):
        truth = book()
        truth[table] = [row | {"state": state} for row in truth[table]]
        found = await check(world.urls, sandbox_book=truth)
        assert found, table
        assert {f.business_id for f in found} <= {BOUNCED, REFUND, "biz_1"}


async def test_a_refund_that_came_back_unseen_has_failed(
    world: World, only: Callable[[int], None]
) -> None:
    """The channel has one word for both; of a payout it says how it was."""
    only(16)
    truth = book()
    for table in ("refunds", "payouts"):
        for row in truth[table]:
            row.update(state="FAILED", success_time="2026-11-20T10:00:00.000Z")
    world.run("gateway", "UPDATE channel_order SET state = 'FAILED' WHERE kind = 'REFUND'")
    assert await check(world.urls, sandbox_book=truth) == []
    world.run("gateway", "UPDATE channel_order SET state = 'FAILED' WHERE kind = 'PAYOUT'")
    assert [f.business_id for f in await check(world.urls, sandbox_book=truth)][:1] == [BOUNCED]


async def test_what_has_just_changed_at_the_channel_is_let_be(
    world: World, only: Callable[[int], None]
) -> None:
    """Its callback may be on its way."""
    only(16)
    truth = book(success_time=datetime.now(UTC).isoformat(), state="NOTPAY")
    assert await check(world.urls, sandbox_book=truth) == []
    assert await check(world.urls, sandbox_book=truth, grace_s=-5) != []


@pytest.mark.parametrize("moving", [BOUGHT, REFUND])
async def test_a_refund_and_its_trade_are_busy_together(
    moving: str, world: World, impatient: None
) -> None:
    """Each is a chain of its own, but what happens in one may be waited for in the other."""
    world.run("clearing", "DELETE FROM journal WHERE starts_with(event_type, 'pay.instruction.') "
              "AND business_id = ANY(%s)", [BOUGHT, REFUND, TRANSFER])  # fmt: skip
    found = {f.business_id for f in await check(world.urls) if f.invariant == 5}
    assert found == {BOUGHT, REFUND, TRANSFER}
    world.run("pay", "UPDATE outbox SET occurred_at = now() WHERE business_id = %s", moving)
    found = {f.business_id for f in await check(world.urls) if f.invariant == 5}
    assert found == {TRANSFER}


async def test_what_one_database_shows_is_said_of_busy_chains_too(
    world: World, impatient: None
) -> None:
    world.run("trade", "UPDATE trade SET refunded_minor = 1 WHERE refunded_minor > 0")
    world.run("trade", "UPDATE outbox SET occurred_at = now()")
    assert {(f.invariant, f.business_id) for f in await check(world.urls)} == {(7, BOUGHT)}


async def test_busy_chains_do_not_crowd_out_the_others(
    world: World, only: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paymesh_ops.check.runner.FINDINGS_MAX", 1)
    monkeypatch.setattr("paymesh_ops.check.runner.CANDIDATES_MAX", 1)
    only(5)
    world.run("clearing", "DELETE FROM journal")
    world.run("pay", "UPDATE outbox SET occurred_at = now() WHERE business_id <> %s", BOUNCED)
    assert [f.business_id for f in await check(world.urls)] == [BOUNCED]
