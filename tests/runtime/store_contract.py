"""What every store promises, as tests; each adapter runs them all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paymesh.core import Guard
from paymesh.money import Money
from paymesh.store.port import (
    Conflict,
    MessageKey,
    Reads,
    Rejected,
    RequestKey,
    Store,
    StoredAnswer,
    Writes,
)
from paymesh.store.rowtypes import AggregateSet
from tests.runtime.world import (
    attempt,
    merchant,
    new_trade_id,
    stored_event,
    trade,
    trade_of,
    view_of,
)
from trade_svc.merchants.domain import MerchantView
from trade_svc.store import ATTEMPT, MERCHANTS, TRADE, TRADES
from trade_svc.trades.model import AttemptState, Trade, TradeState, TradeView

REQUEST = RequestKey("CreateTrade:mer_1", "0190a8e6-0000-7000-8000-000000000001")
ANSWER = StoredAnswer(b"hash", True, b"body\x00")
MESSAGE = MessageKey("trade.payments", "evt_1")
GUARD = Guard("order", "mer_1\x1forder")
ALL = Reads(requests=[REQUEST], messages=[MESSAGE], guards=[GUARD])


async def write(store: Store, **writes: Any) -> None:
    async with store.transaction() as transaction:
        await transaction.commit(Writes(**writes))


async def insert(store: Store, *trades: Trade) -> None:
    await write(store, inserts={TRADE: list(trades)})


def claims() -> dict[str, Any]:
    return {"answers": {REQUEST: ANSWER}, "messages": [MESSAGE], "guards": {GUARD: "trd_1"}}


class StoreContract:
    """Promises of paymesh.store.port."""

    async def test_reading_gives_a_state_for_every_key(self, store: Store) -> None:
        """One without a root where there is none."""
        there, missing = trade(), new_trade_id()
        of = attempt(there)
        await write(store, inserts={TRADE: [there], ATTEMPT: [of]})
        async with store.transaction() as transaction:
            loaded = await transaction.read(TRADES, Reads(keys=[missing, there.id]))
        assert loaded.states == {there.id: TradeView(there, (of,)), missing: TradeView(None)}
        assert abs(loaded.at - datetime.now(UTC)) < timedelta(minutes=1)

    async def test_what_is_looked_at_is_as_it_was_committed(self, store: Store) -> None:
        """Beside what is locked."""
        there, other, missing = trade(), trade(), new_trade_id()
        await write(store, inserts={TRADE: [there, other]})
        reads = Reads(keys=[other.id], peeks=[there.id, missing])
        async with store.transaction() as transaction:
            loaded = await transaction.read(TRADES, reads)
        assert loaded.peeked == {there.id: TradeView(there), missing: TradeView(None)}
        assert loaded.states == {other.id: TradeView(other)}

    async def test_a_family_reads_and_writes_rows_of_several_kinds_in_one_transaction(
        self, store: Store
    ) -> None:
        """Each key by its prefix; a conflict of one kind undoes the other's rows, too."""
        family = AggregateSet("both", {"trd": TRADES, "mer": MERCHANTS})
        one, shop = trade(), merchant()
        async with store.transaction() as transaction:
            loaded = await transaction.read(family, Reads(keys=[shop.id, one.id]))
            assert loaded.states == {one.id: TradeView(None), shop.id: MerchantView(None)}
            await transaction.commit(Writes(inserts={TRADE: [one], MERCHANTS.root: [shop]}))
        states = {one.id: TradeView(one), shop.id: MerchantView(shop)}
        assert await store.load(family, [one.id, shop.id]) == states
        lost = replace(shop, version=8)
        with pytest.raises(Conflict):
            await write(
                store,
                updates={TRADE: [(replace(one, version=2), 1)], MERCHANTS.root: [(lost, 7)]},
            )
        assert await store.load(family, [one.id, shop.id]) == states
        changed = [kind for state in states.values() for kind, _ in family.rows(state)]
        assert changed == [TRADE, MERCHANTS.root]
        with pytest.raises(LookupError):
            await store.load(family, ["pay_1"])

    async def test_what_was_inserted_is_loaded_as_it_was(self, store: Store) -> None:
        """Money, context, times, absent values, enums and JSON come back equal."""
        row = trade(paid_at=None, subject='a "b" \\ {c} ✓', next_action_at=None)
        first, second = attempt(row, state=AttemptState.CLOSING), attempt(row)
        await write(store, inserts={TRADE: [row], ATTEMPT: [second, first]})
        assert await view_of(store, row.id) == TradeView(row, (first, second))
        missing = new_trade_id()
        assert await view_of(store, missing) == TradeView(None)

    async def test_many_rows_of_many_kinds_are_written_at_once(self, store: Store) -> None:
        rows = [trade() for _ in range(50)]
        await write(store, inserts={TRADE: rows, ATTEMPT: [attempt(row) for row in rows]})
        changed = [replace(row, version=2, action_attempts=n) for n, row in enumerate(rows)]
        await write(store, updates={TRADE: [(row, 1) for row in changed]})
        found = await store.load(TRADES, [row.id for row in rows])
        assert [found[row.id].trade for row in rows] == changed

    async def test_an_update_of_another_version_conflicts_and_writes_nothing(
        self, store: Store
    ) -> None:
        """The neighbour in the same statement isn't written either, nor anything beside it."""
        one, two, three = trade(), trade(), trade()
        await insert(store, one, two)
        with pytest.raises(Conflict):
            await write(
                store,
                updates={
                    TRADE: [
                        (replace(one, version=2, action_attempts=9), 1),
                        (replace(two, version=8, action_attempts=9), 7),
                    ]
                },
                inserts={TRADE: [three]},
                events=[stored_event(one, age_s=60)],
                **claims(),
            )
        assert await trade_of(store, one.id) == one
        assert await trade_of(store, two.id) == two
        assert await view_of(store, three.id) == TradeView(None)
        await self.nothing_is_claimed(store)
        assert await store.unpublished(older_than_s=0, limit=10) == []

    async def test_an_update_of_a_row_that_is_not_there_conflicts(self, store: Store) -> None:
        with pytest.raises(Conflict):
            await write(store, updates={TRADE: [(trade(version=2), 1)]})

    async def test_an_id_that_exists_conflicts(self, store: Store) -> None:
        row, other = trade(), trade()
        await insert(store, row)
        with pytest.raises(Conflict):
            await insert(store, other, replace(row, subject="again"))
        assert await trade_of(store, row.id) == row
        assert await view_of(store, other.id) == TradeView(None)

    async def test_a_broken_check_is_rejected_and_nothing_is_written(self, store: Store) -> None:
        bad, good = trade(amount=Money("CNY", 0)), trade()
        with pytest.raises(Rejected):
            await write(store, inserts={TRADE: [good, bad]}, **claims())
        assert await view_of(store, good.id) == TradeView(None)
        await self.nothing_is_claimed(store)

    async def test_an_update_that_breaks_a_check_is_rejected(self, store: Store) -> None:
        row = trade()
        await insert(store, row)
        changed = replace(row, version=2, refunded_minor=-5)
        with pytest.raises(Rejected):
            await write(store, updates={TRADE: [(changed, 1)]})
        assert await trade_of(store, row.id) == row

    async def test_answers_messages_and_guards_are_read_back(self, store: Store) -> None:
        await self.nothing_is_claimed(store)
        await write(store, **claims())
        async with store.transaction() as transaction:
            loaded = await transaction.read(TRADES, ALL)
        assert loaded.answers == {REQUEST: ANSWER}
        assert loaded.seen == {MESSAGE}
        assert loaded.taken == {GUARD: "trd_1"}

    @pytest.mark.parametrize("taken", ["answers", "messages", "guards"])
    async def test_what_is_taken_conflicts_and_nothing_is_written(
        self, store: Store, taken: str
    ) -> None:
        await write(store, **{taken: claims()[taken]})
        row = trade()
        with pytest.raises(Conflict):
            await write(store, inserts={TRADE: [row]}, **{taken: claims()[taken]})
        assert await view_of(store, row.id) == TradeView(None)

    async def test_one_message_twice_in_one_batch_conflicts(self, store: Store) -> None:
        with pytest.raises(Conflict):
            await write(store, messages=[MESSAGE, MESSAGE])

    async def test_leaving_without_commit_rolls_back(self, store: Store) -> None:
        """Also by an exception; and the next transaction is not in the way of the last."""
        row = trade()
        await insert(store, row)
        async with store.transaction() as transaction:
            await transaction.read(TRADES, Reads(keys=[row.id]))

        async def fail() -> None:
            async with store.transaction() as transaction:
                await transaction.read(TRADES, Reads(keys=[row.id]))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        await write(store, updates={TRADE: [(replace(row, version=2), 1)]})
        assert (await trade_of(store, row.id)).version == 2

    async def test_transactions_on_one_aggregate_follow_each_other(self, store: Store) -> None:
        """The second waits, then sees the state that the first left, children included."""
        row = trade()
        of = attempt(row)
        await insert(store, row)
        first_has_read = asyncio.Event()

        async def first() -> None:
            async with store.transaction() as transaction:
                await transaction.read(TRADES, Reads(keys=[row.id]))
                first_has_read.set()
                await asyncio.sleep(0.05)  # time for the second to come and wait
                changed = replace(row, version=2)
                await transaction.commit(
                    Writes(updates={TRADE: [(changed, 1)]}, inserts={ATTEMPT: [of]})
                )

        async def second() -> TradeView:
            await first_has_read.wait()
            async with store.transaction() as transaction:
                loaded = await transaction.read(TRADES, Reads(keys=[row.id]))
            state: TradeView = loaded.states[row.id]
            return state

        _, seen = await asyncio.gather(first(), second())
        assert seen == TradeView(replace(row, version=2), (of,))

    async def test_due_rows_are_claimed_once_and_put_off_by_the_ladder(self, store: Store) -> None:
        now = datetime.now(UTC)
        due = trade(next_action_at=now - timedelta(seconds=1))
        tried = trade(next_action_at=now - timedelta(seconds=2), action_attempts=1)
        often = trade(next_action_at=now - timedelta(seconds=3), action_attempts=9)
        later, never = trade(next_action_at=now + timedelta(hours=1)), trade(next_action_at=None)
        await insert(store, due, tried, often, later, never)
        ladder_s = (500, 1000, 3000)
        began = datetime.now(UTC)
        claimed = await store.claim_due(TRADES, limit=10, ladder_s=ladder_s)
        ended = datetime.now(UTC)
        assert {(c.key, c.attempts) for c in claimed} == {(due.id, 0), (tried.id, 1), (often.id, 9)}
        assert await store.claim_due(TRADES, limit=10, ladder_s=ladder_s) == []
        for row, wait_s in zip((due, tried, often), ladder_s, strict=True):
            found = await trade_of(store, row.id)
            assert found.next_action_at is not None
            claimed_at, inexact = (
                found.next_action_at - timedelta(seconds=wait_s),
                timedelta(seconds=2),
            )
            assert began - inexact < claimed_at < ended + inexact
            assert (found.action_attempts, found.version) == (row.action_attempts + 1, 1)
        assert await trade_of(store, later.id) == later
        assert await trade_of(store, never.id) == never

    async def test_the_longest_due_are_claimed_first_up_to_the_limit(self, store: Store) -> None:
        now = datetime.now(UTC)
        rows = [trade(next_action_at=now - timedelta(seconds=s)) for s in range(1, 6)]
        await insert(store, *rows)
        claimed = await store.claim_due(TRADES, limit=2, ladder_s=(60,))
        assert {c.key for c in claimed} == {rows[4].id, rows[3].id}
        assert len(await store.claim_due(TRADES, limit=9, ladder_s=(60,))) == 3

    async def test_the_ladder_never_skips_the_deadline(self, store: Store) -> None:
        """Unless the deadline is over: then the ladder alone counts."""
        now = datetime.now(UTC)
        past = now - timedelta(seconds=1)
        soon = trade(next_action_at=past, expires_at=now + timedelta(minutes=7))
        over = trade(next_action_at=past, expires_at=past)
        await insert(store, soon, over)
        assert len(await store.claim_due(TRADES, limit=10, ladder_s=(3600,))) == 2
        assert (await trade_of(store, soon.id)).next_action_at == soon.expires_at
        next_at = (await trade_of(store, over.id)).next_action_at
        assert next_at is not None
        assert next_at > now + timedelta(seconds=3500)

    async def test_two_sweepers_never_claim_the_same_row(self, store: Store) -> None:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await insert(store, *(trade(next_action_at=past) for _ in range(40)))
        found = await asyncio.gather(
            *(store.claim_due(TRADES, limit=20, ladder_s=(60,)) for _ in range(4))
        )
        keys = [due.key for claimed in found for due in claimed]
        assert len(keys) == len(set(keys))

    async def test_published_events_are_due_until_they_are_confirmed(self, store: Store) -> None:
        """History that goes to nobody is never due."""
        row = trade()
        sent, kept = stored_event(row, age_s=60), stored_event(row, age_s=60)
        history = stored_event(row, age_s=60, published=False)
        await write(store, inserts={TRADE: [row]}, events=[sent, kept, history])
        await store.confirm([sent.id])
        assert await store.unpublished(older_than_s=5, limit=10) == [kept]
        await store.confirm([kept.id, sent.id, "evt_cnaaaaaaaaaaaaaaaaaaaaaaaaaa"])
        assert await store.unpublished(older_than_s=0, limit=10) == []

    async def test_what_was_confirmed_can_be_due_once_more(self, store: Store) -> None:
        """Of what is due already, and of history, nothing changes."""
        row = trade()
        sent, kept = stored_event(row, age_s=60), stored_event(row, age_s=60)
        history = stored_event(row, age_s=60, published=False)
        await write(store, inserts={TRADE: [row]}, events=[sent, kept, history])
        await store.confirm([sent.id])
        asked = [sent.id, kept.id, history.id, "evt_cnaaaaaaaaaaaaaaaaaaaaaaaaaa"]
        assert await store.publish_again(asked) == 2
        found = await store.unpublished(older_than_s=5, limit=10)
        assert {event.id for event in found} == {sent.id, kept.id}

    async def test_only_older_events_are_taken_and_each_once(self, store: Store) -> None:
        row = trade(state=TradeState.CLOSED)
        young = stored_event(row)
        old = [stored_event(row, age_s=age) for age in (3000, 2000, 1000)]
        await write(store, events=[young, *reversed(old)])
        assert await store.unpublished(older_than_s=500, limit=2) == old[:2]
        assert await store.unpublished(older_than_s=500, limit=9) == old[2:]
        assert await store.unpublished(older_than_s=500, limit=9) == []

    async def nothing_is_claimed(self, store: Store) -> None:
        async with store.transaction() as transaction:
            loaded = await transaction.read(TRADES, ALL)
        assert (loaded.answers, loaded.seen, loaded.taken) == ({}, frozenset(), {})
