"""What a service's core says when its database is away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from paymesh.app import Core
from paymesh.clock import SystemClock
from paymesh.effects import Result
from paymesh.errors import Code, Unavailable
from paymesh.items import Done
from paymesh.loads import Loads
from paymesh.store.memory import MemoryStore
from paymesh.store.port import Unreachable
from tests.runtime.world import Published, create, new_trade_id, pay, shell_on
from trade_svc.store import TRADES


class AwayStore(MemoryStore):
    """Nobody answers."""

    async def load(self, aggregate: Any, keys: Sequence[str]) -> Mapping[str, Any]:
        raise Unreachable("connection refused")


def core(**does: Any) -> Core[Any]:
    clock = SystemClock()
    return Core(
        store=AwayStore(clock),
        aggregate=TRADES,
        rules={},
        encode=lambda event: b"",
        publisher=Published(),
        clock=clock,
        **does,
    )


async def test_a_read_without_the_database_is_unavailable_not_a_defect() -> None:
    """The caller is told to ask again."""
    with pytest.raises(Unavailable) as refused:
        await core().load(new_trade_id())
    assert refused.value.code is Code.UNAVAILABLE


class CountingStore(MemoryStore):
    """Counts its reads."""

    reads = 0

    async def load(self, aggregate: Any, keys: Sequence[str]) -> Mapping[str, Any]:
        self.reads += 1
        await asyncio.sleep(0.01)
        return await super().load(aggregate, keys)


async def test_readers_of_one_moment_share_a_query_and_each_sees_its_own() -> None:
    store = CountingStore(SystemClock())
    shell = shell_on(store)
    made = await shell.process([create(f"order-{n}") for n in range(20)])
    ids = [done.state.trade.id for done in made if isinstance(done, Done)]
    loads = Loads(store, TRADES, clock=SystemClock())
    wanted = [*ids, ids[0], new_trade_id()]
    found = await asyncio.gather(*map(loads.load, wanted))
    assert [view.trade and view.trade.id for view in found] == [*ids, ids[0], None]
    assert store.reads == 1
    await loads.close()


class TornStore(MemoryStore):
    """The next read looks for the root before, and for answers after, somebody's commit; for
    children before or after it."""

    torn: Mapping[str, Sequence[Any]] | None = None
    """The children that it sees."""

    def state(self, aggregate: Any, key: str) -> Any:
        if self.torn is not None:
            children, self.torn = self.torn, None
            return aggregate.build(None, children)
        return super().state(aggregate, key)


@pytest.mark.parametrize("sees_children", [False, True])
async def test_a_replay_never_shows_less_than_was_answered(sees_children: bool) -> None:
    """What was created between two reads of a batch is looked for again."""
    store = TornStore(SystemClock())
    shell = shell_on(store)
    item = create("order")
    [made] = await shell.process([item])
    asked = replace(pay(item.command.trade_id), shows_state=True)
    [first] = await shell.process([asked])
    assert isinstance(made, Done)
    assert isinstance(first, Done)
    store.torn = {"attempts": first.state.attempts} if sees_children else {}
    [again] = await shell.process([asked])
    assert isinstance(again, Done)
    assert again.replayed
    assert again.state == first.state


async def test_an_effect_that_needs_the_database_is_done_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its row's next_action_at brings it back; nobody is alarmed."""

    async def read(effect: str) -> Result:
        raise Unreachable("connection refused")

    reading = core(owed=lambda state, at: [], does={str: read})
    assert await reading.executor.execute(["effect"], timeout_s=60) == [None]
    said = capsys.readouterr().out
    assert "effect.later" in said
    assert "defect" not in said
