"""Holds and the events that take them: each once, in any order, whatever comes in between."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from payments.type.v1 import event_pb2

from clearing_svc.ledger.drafts import journal_guard
from clearing_svc.ledger.holds import HoldState
from paymesh.bus.port import HANDLED
from paymesh.failpoint import InjectedFault, arm
from tests.clearing.conftest import World
from tests.clearing.ledger_messages import held, instruction, money, paid
from tests.clearing.ledger_world import (
    OWED_MAX,
    PAYEE,
    earned,
    place,
    post,
    release,
    signed_sum,
    top_up,
)

BALANCE = "USER_BALANCE:ann"
ANN = {"payer_id": "ann"}


def paid_out(event: str, minor: int, name: str = "h", **changes: Any) -> event_pb2.Event:
    """A withdrawal of ann, taken from a hold."""
    values: dict[str, Any] = {"kind": "CHANNEL_PAYOUT", "purpose": "WITHDRAWAL", **ANN}
    values |= {"key": "ins_out", "event_id": f"evt_{event}", **held(name, BALANCE)}
    return instruction(event, minor, **{**values, **changes})


def given_back(minor: int, kind: str, key: str, name: str = "r") -> event_pb2.Event:
    """A part of a refund, taken from the merchant's hold."""
    return instruction(
        "succeeded", minor, kind=kind, key=key, event_id=f"evt_{key}", purpose="REFUND",
        original="pay_0", **ANN, **held(name, *PAYEE),
    )  # fmt: skip


@pytest.fixture
async def world(world: World) -> World:
    """ann has 500, the merchant nothing."""
    await world.do(post(top_up("ann", 500, key="0")))
    return world


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_a_combined_payment_comes_out_even_in_any_order_of_its_events(
    world: World, order: tuple[int, ...]
) -> None:
    """80 from the channel and 20 from a balance: transit takes both in and gives 100 out."""
    assert await world.do(place("h", 20)) == ["OK"]
    own = instruction(
        "succeeded", 20, kind="TRANSFER", key="ins_2", event_id="evt_t", **ANN, **held("h", BALANCE)
    )
    events = [instruction("succeeded", 80), own, paid(100)]
    for index in order:
        assert await world.hears(events[index]) == HANDLED
    assert world.balance("USER_BALANCE") == 480
    assert world.balance("PAYER_TRANSIT") == 0
    assert world.balance("MERCHANT_PENDING") == 99
    assert world.hold("h").state is HoldState.POSTED
    assert (world.held, signed_sum(world.balances)) == ({}, 0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_a_payout_that_bounces_gives_the_money_back_in_any_order(
    world: World, order: tuple[int, ...]
) -> None:
    """Also when the bounce is heard first; each event comes twice, and once under a new id."""
    assert await world.do(place("h", 300)) == ["OK"]
    trade = paid(300, key="trd_w", event_id="evt_w", product="WITHDRAWAL")
    events = [paid_out("succeeded", 300), paid_out("bounced", 300), trade]
    for index in order:
        assert await world.hears(events[index], events[index]) == HANDLED
    assert await world.hears(paid_out("bounced", 300, event_id="evt_again")) == HANDLED
    assert await world.hears(paid_out("succeeded", 300, event_id="evt_again_2")) == HANDLED
    assert world.balances == {"BANK": 500, "USER_BALANCE": 500}
    assert world.held == {}
    assert world.journals[:2] == [
        "pay.instruction.bounced/bounce",
        "pay.instruction.succeeded/payout",
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_parts_of_a_refund_share_one_hold(world: World, order: tuple[int, int]) -> None:
    """60 through the channel, 40 to the balance; 70 are the merchant's, for 30 it owes us."""
    await world.do(post(earned(50, 20)))
    assert await world.do(place("r", 100, *PAYEE)) == ["OK"]
    parts = [given_back(60, "CHANNEL_REFUND", "ins_a"), given_back(40, "TRANSFER", "ins_b")]
    for index in order:
        assert await world.hears(parts[index]) == HANDLED
    assert world.balances == {
        "BANK": 570,
        "USER_BALANCE": 540,
        "MERCHANT_RECEIVABLE": 30,
        "CHANNEL_RECEIVABLE": -60,
    }
    assert (world.hold("r").state, world.hold("r").version) == (HoldState.POSTED, 3)
    assert world.held == {}


async def test_a_refund_waits_for_the_booking_of_its_trade(world: World) -> None:
    """And then finds what was attributed, less the fee; the rest is owed."""
    after = journal_guard("trade.trade.paid/attribution", "trd_1")
    wanted = place("r", 10_000, *PAYEE, after=after)
    assert await world.do(wanted) == ["NOT_BOOKED_YET"]
    await world.hears(paid(10_000))
    assert await world.do(wanted) == ["OK"]
    assert world.held == {"MERCHANT_PENDING": 9_940, "MERCHANT_RECEIVABLE": 60}
    more = place("r2", OWED_MAX - 59, *PAYEE)
    assert await world.do(more) == ["INSUFFICIENT_FUNDS"]


async def test_the_money_of_a_returned_transfer_goes_back_to_its_balance(world: World) -> None:
    await world.do(place("h", 20))
    own = held("h", BALANCE)
    there = instruction("succeeded", 20, kind="TRANSFER", key="ins_1", **ANN, **own)
    back = instruction(
        "succeeded", 20, kind="TRANSFER", key="ins_2", event_id="evt_2", compensates="ins_1",
        **ANN, **own,
    )  # fmt: skip
    assert await world.hears(there, back) == HANDLED
    assert world.balances == {"BANK": 500, "USER_BALANCE": 500}


async def test_a_payout_that_was_done_otherwise_keeps_its_hold(world: World) -> None:
    """What moved is in suspense; a person decides about the rest."""
    await world.do(place("h", 300))
    moved = paid_out("suspended", 300, observed=money(250))
    assert await world.hears(moved) == HANDLED
    assert world.balances == {
        "BANK": 500, "USER_BALANCE": 500, "SUSPENSE": -250, "PAYOUT_TRANSIT": 250,
    }  # fmt: skip
    assert world.held == {"USER_BALANCE": 300}


async def test_an_event_whose_hold_is_not_there_yet_is_tried_again(world: World) -> None:
    verdict = await world.hears(paid_out("succeeded", 300))
    assert "NOT_FOUND" in verdict.retry[0].reason
    await world.do(place("h", 300))
    assert await world.hears(paid_out("succeeded", 300)) == HANDLED
    assert world.balance("PAYOUT_TRANSIT") == 300


async def test_an_event_that_its_hold_cannot_pay_is_parked_and_its_neighbours_are_booked(
    world: World,
) -> None:
    """Released, too little left, another currency, elsewhere, no hold at all, a strange id."""
    for name in ("released", "little", "elsewhere"):
        await world.do(place(name, 50))
    await world.do(release("released"))
    bad = [
        paid_out("succeeded", 50, "released", key="ins_1", event_id="evt_1"),
        paid_out("succeeded", 51, "little", key="ins_2", event_id="evt_2"),
        paid_out("succeeded", 50, key="ins_3", event_id="evt_3", **held("elsewhere", *PAYEE)),
        paid_out("succeeded", 50, key="ins_4", event_id="evt_4", hold_id=""),
        paid_out("succeeded", 50, key="ins_5", event_id="evt_5", hold_id="hold five"),
        paid_out("succeeded", 50, key="ins_6", event_id="evt_6", hold_sources=[]),
        paid_out("succeeded", 50, "little", key="ins_7", event_id="evt_7", amount=money(50, "EUR")),
    ]
    good = instruction("succeeded", 5, key="ins_8", event_id="evt_8")
    verdict = await world.hears(*bad, good)
    left = event_pb2.EventBatch.FromString(verdict.dead[0].body).events
    assert {event.event_id for event in left} == {event.event_id for event in bad}
    assert verdict.retry == ()
    assert world.balance("CHANNEL_RECEIVABLE") == 5
    assert world.held == {"USER_BALANCE": 100}


async def test_a_withdrawal_that_was_paid_counts_and_books_nothing(world: World) -> None:
    """Its payout has taken the money; the event is in the inbox like any other."""
    journals = list(world.journals)
    event = paid(300, product="WITHDRAWAL")
    assert await world.hears(event, event) == HANDLED
    assert await world.hears(event) == HANDLED
    assert {key.message_id for key in world.store.seen} == {event.event_id}
    assert world.journals == journals


@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
async def test_a_consumer_that_dies_around_its_commit_books_once(world: World, point: str) -> None:
    """What was not acked comes again: with what was committed, or without it."""
    await world.do(place("h", 300))
    events = [paid_out("succeeded", 300), paid(300, product="WITHDRAWAL")]
    arm(f"{point}:1:error")
    try:
        with pytest.raises(InjectedFault):
            await world.hears(*events)
    finally:
        arm("")
    assert await world.hears(*events) == HANDLED
    assert world.balances == {"BANK": 500, "USER_BALANCE": 200, "PAYOUT_TRANSIT": 300}
    assert world.hold("h").version == 2
    assert len(world.store.seen) == 2
