"""Effects: done once at a time, within the room there is; what was dropped, the sweep does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from paymesh.clock import SystemClock
from paymesh.context import Context, DeadlineClass
from paymesh.effects import EffectExecutor, EffectLimits, Result, SweepLimits, sweep
from paymesh.errors import PaymentError, Unavailable
from paymesh.items import Done, Item, Outcome
from paymesh.shell import Shell
from paymesh.store.memory import MemoryStore
from paymesh.store.port import Store
from paymesh.store.postgres import PostgresStore
from tests.runtime.store_contract import insert
from tests.runtime.world import (
    CONTEXT,
    RULES,
    Published,
    create,
    done,
    one,
    pay,
    trade,
    trade_of,
    view_of,
)
from trade_svc import wire
from trade_svc.store import TRADES
from trade_svc.trades import domain, model
from trade_svc.trades.model import (
    PaymentMoved,
    PaymentOutcome,
    StartPayment,
    TradeState,
    TradeTiming,
)


@dataclass(frozen=True)
class Ask:
    """An effect."""

    number: int
    context: Context = CONTEXT


@dataclass(frozen=True)
class Tell:
    """A command: what came of it."""

    number: int
    context: Context = CONTEXT


class World:
    """An executor whose effects wait for the gate, and a core that notes what it is told."""

    def __init__(self, **limits: Any) -> None:
        self.asked: list[int] = []
        self.told: list[Item] = []
        self.error: Exception | None = None
        self.outcome: Outcome | None = None
        self.gate = asyncio.Event()
        self.executor = EffectExecutor(
            name="test", does={Ask: self.ask}, limits=EffectLimits(**limits), clock=SystemClock()
        )
        self.executor.bind(self.submit)

    async def ask(self, effect: Ask) -> Result:
        self.asked.append(effect.number)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Result(command=Tell(effect.number), value=f"value {effect.number}")

    async def submit(self, item: Item) -> Outcome:
        self.told.append(item)
        return self.outcome or Done(None, None)

    def numbers(self) -> list[int]:
        return [item.command.number for item in self.told]


async def test_an_effect_is_done_once_at_a_time_however_often_it_is_offered() -> None:
    world = World()
    world.executor.offer([Ask(1), Ask(1), Ask(2)])
    assert world.executor.start(Ask(1)) is world.executor.start(Ask(1))
    await asyncio.sleep(0)
    world.gate.set()
    assert await world.executor.execute([Ask(1), Ask(2)], timeout_s=60) == ["value 1", "value 2"]
    assert world.asked == [1, 2]
    assert await world.executor.execute([Ask(1)], timeout_s=60) == ["value 1"]
    assert world.asked == [1, 2, 1], "when it is over, it may be done again"


async def test_what_came_of_it_goes_into_the_core_with_time_of_its_own() -> None:
    world = World(effect_timeout_s=300)
    world.gate.set()
    await world.executor.execute([Ask(1)], timeout_s=60)
    [item] = world.told
    assert item.command == Tell(1)
    assert item.call.context == CONTEXT
    assert item.call.deadline_class is DeadlineClass.BACKGROUND
    assert 200 < item.call.deadline - SystemClock().monotonic() <= 300


async def test_an_effect_that_nobody_does_is_itself_a_command() -> None:
    """A deadline that has passed, for example."""
    world = World()
    await world.executor.execute([Tell(7)], timeout_s=60)
    assert world.numbers() == [7]


async def test_without_room_an_effect_is_dropped_not_queued() -> None:
    world = World(in_flight_max=2)
    world.executor.offer([Ask(1), Ask(2), Ask(3)])
    assert world.executor.start(Ask(4)) is None
    await asyncio.sleep(0)
    assert world.asked == [1, 2]
    assert await world.executor.execute([Ask(3)], timeout_s=60) == [None]
    world.gate.set()
    await world.executor.execute([Ask(1), Ask(2)], timeout_s=60)
    assert await world.executor.execute([Ask(3)], timeout_s=60) == ["value 3"]


@pytest.mark.parametrize("error", [Unavailable("not now"), TimeoutError(), ZeroDivisionError()])
async def test_what_fails_is_left_for_later_and_harms_nobody(error: Exception) -> None:
    """And the log names its chain: a person can trace what waits."""
    world = World()
    world.error = error
    world.gate.set()
    with capture_logs() as lines:
        assert await world.executor.execute([Ask(1)], timeout_s=60) == [None]
    assert [line["business_id"] for line in lines] == [CONTEXT.business_id]
    world.error = None
    assert await world.executor.execute([Ask(1)], timeout_s=60) == ["value 1"]
    assert world.numbers() == [1]


async def test_a_core_that_refuses_leaves_the_effect_for_later() -> None:
    world = World()
    world.outcome = Unavailable("the database is away")
    world.gate.set()
    assert await world.executor.execute([Ask(1)], timeout_s=60) == [None]


async def test_an_effect_that_takes_too_long_is_given_up() -> None:
    world = World(effect_timeout_s=0.02)
    assert await world.executor.execute([Ask(1)], timeout_s=60) == [None]
    assert world.executor.start(Ask(1)) is not None
    await world.executor.close(grace_s=1)


async def test_who_waits_for_an_effect_leaves_without_stopping_it() -> None:
    world = World()
    assert await world.executor.execute([Ask(1)], timeout_s=0.01) == [None]
    world.gate.set()
    assert await world.executor.execute([Ask(1)], timeout_s=60) == ["value 1"]
    assert world.asked == [1]


async def test_closing_lets_go_of_what_does_not_end() -> None:
    world = World()
    world.executor.offer([Ask(1)])
    await asyncio.sleep(0)
    await world.executor.close(grace_s=0.01)
    assert world.told == []


# The sweep


class PaymentCore:
    """Does StartPayment: the payment has succeeded at once."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.error: PaymentError | None = None

    async def start(self, effect: StartPayment) -> Result:
        self.started.append(effect.payment_id)
        if self.error is not None:
            raise self.error
        return Result(
            PaymentMoved(
                effect.trade_id,
                effect.payment_id,
                PaymentOutcome.SUCCEEDED,
                effect.amount,
                effect.context,
            )
        )


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore(SystemClock())
    found: PostgresStore = request.getfixturevalue("postgres_store")
    return found


def process_on(
    store: Store, payments: PaymentCore, **limits: Any
) -> tuple[Shell[Any], EffectExecutor]:
    """A process of the trade core; a row's effects are due again at once."""
    timing = TradeTiming(effect_lease=timedelta(0))
    executor = EffectExecutor(
        name="trade",
        does={StartPayment: payments.start},
        limits=EffectLimits(**limits),
        clock=SystemClock(),
    )
    shell: Shell[Any] = Shell(
        store=store,
        aggregate=TRADES,
        rules={**RULES, model.PayTrade: partial(domain.pay_trade, timing=timing)},
        encode=wire.encode,
        clock=SystemClock(),
        publisher=Published(),
        executor=executor,
        owed=partial(domain.owed, timing=timing),
    )

    async def submit(item: Item) -> Outcome:
        return await one(shell, item)

    executor.bind(submit)
    return shell, executor


SWEEP = SweepLimits(ladder_s=(500, 3000))


async def test_the_sweep_does_what_was_dropped(store: Store) -> None:
    """A process without room commits the attempt; another one's sweep carries it out."""
    payments = PaymentCore()
    full, _ = process_on(store, payments, in_flight_max=0)
    item = create("order")
    trade_id = item.command.trade_id
    await one(full, item)
    payment_id = done(await one(full, pay(trade_id))).reply.payment_id
    assert payments.started == []

    shell, executor = process_on(store, payments)
    assert await sweep(shell, executor, clock=SystemClock(), limits=SWEEP) == 1
    assert payments.started == [payment_id]
    found = await trade_of(store, trade_id)
    assert (found.state, found.paid_payment_id) == (TradeState.PAID, payment_id)
    assert found.next_action_at is None
    assert await sweep(shell, executor, clock=SystemClock(), limits=SWEEP) == 0


async def test_what_fails_in_a_sweep_climbs_the_ladder(store: Store) -> None:
    payments = PaymentCore()
    payments.error = Unavailable("not now")
    shell, executor = process_on(store, payments)
    item = create("order")
    trade_id = item.command.trade_id
    await one(shell, item)
    await one(shell, pay(trade_id))
    await executor.close()
    assert await sweep(shell, executor, clock=SystemClock(), limits=SWEEP) == 1
    assert len(payments.started) == 2
    found = await trade_of(store, trade_id)
    assert (found.state, found.action_attempts) == (TradeState.PAYING, 1)
    assert await sweep(shell, executor, clock=SystemClock(), limits=SWEEP) == 0, "not yet"


async def test_while_calls_go_unheard_a_row_does_not_climb_to_the_high_rungs(store: Store) -> None:
    """After an outage it is asked again soon, not hours later."""
    payments = PaymentCore()
    payments.error = Unavailable("nobody is there")
    shell, executor = process_on(store, payments)
    limits = SweepLimits(ladder_s=(0.1, 3600), unheard_rungs=1)
    item = create("order")
    await one(shell, item)
    await one(shell, pay(item.command.trade_id))
    await executor.close()
    for _ in range(3):
        assert await sweep(shell, executor, clock=SystemClock(), limits=limits) == 1
        await executor.close()
        assert not executor.heard
        await asyncio.sleep(0.15)
    payments.error = None
    assert await sweep(shell, executor, clock=SystemClock(), limits=limits) == 1
    await executor.close()
    assert executor.heard
    assert (await trade_of(store, item.command.trade_id)).state is TradeState.PAID


async def test_who_has_just_started_takes_nobody_for_heard(store: Store) -> None:
    """A process that comes back in the middle of an outage does not send the rows that climbed
    meanwhile to the highest rung by its first sweep."""
    payments = PaymentCore()
    payments.error = Unavailable("nobody is there")
    shell, executor = process_on(store, payments)
    item = create("order")
    await one(shell, item)
    await one(shell, pay(item.command.trade_id))
    await executor.close()
    limits = SweepLimits(ladder_s=(0.1, 3600), unheard_rungs=1)
    assert await sweep(shell, executor, clock=SystemClock(), limits=limits) == 1
    await executor.close()
    again, anew = process_on(store, payments)
    await asyncio.sleep(0.15)
    assert await sweep(again, anew, clock=SystemClock(), limits=limits) == 1
    await anew.close()
    payments.error = None
    await asyncio.sleep(0.15)
    assert await sweep(again, anew, clock=SystemClock(), limits=limits) == 1, "an hour later"
    await anew.close()
    assert (await trade_of(store, item.command.trade_id)).state is TradeState.PAID


async def test_a_trade_whose_time_is_over_is_closed_by_the_sweep(store: Store) -> None:
    """What is owed then is a command, and goes straight into the core."""
    now = SystemClock().now()
    over = trade(expires_at=now - timedelta(seconds=1), next_action_at=now - timedelta(seconds=1))
    await insert(store, over, replace(trade(), next_action_at=None))
    shell, executor = process_on(store, PaymentCore())
    assert await sweep(shell, executor, clock=SystemClock(), limits=SWEEP) == 1
    assert (await trade_of(store, over.id)).state is TradeState.CLOSED
    assert (await view_of(store, over.id)).attempts == ()
