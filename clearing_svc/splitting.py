"""Legs of split journals, each booked in a transaction of its own.

Not through the ledger's batcher: there a leg would wait for the locked account of a stranger. And
not for long: a leg that waits for its account gives up early, so that it holds neither a connection
nor its transit account; the split journal's next_action_at brings it back.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from clearing_svc.ledger.splitting import (
    OVER,
    LegBooked,
    LegRefused,
    PostSplit,
    SplitJournal,
    SplitView,
    SubmitLeg,
)
from paymesh.app import Core
from paymesh.clock import Clock
from paymesh.context import Call, DeadlineClass
from paymesh.effects import Result
from paymesh.errors import TRANSIENT, NotFound, PaymentError
from paymesh.items import Item
from paymesh.rpc import run
from paymesh.shell import Shell

LEG_TIMEOUT_S = 8.0
WAIT_S = 1.5
"""How long a caller waits for the end before the answer shows what there is."""


class Legs:
    """Carries out the effect SubmitLeg, `side_by_side` of them at a time."""

    def __init__(self, shell: Shell[Any], *, clock: Clock, side_by_side: int) -> None:
        self._shell, self._clock = shell, clock
        self._room = asyncio.Semaphore(side_by_side)

    async def book(self, effect: SubmitLeg) -> Result:
        """What has become of the leg, or why not. Raises what says nothing about it: ask again."""
        async with self._room:
            call = Call(
                effect.context,
                deadline=self._clock.monotonic() + LEG_TIMEOUT_S,
                deadline_class=DeadlineClass.BACKGROUND,
            )
            [outcome] = await self._shell.process([Item(effect.command, call)])
        of = (effect.split_id, effect.context, effect.number, effect.back)
        if not isinstance(outcome, PaymentError):
            return Result(LegBooked(*of, outcome.answer))
        if outcome.code in TRANSIENT:
            raise outcome
        return Result(LegRefused(*of, outcome.reason))


class Splits:
    """Split journals for who asks."""

    def __init__(self, core: Core[SplitView], *, clock: Clock) -> None:
        self._core, self._clock = core, clock

    async def post(self, command: PostSplit, call: Call) -> SplitJournal:
        """As it stands when it is over, when nothing goes on, or WAIT_S later."""
        split = _found((await run(self._core.submit, command, call)).state, command.key)
        ends = min(time.monotonic() + WAIT_S, call.deadline - 0.3 * WAIT_S)
        while split.state not in OVER and (left_s := ends - time.monotonic()) > 0:
            asked = self._core.shell.owed(SplitView(split), self._clock.now())
            await self._core.executor.execute(asked, timeout_s=left_s)
            before, split = split, await self.get(split.id)
            if split.version == before.version:
                break  # nothing goes on now: the sweeper will
        return split

    async def get(self, split_id: str) -> SplitJournal:
        """Raises NotFound."""
        return _found(await self._core.load(split_id), split_id)


def _found(view: SplitView, split_id: str) -> SplitJournal:
    if view.split is None:
        raise NotFound(f"no split journal {split_id}")
    return view.split
