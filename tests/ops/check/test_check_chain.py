"""Invariant 17: the last blocks of the hash chain are as they were sealed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ops.check.check_chains import BUSINESS
from tests.ops.check.check_world import World, check

DIFFERS, UNLINKED = "what a block seals is not", "a block does not follow"
SECOND = (
    "INSERT INTO block SELECT 2, {hash}, sha256(''), up_to + 1, 0, 0, now() FROM block"  # nothing
)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (f"UPDATE entry SET amount_minor = amount_minor + 1 WHERE journal_id = (SELECT min(id) "
         f"FROM journal WHERE business_id = '{BUSINESS}') AND line = 1", {DIFFERS}),
        ("UPDATE block SET sealed_at = sealed_at - interval '1 hour'", {DIFFERS}),
        (SECOND.format(hash="hash"), {DIFFERS}),
        (SECOND.format(hash="sha256(hash)"), {DIFFERS, UNLINKED}),
        ("DELETE FROM block", {"journals wait to be sealed"}),
        ("INSERT INTO accounting_day VALUES ('2026-01-01', 2, now())", {"a day was closed upon"}),
    ],
)  # fmt: skip
async def test_damage_to_the_chain_is_found(
    world: World, only: Callable[[int], None], damage: str, said: set[str]
) -> None:
    only(17)
    assert await check(world.urls) == []
    world.run("clearing", damage)
    found = await check(world.urls)
    assert {finding.invariant for finding in found} == {17}
    assert {title for title in said for f in found if f.title.startswith(title)} == said
    assert len(found) == len(said)


async def test_only_the_last_blocks_are_verified(
    world: World, only: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`paymesh ledger verify` verifies all of them."""
    only(17)
    world.run("clearing", SECOND.format(hash="hash"))
    world.run("clearing", "UPDATE entry SET reference = 'x'")
    assert [f.rows[0]["block"] for f in await check(world.urls)] == [1, 2]
    monkeypatch.setattr("paymesh_ops.check.append_only.VERIFIED_JOURNALS_MAX", 1)
    assert [f.rows[0]["block"] for f in await check(world.urls)] == [2]
