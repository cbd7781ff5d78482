"""What a service's core says when its database is away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from paymesh.app import Core
from paymesh.clock import SystemClock
from paymesh.effects import Result
from paymesh.errors import Code, Unavailable
from paymesh.items import Done
from paymesh.store.memory import MemoryStore
from paymesh.store.port import Unreachable
from tests.runtime.world import Published, create, new_trade_id, shell_on
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
        publisher=Published(),  # type: ignore[arg-type]
        clock=clock,
        **does,
    )


async def test_a_read_without_the_database_is_unavailable_not_a_defect() -> None:
    """The caller is told to ask again."""
    with pytest.raises(Unavailable) as refused:
        await core().load(new_trade_id())
    assert refused.value.code is Code.UNAVAILABLE


class TornStore(MemoryStore):
    """The first read has looked for rows before, and for answers after, somebody's commit."""

    torn = False

    def state(self, aggregate: Any, key: str) -> Any:
        if self.torn:
            self.torn = False
            return aggregate.build(None, {})
        return super().state(aggregate, key)


async def test_a_replay_never_shows_less_than_was_answered() -> None:
    """What was created between two reads of a batch is looked for again."""
    store = TornStore(SystemClock())
    shell = shell_on(store)
    asked = replace(create("order"), shows_state=True)
    [first] = await shell.process([asked])
    store.torn = True
    [again] = await shell.process([asked])
    assert isinstance(first, Done)
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
    assert await reading.executor.settle(["effect"], timeout_s=5) == [None]
    said = capsys.readouterr().out
    assert "effect.later" in said
    assert "defect" not in said
