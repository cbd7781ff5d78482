"""The watcher alone: it ends in time, is bounded, and outlives what goes wrong below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from gateway_svc.orders import watch
from gateway_svc.orders.model import ChannelOrder, OrderState, OrderView
from gateway_svc.orders.watch import Watcher
from gateway_svc.store import ORDERS
from paymesh.errors import Overloaded
from paymesh.store.port import Unreachable
from tests.gateway.test_gateway_domain import Book


class Store:
    """Has one order, and fails as it is told."""

    def __init__(self, order: ChannelOrder) -> None:
        self.order = order
        self.failures: list[Exception] = []

    async def load(self, aggregate: Any, keys: Sequence[str]) -> Mapping[str, OrderView]:
        if self.failures:
            raise self.failures.pop(0)
        return {key: OrderView(self.order) for key in keys}


@pytest.fixture
def order() -> ChannelOrder:
    return Book().order


@pytest.fixture
def store(order: ChannelOrder) -> Store:
    return Store(order)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.01)


async def test_a_stream_ends_at_its_limit_and_leaves_nothing_behind(
    store: Store, order: ChannelOrder
) -> None:
    watcher = Watcher(store, ORDERS)
    assert [o async for o in watcher.watch(order, limit_s=0.05)] == [order]
    assert not watcher._queues
    await watcher.close()


async def test_a_change_is_told_after_the_store_was_away_and_after_a_defect(
    store: Store, order: ChannelOrder
) -> None:
    """The one polling task goes on, whatever it meets."""
    watcher = Watcher(store, ORDERS)
    store.failures = [Unreachable("away"), RuntimeError("a defect")]
    store.order = replace(order, version=2, state=OrderState.AWAITING_PAYER)
    versions = []
    async with aclosing(watcher.watch(order, limit_s=60)) as orders:
        async for o in orders:
            versions.append(o.version)
            if len(versions) == 2:
                break
    assert versions == [1, 2]
    await watcher.close()


async def test_only_so_many_may_watch(
    store: Store, order: ChannelOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WATCHERS_MAX", 1)
    watcher = Watcher(store, ORDERS)
    first = watcher.watch(order, limit_s=60)
    assert await anext(first) == order
    with pytest.raises(Overloaded):
        await anext(watcher.watch(order, limit_s=60))
    await watcher.close()
