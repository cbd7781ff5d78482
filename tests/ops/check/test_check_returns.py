"""What is kept for accounts that took nothing: the check finds what was broken in it on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from clearing_svc.ledger.diverting import returns_id_of
from clearing_svc.ledger.drafts import account_id_of
from tests.ops.check.check_world import Ago, World, check

CHAIN = returns_id_of(account_id_of("USER_RETURNS_PAYABLE", "dee", "EUR"))


@pytest.fixture
def kept(world: World) -> World:
    """30 came for dee's balance; 20 of them for references, as on an account that needs them."""
    with world.of(CHAIN):
        world.journal(
            "ledger.returns/test",
            "1",
            ("DEBIT", "BANK", "platform", "", 30),
            ("CREDIT", "USER_RETURNS_PAYABLE", "dee", "trd_1", 30),
        )
        parts = [
            {"subject": "USER_BALANCE", "reference": "", "minor": 10},
            {"subject": "ESCROW", "reference": "trd_1", "minor": 20},
        ]
        world.put(
            "clearing", "returns_payable", id=CHAIN, subject="USER_RETURNS_PAYABLE", owner="dee",
            currency="EUR", parts=json.dumps(parts), next_action_at=Ago(0),
        )  # fmt: skip
    world.seal()
    return world


async def test_what_is_kept_is_right(kept: World, impatient: None) -> None:
    assert await check(kept.urls) == []


@pytest.mark.parametrize(
    ("number", "statement"),
    [
        (22, "UPDATE returns_payable SET parts = parts - 0"),
        (22, "DELETE FROM returns_payable"),
        (22, "UPDATE account SET balance_minor = 29 WHERE subject = 'USER_RETURNS_PAYABLE'"),
        (22, "DELETE FROM account WHERE subject = 'USER_RETURNS_PAYABLE'"),
        (18, "UPDATE returns_payable SET next_action_at = NULL"),
    ],
)
async def test_a_corruption_of_it_is_found(
    number: int, statement: str, kept: World, only: Callable[[int], None]
) -> None:
    kept.run("clearing", statement)
    only(number)
    findings = await check(kept.urls)
    assert {finding.business_id for finding in findings} == {CHAIN}
    assert all(finding.what_to_do and finding.rows for finding in findings)
