"""Split journals and expired holds: each invariant finds what was broken in them on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from clearing_svc.ledger.splitting import split_id_of
from tests.ops.check.check_chains import WAITING, hold_of, payment_of
from tests.ops.check.check_world import Ago, World, check

TYPE, CHAIN = "payroll", "biz_split"
POSTED, REFUSED, OPEN = (split_id_of(TYPE, key) for key in ("posted", "refused", "open"))


def leg(world: World, key: str, number: int, side: str, suffix: str = "") -> None:
    """10 between BANK and its transit, or back."""
    other = {"DEBIT": "CREDIT", "CREDIT": "DEBIT"}[side]
    reference = split_id_of(TYPE, key)
    world.journal(
        f"{TYPE}/leg-{number}{suffix}",
        key,
        (side, "BANK", "platform", "", 10),
        (other, "SPLIT_TRANSIT", "platform", reference, 10),
    )


def split(world: World, key: str, *states: str) -> None:
    legs = [{"side": side, "minor": 10} for side in ("DEBIT", "DEBIT", "CREDIT", "CREDIT")]
    id_ = split_id_of(TYPE, key)
    over = states[-1] in {"POSTED", "REFUSED"}
    world.put(
        "clearing", "split_journal", id=id_, version=len(states), state=states[-1],
        event_type=TYPE, business_key=key, currency="EUR", legs=json.dumps(legs),
        next_action_at=None if over else Ago(0),
    )  # fmt: skip
    world.history("clearing", id_, "clearing.split", *states)


def plant(world: World) -> None:
    with world.of(CHAIN):
        split(world, "posted", "DEBITING", "DEBITING", "CREDITING", "CREDITING", "POSTED")
        for number, side in enumerate(("DEBIT", "DEBIT", "CREDIT", "CREDIT"), start=1):
            leg(world, "posted", number, side)
        split(world, "refused", "DEBITING", "DEBITING", "REVERSING", "REFUSED")
        leg(world, "refused", 1, "DEBIT")
        leg(world, "refused", 1, "CREDIT", "/back")
        split(world, "open", "DEBITING", "DEBITING", "CREDITING")
        for number in (1, 2):
            leg(world, "open", number, "DEBIT")


@pytest.fixture
def splits(world: World) -> World:
    plant(world)
    world.seal()
    return world


async def test_splits_that_went_well_or_are_under_way_are_right(
    splits: World, impatient: None
) -> None:
    assert await check(splits.urls) == []


CORRUPTIONS: dict[str, tuple[int, str]] = {
    "a credit is missing": (21, "DELETE FROM journal WHERE event_type = 'payroll/leg-4';"
                            "DELETE FROM entry WHERE journal_id NOT IN (SELECT id FROM journal)"),
    "nothing was booked": (21, "DELETE FROM journal WHERE business_key = 'posted';"
                           "DELETE FROM entry WHERE journal_id NOT IN (SELECT id FROM journal)"),
    "not taken back": (21, "DELETE FROM journal WHERE event_type = 'payroll/leg-1/back';"
                       "DELETE FROM entry WHERE journal_id NOT IN (SELECT id FROM journal)"),
    "of no split journal": (21, f"DELETE FROM split_journal WHERE id = '{OPEN}'"),
    "without reference": (21, "UPDATE entry SET reference = '' WHERE reference LIKE 'spl_%'"),
    "over too early": (21, f"UPDATE split_journal SET state = 'POSTED' WHERE id = '{OPEN}'"),
    "nobody looks after it": (18, "UPDATE split_journal SET next_action_at = NULL "
                              f"WHERE id = '{OPEN}'"),
    "an illegal move": (9, "UPDATE outbox SET state = 'REVERSING' WHERE aggregate_id = "
                        f"'{POSTED}' AND sequence = 4"),
    "an untold version": (12, f"UPDATE split_journal SET version = 9 WHERE id = '{REFUSED}'"),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
async def test_every_corruption_is_found(
    name: str, splits: World, only: Callable[[int], None]
) -> None:
    number, statements = CORRUPTIONS[name]
    for statement in statements.split(";"):
        splits.run("clearing", statement)
    only(number)
    findings = await check(splits.urls)
    assert findings, f"invariant {number} saw nothing"
    assert {f.business_id for f in findings} == {CHAIN}
    assert all(f.what_to_do and f.rows for f in findings)


async def test_an_expired_hold_that_nobody_is_asked_about_is_found(
    world: World, only: Callable[[int], None]
) -> None:
    world.run("clearing", "UPDATE hold SET expires_at = now() WHERE state = 'HELD'")
    only(18)
    assert {f.business_id for f in await check(world.urls)} == {WAITING}
    world.run("clearing", "UPDATE hold SET next_action_at = now() WHERE expires_at IS NOT NULL")
    assert await check(world.urls) == []


async def test_an_expired_hold_may_be_let_go_of_once_its_payment_is_over(
    world: World, only: Callable[[int], None]
) -> None:
    """And not before, and none that has not expired."""
    only(15)
    hold = hold_of(payment_of(WAITING))
    world.run(
        "clearing",
        "UPDATE hold SET state = 'RELEASED', expires_at = now() - interval '1 second', "
        "parts = jsonb_set(parts, '{0,released}', parts #> '{0,held}') WHERE id = %s",
        hold,
    )
    world.run("clearing", "UPDATE account SET held_minor = 0 WHERE held_minor > 0")
    assert {f.business_id for f in await check(world.urls)} == {WAITING}
    world.run("pay", "UPDATE payment SET state = 'FAILED' WHERE id = %s", payment_of(WAITING))
    assert await check(world.urls) == []
    world.run("clearing", "UPDATE hold SET expires_at = NULL WHERE id = %s", hold)
    assert {f.business_id for f in await check(world.urls)} == {WAITING}
