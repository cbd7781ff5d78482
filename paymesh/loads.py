"""Reading states: concurrent readers of single aggregates share one query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from paymesh.batcher import Batcher, BatchLimits
from paymesh.clock import Clock
from paymesh.errors import PaymentError, Unavailable
from paymesh.store.port import Conflict, Store, Unreachable
from paymesh.store.rowtypes import Aggregate, AggregateSet

S = TypeVar("S")
LIMITS = BatchLimits(items_max=500, linger_max_s=0.002)


class Loads(Generic[S]):
    """States of one kind of aggregate by key, without locks."""

    def __init__(
        self, store: Store, aggregate: Aggregate[S] | AggregateSet[S], *, clock: Clock
    ) -> None:
        self._store, self._aggregate = store, aggregate
        self._batcher: Batcher[str, S | PaymentError] = Batcher(
            self._loaded, clock=clock, limits=LIMITS
        )

    async def load(self, key: str) -> S:
        """The state of one aggregate, not older than the call. Raises Unavailable."""
        state = await self._batcher.submit(key)
        if isinstance(state, PaymentError):
            raise state
        return state

    async def _loaded(self, keys: Sequence[str]) -> Sequence[S | PaymentError]:
        try:
            states = await self._store.load(self._aggregate, sorted(set(keys)))
        except (Unreachable, Conflict):
            return [Unavailable("the database does not answer; ask again") for _ in keys]
        return [states[key] for key in keys]

    async def close(self) -> None:
        await self._batcher.close()
