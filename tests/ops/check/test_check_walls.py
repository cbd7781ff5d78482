"""What was booked cannot be changed, and no card number is kept: both are found."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from clearing_svc.migrations.clearing_0001_ledger import APPEND_ONLY
from paymesh.cards import is_card_number
from tests.ops.check.check_chains import (
    BOUGHT,
    BOUNCED,
    REFUND,
    WAITING,
    payment_of,
    trade_of,
)
from tests.ops.check.check_world import World, check

pytestmark = pytest.mark.slow

WALLS = {
    "a right": ("GRANT DELETE ON entry TO paymesh_clearing_app",
                "REVOKE DELETE ON entry FROM paymesh_clearing_app"),
    "a right to a column": ("GRANT UPDATE (amount_minor) ON entry TO paymesh_clearing_app",
                            "REVOKE UPDATE (amount_minor) ON entry FROM paymesh_clearing_app"),
    "everybody's right": ("GRANT TRUNCATE ON journal TO PUBLIC",
                          "REVOKE TRUNCATE ON journal FROM PUBLIC"),
    "the owner's rights": ("GRANT paymesh_clearing_owner TO paymesh_clearing_app",
                           "REVOKE paymesh_clearing_owner FROM paymesh_clearing_app"),
    "a trigger that is off": ("ALTER TABLE entry DISABLE TRIGGER entry_append_only",
                              "ALTER TABLE entry ENABLE ALWAYS TRIGGER entry_append_only"),
    "an ordinary trigger": ("ALTER TABLE journal ENABLE TRIGGER journal_append_only",
                            "ALTER TABLE journal ENABLE ALWAYS TRIGGER journal_append_only"),
}  # fmt: skip
WALLS |= {
    f"a right to change a {table}": (f"GRANT UPDATE ON {table} TO paymesh_clearing_app",
                                     f"REVOKE UPDATE ON {table} FROM paymesh_clearing_app")
    for table in APPEND_ONLY
} | {
    f"no trigger of a {table}": (f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only",
                                 f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")
    for table in APPEND_ONLY
}  # fmt: skip


@pytest.mark.parametrize("name", WALLS)
async def test_a_hole_in_the_wall_is_found(
    name: str, world: World, only: Callable[[int], None]
) -> None:
    breach, repair = WALLS[name]
    only(17)
    world.run("clearing", breach)
    try:
        found = await check(world.urls)
    finally:
        world.run("clearing", repair)
    assert {f.invariant for f in found} == {17}
    assert await check(world.urls) == []


async def test_a_refund_that_came_back_before_it_could_be_returned_is_right(
    world: World, only: Callable[[int], None]
) -> None:
    """Older versions suspended its payment: that move stays a legal one."""
    back = payment_of(REFUND)
    world.run("pay", "UPDATE payment SET state = 'SUSPENDED', version = 3, owner = 'operator' "
              "WHERE id = %s", back)  # fmt: skip
    with world.of(REFUND):
        world.event("pay", back, "pay.payment.suspended", 3, "SUSPENDED", "trade.payments")
    only(9)
    assert await check(world.urls) == []


async def test_that_a_payment_is_suspended_is_heard_once_and_by_whom_it_concerns(
    world: World, only: Callable[[int], None]
) -> None:
    """Long ago: what was heard a moment ago is not looked at."""
    payment = payment_of(WAITING)
    with world.of(WAITING):
        said = world.event(
            "pay", payment, "pay.payment.suspended", 2, "SUSPENDED", "trade.payments"
        )
    world.run("trade", "UPDATE inbox SET created_at = now() - interval '1 hour'")
    only(13)
    assert await check(world.urls) == []
    world.run("trade", "DELETE FROM inbox WHERE message_id = %s", said)
    assert [found.invariant for found in await check(world.urls)] == [13]


# Card numbers

CARD = "4111111111111111"
PLACES = {
    "a text": (BOUGHT, "trade", f"UPDATE trade SET subject = 'card {CARD}.' WHERE id = "
               f"'{trade_of(BOUGHT)}'", "trade"),
    "written with spaces": (WAITING, "pay", "UPDATE payment SET subject = '4111 1111 1111 1111' "
                            f"WHERE id = '{payment_of(WAITING)}'", "payment"),
    "JSON": (BOUNCED, "gateway", "UPDATE channel_order SET credential = "
             f"'{{\"a\": {{\"pan\": \"{CARD}\"}}}}' WHERE state = 'BOUNCED'", "channel_order"),
    "a name": ("", "trade", f"INSERT INTO inbox VALUES (1, 'trade.payments', '{CARD}')", "inbox"),
    "a chain's name": ("*********1111", "pay", f"UPDATE payment SET business_id = '{CARD}' "
                       f"WHERE id = '{payment_of(REFUND)}'", "payment"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
async def test_a_card_number_is_found_and_not_shown(
    name: str, world: World, only: Callable[[int], None]
) -> None:
    business_id, service, statement, table = PLACES[name]
    only(20)
    world.run(service, statement)
    [finding] = await check(world.urls)
    assert finding.rows[0]["table"] == f"{service}: public.{table}"
    assert finding.rows[0]["last_4"] == CARD[-4:]
    assert CARD not in str(finding)
    assert finding.business_id == business_id


async def test_an_order_number_that_looks_like_a_cards_is_none(
    world: World, only: Callable[[int], None]
) -> None:
    """A tenth of a shop's long numbers do, and nothing could be done about them."""
    only(20)
    of = f"WHERE id = '{trade_of(BOUGHT)}'"
    world.run("trade", f"UPDATE trade SET merchant_order_no = '{CARD}' {of}")
    world.run("trade", f"INSERT INTO guard VALUES (1, 'order', 'm1\x1f\x1f{CARD}', 'trd_x')")
    told = json.dumps({"trade": {"merchant_order_no": f'"{CARD}'}})
    world.run("trade", "UPDATE notification SET body = %s", told)
    assert await check(world.urls) == []
    world.run("trade", "UPDATE notification SET body = %s", json.dumps({"note": CARD}))
    assert await check(world.urls)


async def test_an_amount_that_looks_like_a_cards_number_is_none(
    world: World, only: Callable[[int], None]
) -> None:
    """In the JSON of tools and of notifications; as a text it is one."""
    only(20)
    tools = json.dumps([{"kind": "CHANNEL", "channel": "sandbox", "minor": int(CARD)}])
    world.run("trade", "UPDATE attempt SET tools = %s", tools)
    told = json.dumps({"trade": {"amount": {"minor_units": int(CARD)}}})
    world.run("trade", "UPDATE notification SET body = %s", told)
    assert await check(world.urls) == []
    world.run("trade", "UPDATE attempt SET tools = %s", tools.replace(CARD, f'"{CARD}"'))
    assert await check(world.urls)


CARDS = ["4222222222222", "5555555555554444", "2223003122003222", "378282246310005",
         "30569309025904", "6011111111111117", "3530111333300000", "6212345678901232"]  # fmt: skip
NO_CARDS = ["4111111111111112", "20261122101500126", "1767225600009"]


def test_card_numbers_are_told_from_others() -> None:
    """A wrong check digit, a day and a time, the seconds since 1970 with a right one."""
    assert [number for number in CARDS if not is_card_number(number)] == []
    assert [number for number in NO_CARDS if is_card_number(number)] == []


@pytest.mark.parametrize("text", [*NO_CARDS, f"x{CARD}", f"1111{CARD}", "2026 1122 1015 00126"])
async def test_other_long_numbers_are_let_be(
    text: str, world: World, only: Callable[[int], None]
) -> None:
    only(20)
    world.run("trade", "UPDATE trade SET merchant_order_no = %s", text)
    assert await check(world.urls) == []
