"""Batches on real PostgreSQL: every item gets its own right answer, whatever its neighbours do."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from payments.trade.v1 import trade_pb2, trade_service_pb2

from paymesh.app import Core
from paymesh.core import Decision, View
from paymesh.errors import PaymentError
from paymesh.ids import bucket_of
from paymesh.items import Item, Outcome
from paymesh.money import Money
from paymesh.shell import Rule, Shell
from paymesh.store.port import MessageKey
from paymesh.store.postgres import PostgresStore
from tests.runtime.world import (
    RULES,
    TIMING,
    Database,
    Published,
    QuickClock,
    call,
    close,
    create,
    done,
    new_trade_id,
    one,
    pay,
    payment_moved,
    pending,
    request_id,
    shell_on,
    trade_of,
    verdicts,
    view_of,
)
from trade_svc import wire
from trade_svc.store import TRADES
from trade_svc.trades.domain import close_trade, create_trade
from trade_svc.trades.model import CloseTrade, CreateTrade, PaymentOutcome, TradeState, TradeView

TradeShell = Shell[TradeView]


@pytest.fixture
def other_shell(other_store: PostgresStore) -> TradeShell:
    """The same service in another process: nothing shared but the database."""
    return shell_on(other_store)


class Mixed:
    """64 items: good ones, duplicates, reused ids, two on one trade, refused ones."""

    def __init__(self, trade_id: str, *culprits: Item) -> None:
        good = [create(f"order-{n}") for n in range(64 - 13 - len(culprits))]
        self.again = create("twice", rid=request_id())
        self.reused = replace(
            create("another order", rid=self._rid(self.again)), reply=self.again.reply
        )
        self.pay, self.close = pay(trade_id), close(trade_id)
        self.taken = create("first")
        self.mismatch = pay(trade_id, minor=99)
        self.missing = pay(new_trade_id())
        self.good = good
        self.culprits = list(culprits)
        self.items = [
            *good[:20],
            self.again,
            self.pay,
            self.taken,
            *culprits,
            *good[20:],
            self.again,
            self.reused,
            self.close,
            self.mismatch,
            self.again,
            self.missing,
            self.reused,
            self.again,
            self.taken,
            self.again,
        ]
        assert len(self.items) == 64

    @staticmethod
    def _rid(item: Item) -> str:
        assert item.claim is not None
        assert not isinstance(item.claim, MessageKey)
        return item.claim.key.request_id

    def of(self, item: Item, outcomes: list[Outcome]) -> list[Outcome]:
        return [o for i, o in zip(self.items, outcomes, strict=True) if i is item]

    def check(self, outcomes: list[Outcome]) -> None:
        """Everybody's answer, but for the culprits'."""
        for item in self.good:
            assert self.reply(item, outcomes).trade.trade_id == item.command.trade_id
        assert verdicts(self.of(self.again, outcomes)) == ["OK", *["AGAIN"] * 4]
        replies = [done(outcome).reply for outcome in self.of(self.again, outcomes)]
        assert replies == replies[:1] * 5
        assert verdicts(self.of(self.reused, outcomes)) == ["REQUEST_ID_REUSED"] * 2
        paid = self.reply(self.pay, outcomes)
        assert paid.trade.state == trade_pb2.TRADE_STATE_PAYING
        closed = self.reply(self.close, outcomes)
        assert closed.trade.state == trade_pb2.TRADE_STATE_CLOSED
        assert [a.payment_id for a in closed.trade.attempts] == [paid.payment_id]
        assert closed.trade.version == paid.trade.version + 1
        assert verdicts(self.of(self.taken, outcomes)) == ["ORDER_EXISTS"] * 2
        assert verdicts(self.of(self.mismatch, outcomes)) == ["ILLEGAL_MOVE"]
        assert verdicts(self.of(self.missing, outcomes)) == ["NOT_FOUND"]

    def reply(self, item: Item, outcomes: list[Outcome]) -> Any:
        [outcome] = self.of(item, outcomes)
        reply: Message = done(outcome).reply
        return reply


# The proof: 64 items


async def test_64_items_each_get_their_own_answer_in_one_transaction(
    shell: TradeShell, database: Database
) -> None:
    """Duplicates, refusals and two commands on one trade share it with the good ones."""
    mixed = Mixed(await pending(shell))
    before = database.count("request_answer")
    mixed.check(await shell.process(mixed.items))
    # One answer a request_id: 51 good, twice, pay, close, and the two decided refusals.
    assert database.count("request_answer") - before == 51 + 5
    assert database.count("trade") == 1 + 51 + 1
    assert database.transactions("request_answer") == 2  # the trade before, and the batch
    assert database.transactions("trade") == 1  # the batch wrote the one from before again
    assert database.transactions("outbox") == 2


async def test_a_broken_check_is_isolated_and_its_neighbours_commit(
    shell: TradeShell, database: Database
) -> None:
    """Halving: 64 items with one culprit are the culprit and at most six committed parts."""
    culprit = create("worthless", minor=0)
    mixed = Mixed(await pending(shell), culprit)
    outcomes = await shell.process(mixed.items)
    mixed.check(outcomes)
    assert verdicts(mixed.of(culprit, outcomes)) == ["INTERNAL"]
    assert database.count("trade") == 1 + 50 + 1
    assert database.query("SELECT 1 FROM guard WHERE key LIKE '%%worthless'") == []
    assert 2 <= database.transactions("request_answer") - 1 <= 6


async def test_several_culprits_are_isolated_each(shell: TradeShell, database: Database) -> None:
    """A CHECK, a value out of range and a text that cannot be stored."""
    culprits = [
        create("negative", minor=-1),
        create("huge", amount=replace(create("x").command.amount, minor=2**63)),
        create("nul", subject="a\x00b"),
    ]
    culprits[1] = replace(culprits[1], reply=lambda view: trade_service_pb2.CreateTradeResponse())
    mixed = Mixed(await pending(shell), *culprits)
    outcomes = await shell.process(mixed.items)
    mixed.check(outcomes)
    for culprit in culprits:
        assert verdicts(mixed.of(culprit, outcomes)) == ["INTERNAL"]
    assert database.count("trade") == 1 + 48 + 1


async def test_64_concurrent_callers_share_few_transactions(
    postgres_store: PostgresStore, database: Database
) -> None:
    """Through the batcher: group commit, and each caller has their own trade."""
    core = Core(
        store=postgres_store,
        aggregate=TRADES,
        rules=RULES,
        encode=wire.encode,
        publisher=Published(),
        clock=QuickClock(),
    )
    items = [create(f"order-{n}") for n in range(64)]
    outcomes = await asyncio.gather(*map(core.submit, items))
    found = [done(o).reply.trade.trade_id for o in outcomes]
    assert found == [item.command.trade_id for item in items]
    assert database.transactions("trade") <= 3
    await core.close()


# Answers


async def test_a_new_process_replays_what_the_old_one_answered(
    shell: TradeShell, other_shell: TradeShell, database: Database
) -> None:
    """Responses and decided refusals alike, bit for bit; another body is refused."""
    trade_id = await pending(shell)
    good, refused = pay(trade_id), create("first")
    reused = create("something else", rid=Mixed._rid(refused))
    first = await shell.process([good, refused])
    rows = database.count("request_answer")
    again = await other_shell.process([good, refused, reused])
    assert verdicts(again) == ["AGAIN", "ORDER_EXISTS", "REQUEST_ID_REUSED"]
    assert done(again[0]).reply == done(first[0]).reply
    assert isinstance(first[1], PaymentError)
    assert isinstance(again[1], PaymentError)
    assert again[1]._key() == first[1]._key()
    assert again[1].metadata == {"trade_id": trade_id}
    assert database.count("request_answer") == rows


async def test_a_request_id_is_one_however_it_is_written(shell: TradeShell) -> None:
    rid = request_id()
    assert verdicts([await one(shell, create("first", rid=rid))]) == ["OK"]
    assert verdicts([await one(shell, create("first", rid=rid.upper()))]) == ["AGAIN"]
    assert verdicts([await one(shell, create("other", rid=rid.upper()))]) == ["REQUEST_ID_REUSED"]


async def test_a_decided_refusal_stands_when_the_state_has_changed(shell: TradeShell) -> None:
    """A duplicate that comes late must not do what was refused before."""
    trade_id = await pending(shell)
    started = pay(trade_id)
    payment_id = done(await one(shell, started)).reply.payment_id
    done(await one(shell, payment_moved(trade_id, payment_id, PaymentOutcome.SUCCEEDED)))
    refused = close(trade_id)
    assert verdicts([await one(shell, refused)]) == ["ILLEGAL_MOVE"]
    always: Rule = lambda state, c, at, view: Decision(state, answer=state)  # noqa: E731
    lenient = shell_on(shell.store, rules={type(refused.command): always})
    assert verdicts([await one(lenient, refused)]) == ["ILLEGAL_MOVE"]


async def test_what_was_not_decided_leaves_the_request_id_free(
    shell: TradeShell, database: Database
) -> None:
    """NOT_FOUND and an invalid field write nothing; the same request may succeed later."""
    trade_id = new_trade_id()
    early = pay(trade_id)
    invalid = create("order", expires_at=datetime.now(UTC) + timedelta(days=8))
    assert verdicts(await shell.process([early, invalid])) == ["NOT_FOUND", "INVALID_FIELD"]
    for table in ("trade", "request_answer", "guard", "outbox", "inbox"):
        assert database.count(table) == 0
    done(await one(shell, create("order", trade_id=trade_id)))
    assert verdicts([await one(shell, early)]) == ["OK"]


async def test_a_passed_deadline_writes_nothing_but_an_old_answer_is_told(
    shell: TradeShell, database: Database
) -> None:
    item = create("order")
    late = replace(item, call=call(seconds=-0.001))
    assert verdicts(await shell.process([late, create("other")])) == ["DEADLINE_PASSED", "OK"]
    assert database.count("trade") == database.count("request_answer") == 1
    assert verdicts([await one(shell, item), await one(shell, late)]) == ["OK", "AGAIN"]


async def test_a_defect_in_a_rule_is_told_to_its_item_only(
    shell: TradeShell, database: Database
) -> None:
    """INTERNAL stores nothing: once mended, the same request is decided."""

    def broken(state: TradeView, command: CreateTrade, at: datetime, view: View) -> Any:
        if command.merchant_order_no == "odd":
            raise ZeroDivisionError
        return create_trade(state, command, at, view)

    odd = create("odd")
    defective = shell_on(shell.store, rules={CreateTrade: broken})
    outcomes = await defective.process([create("a"), odd, create("b")])
    assert verdicts(outcomes) == ["OK", "INTERNAL", "OK"]
    assert database.transactions("trade") == 1
    assert verdicts([await one(shell, odd)]) == ["OK"]


async def test_a_change_of_what_must_not_change_is_refused_and_not_lost(
    shell: TradeShell, database: Database
) -> None:
    """An update writes only what may change: anything else is a defect, alone with its item."""

    def forging(state: TradeView, command: CloseTrade, at: datetime, view: View) -> Any:
        decision = close_trade(state, command, at, view, timing=TIMING)
        assert state.trade is not None
        if state.trade.merchant_order_no != "odd":
            return decision
        trade = replace(decision.state.trade, amount=Money("CNY", 1))
        return replace(decision, state=replace(decision.state, trade=trade))

    odd, even = await pending(shell, "odd"), await pending(shell, "even")
    forger = shell_on(shell.store, rules={CloseTrade: forging})
    assert verdicts(await forger.process([close(odd), close(even)])) == ["INTERNAL", "OK"]
    assert (await trade_of(shell.store, odd)).state is TradeState.PENDING
    assert (await trade_of(shell.store, even)).state is TradeState.CLOSED


async def test_a_key_from_outside_that_is_no_id_refuses_its_item_only(shell: TradeShell) -> None:
    """An event's payload may name anything; its neighbours must not come again for ever."""
    bad = payment_moved("", "pay_", PaymentOutcome.SUCCEEDED)
    assert verdicts(await shell.process([create("a"), bad])) == ["OK", "NOT_FOUND"]


async def test_events_are_told_after_the_commit_with_the_states_that_they_tell_of(
    shell: TradeShell, database: Database
) -> None:
    """Only published ones, in order; of an unsaved item none."""
    published = Published()
    telling = shell_on(shell.store, publisher=published)
    trade_id = await pending(shell)
    await telling.process([create("worthless", minor=0), pay(trade_id), close(trade_id)])
    assert [(e.type, e.aggregate_id) for e in published.events] == [
        ("trade.trade.closed", trade_id)
    ]
    rows = database.query(
        "SELECT type, sequence FROM outbox WHERE aggregate_id = %s ORDER BY sequence", trade_id
    )
    assert rows == [
        ("trade.trade.created", 1),
        ("trade.trade.paying", 2),
        ("trade.trade.closed", 3),
    ]
    assert database.query("SELECT event_id FROM outbox_due") == [(published.events[0].id,)]


# Two processes


async def test_two_processes_on_one_trade_follow_each_other(
    shell: TradeShell, other_shell: TradeShell, database: Database
) -> None:
    """Ten payments started here and ten there: every one counts, one is active."""
    trade_id = await pending(shell)
    outcomes = await asyncio.gather(
        *(one(shells, pay(trade_id)) for _ in range(5) for shells in (shell, other_shell))
    )
    assert verdicts(outcomes) == ["OK"] * 10
    view = await view_of(shell.store, trade_id)
    assert view.trade is not None
    assert view.trade.version == 11
    assert Counter(str(a.state) for a in view.attempts) == {"CLOSING": 9, "PROCESSING": 1}


async def test_one_order_from_two_processes_becomes_one_trade(
    shell: TradeShell, other_shell: TradeShell, database: Database
) -> None:
    """The loser of the race tries again and then sees whose the order is."""
    for n in range(8):
        here, there = create(f"order-{n}"), create(f"order-{n}")
        outcomes = await asyncio.gather(one(shell, here), one(other_shell, there))
        assert sorted(verdicts(outcomes)) == ["OK", "ORDER_EXISTS"]
        won, lost = outcomes if verdicts(outcomes)[0] == "OK" else reversed(outcomes)
        assert isinstance(lost, PaymentError)
        assert lost.metadata["trade_id"] == done(won).reply.trade.trade_id
    assert database.count("trade") == 8


async def test_one_request_at_two_processes_is_decided_once(
    shell: TradeShell, other_shell: TradeShell, database: Database
) -> None:
    """Each has made an id of its own for the trade; both answer with the same."""
    for n in range(8):
        rid = request_id()
        outcomes = await asyncio.gather(
            one(shell, create(f"order-{n}", rid=rid)),
            one(other_shell, create(f"order-{n}", rid=rid)),
        )
        assert sorted(verdicts(outcomes)) == ["AGAIN", "OK"]
        assert done(outcomes[0]).reply == done(outcomes[1]).reply
    assert database.count("trade") == 8


async def test_a_lost_race_takes_the_whole_batch_along_once_more(
    shell: TradeShell, other_shell: TradeShell, database: Database
) -> None:
    """Between our read and our write somebody takes a name: all are decided anew, none twice."""
    races = Counter[str]()

    def raced(state: TradeView, command: CreateTrade, at: datetime, view: View) -> Any:
        races[command.merchant_order_no] += 1
        if command.merchant_order_no == "raced" and races["raced"] == 1:
            guard = command.order_guard
            database.query(
                "INSERT INTO guard SELECT %s, %s, %s, 'trd_somebody'",
                bucket_of(guard.key),
                guard.kind,
                guard.key,
            )
        return create_trade(state, command, at, view)

    racing = shell_on(shell.store, rules={CreateTrade: raced})
    outcomes = await racing.process([create("a"), create("raced"), create("b")])
    assert verdicts(outcomes) == ["OK", "ORDER_EXISTS", "OK"]
    assert races == {"a": 2, "raced": 2, "b": 2}
    assert database.transactions("trade") == 1
