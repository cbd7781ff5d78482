"""Refunds in one batch: each sees what the one before it has reserved, replays see the answer."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import Any

from payments.trade.v1 import trade_service_pb2

from paymesh.clock import SystemClock
from paymesh.context import Call
from paymesh.errors import PaymentError
from paymesh.ids import new_id
from paymesh.items import Item, Outcome
from paymesh.money import Money
from paymesh.rpc import claim
from paymesh.shell import Shell
from paymesh.store.memory import MemoryStore
from paymesh.store.port import StoredEvent, Writes
from paymesh.wire import money_to
from tests.trade.deal import BUCKET, CONTEXT, TIMING, Deal, new_payment_id
from trade_svc import wire
from trade_svc.store import ATTEMPT, TRADE, TRADES
from trade_svc.trades import domain
from trade_svc.trades.model import PaymentMoved, PaymentOutcome, RefundTrade


class NoPublisher:
    def offer(self, events: list[StoredEvent]) -> None:
        """Nobody listens."""


async def shell_with(deal: Deal) -> tuple[Shell[Any], MemoryStore]:
    """The trade core's shell on a store that has this trade."""
    store = MemoryStore(SystemClock())
    async with store.transaction() as transaction:
        rows = {TRADE: [deal.trade], ATTEMPT: list(deal.state.attempts)}
        await transaction.commit(Writes(inserts=rows))
    shell: Shell[Any] = Shell(
        store=store,
        aggregate=TRADES,
        rules={
            RefundTrade: partial(domain.refund_trade, timing=TIMING),
            PaymentMoved: partial(domain.payment_moved, timing=TIMING),
        },
        encode=wire.encode,
        clock=SystemClock(),
        publisher=NoPublisher(),
    )
    return shell, store


def refund(deal: Deal, minor: int, *, rid: str = "") -> Item:
    """RefundTrade as its RPC submits it."""
    rid = rid or str(uuid.uuid4())
    amount = Money("EUR", minor)
    request = trade_service_pb2.RefundTradeRequest(
        request_id=rid,
        merchant_id=CONTEXT.merchant_id,
        trade_id=deal.trade.id,
        amount=money_to(amount),
    )
    command = RefundTrade(
        trade_id=deal.trade.id,
        merchant_id=CONTEXT.merchant_id,
        refund_id=new_id("rfd", bucket=BUCKET),
        payment_id=new_payment_id(),
        business_id=new_id("biz", bucket=BUCKET),
        amount=amount,
        reason="",
    )
    response = trade_service_pb2.RefundTradeResponse
    return Item(
        command,
        Call(CONTEXT, time.monotonic() + 10),
        claim("RefundTrade", deal.trade.id, request, rid),
        lambda answer: response(trade=wire.trade_to(answer[0]), refund=wire.refund_to(answer[1])),
        response,
    )


def verdict(outcome: Outcome) -> str:
    if isinstance(outcome, PaymentError):
        return outcome.reason
    return "AGAIN" if outcome.replayed else "OK"


async def test_of_a_hundred_refunds_in_one_batch_three_fit() -> None:
    """100 x 30.00 of 100.00, decided one after the other, saved together."""
    deal = Deal().paid()
    shell, store = await shell_with(deal)
    outcomes = await shell.process([refund(deal, 30_00) for _ in range(100)])
    assert [verdict(o) for o in outcomes] == ["OK"] * 3 + ["REFUND_EXCEEDS"] * 97
    view = store.state(TRADES, deal.trade.id)
    assert (view.trade.refunding_minor, len(view.refunds)) == (90_00, 3)
    assert view.trade.version == deal.trade.version + 3
    log = [e.sequence for e in store.events if e.aggregate_id == deal.trade.id]
    assert log == [view.trade.version - 2, view.trade.version - 1, view.trade.version]


async def test_the_same_request_in_one_batch_and_later_is_one_refund() -> None:
    """A refusal is an answer, too: it stays one when the money would be free again."""
    deal = Deal().paid()
    shell, store = await shell_with(deal)
    first, too_much = refund(deal, 60_00), refund(deal, 60_00)
    outcomes = await shell.process([first, first, too_much, too_much])
    assert [verdict(o) for o in outcomes] == ["OK", "AGAIN", "REFUND_EXCEEDS", "REFUND_EXCEEDS"]
    [begun] = store.state(TRADES, deal.trade.id).refunds
    failed = PaymentMoved(
        deal.trade.id, begun.payment_id, PaymentOutcome.FAILED, begun.amount, CONTEXT
    )
    await shell.process([Item(failed, Call(CONTEXT, time.monotonic() + 10))])
    outcomes = await shell.process([first, too_much, refund(deal, 60_00)])
    assert [verdict(o) for o in outcomes] == ["AGAIN", "REFUND_EXCEEDS", "OK"]
    assert outcomes[0].reply.refund.refund_id == begun.id


async def test_a_refund_may_begin_and_end_in_one_batch() -> None:
    """What the payment core says of it is decided right after it."""
    deal = Deal().paid()
    shell, store = await shell_with(deal)
    item = refund(deal, 100_00)
    payment_id = item.command.payment_id
    moved = PaymentMoved(
        deal.trade.id, payment_id, PaymentOutcome.SUCCEEDED, item.command.amount, CONTEXT
    )
    ended = Item(moved, Call(CONTEXT, time.monotonic() + 10))
    outcomes = await shell.process([item, ended, refund(deal, 1)])
    assert [verdict(o) for o in outcomes] == ["OK", "OK", "REFUND_EXCEEDS"]
    assert store.state(TRADES, deal.trade.id).trade.refunded_minor == 100_00
