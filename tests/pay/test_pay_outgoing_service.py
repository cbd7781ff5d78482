"""Withdrawals and refunds on PostgreSQL, with a gateway and a ledger over gRPC."""

from __future__ import annotations

from typing import Any

from payments.pay.v1 import payment_events_pb2, payment_pb2

from paymesh.errors import Code
from paymesh.ids import derived_id, new_id, shard_of
from tests.pay.neighbours import AWAY, refused
from tests.pay.pay_world import (
    BALANCE,
    MERCHANT,
    Caller,
    World,
    by_balance,
    by_channel,
    instruction,
    money,
    refusal,
    state_of,
    until,
)

# Withdrawals


async def test_a_withdrawal_is_paid_out_to_the_opened_account(world: World, trade: Caller) -> None:
    """The gateway gets number and name; the payment's answer and events have neither."""
    payee = await trade.beneficiary(account_no="DE0098765432")
    answer = await trade.creates(
        "WITHDRAWAL", by_balance(3000), beneficiary_id=payee.beneficiary_id
    )
    payout = await trade.starts(answer.payment, "CHANNEL_PAYOUT")

    async def ordered() -> Any:
        return world.gateway.payees.get(payout.request_no)

    to = await until(ordered)
    assert (to.account_no, to.account_name) == ("DE0098765432", "Ann")
    assert payout.channel == "sandbox"
    await world.gateway.ends(payout.request_no, "SUCCEEDED")
    paid = await trade.reaches(answer.payment, "SUCCEEDED")
    assert paid.beneficiary_id == payee.beneficiary_id
    assert b"98765432" not in paid.SerializeToString()
    assert all(b"98765432" not in e.payload for e in world.heard.events)
    assert world.ledger.balances[BALANCE] == 2000

    await world.gateway.ends(payout.request_no, "BOUNCED", reason="ACCOUNT_CLOSED")
    back = await trade.reaches(answer.payment, "RETURNED")
    assert back.failure_reason == "ACCOUNT_CLOSED"

    async def told() -> bool:
        types = ("pay.instruction.bounced", "pay.payment.returned")
        return all(world.heard.of(back, type_) for type_ in types)

    await until(told)


async def test_a_declined_payout_frees_the_balance(world: World, trade: Caller) -> None:
    payee = await trade.beneficiary()
    answer = await trade.creates(
        "WITHDRAWAL", by_balance(3000), beneficiary_id=payee.beneficiary_id
    )
    payout = await trade.starts(answer.payment, "CHANNEL_PAYOUT")

    async def ordered() -> bool:
        return payout.request_no in world.gateway.orders

    await until(ordered)
    await world.gateway.ends(payout.request_no, "FAILED", reason="PAYEE_INVALID")
    failed = await trade.reaches(answer.payment, "FAILED")
    assert failed.failure_reason == "PAYEE_INVALID"
    assert world.ledger.balances[BALANCE] == 5000


async def test_a_payout_under_way_goes_on_after_its_beneficiary_was_deleted(
    world: World, trade: Caller
) -> None:
    """Not even a gateway that was away meanwhile hinders it."""
    payee = await trade.beneficiary()
    world.gateway.doors.refusals["payout"] = AWAY
    answer = await trade.creates(
        "WITHDRAWAL", by_balance(3000), beneficiary_id=payee.beneficiary_id
    )
    payout = await trade.starts(answer.payment, "CHANNEL_PAYOUT")
    await trade.deletes(payee)
    del world.gateway.doors.refusals["payout"]

    async def ordered() -> bool:
        return payout.request_no in world.gateway.orders

    await until(ordered)


async def test_a_beneficiary_that_cannot_be_paid_is_refused_and_the_refusal_kept(
    world: World, trade: Caller
) -> None:
    """Somebody else's, a deleted one, one that never was: nothing is held."""
    bobs, gone = await trade.beneficiary(owner_id="bob"), await trade.beneficiary()
    await trade.deletes(gone)
    unknown = new_id("ben", bucket=7)
    for beneficiary_id in (bobs.beneficiary_id, gone.beneficiary_id, unknown):
        request = trade.request("WITHDRAWAL", by_balance(3000), beneficiary_id=beneficiary_id)
        for _ in range(2):
            error = await refusal(trade.sends(request))
            assert (error.code, error.reason) == (
                Code.FAILED_PRECONDITION,
                "BENEFICIARY_NOT_USABLE",
            )
    assert world.ledger.holds == {}


async def test_a_new_beneficiary_waits_for_its_cooling_off(world: World) -> None:
    world.ledger.balances[BALANCE] = 5000
    trade = await world.start("serve", beneficiary_cooling_off_s=3600)
    payee = await trade.beneficiary()
    assert payee.usable_time.seconds - payee.create_time.seconds == 3600
    chosen = {"beneficiary_id": payee.beneficiary_id}
    error = await refusal(trade.creates("WITHDRAWAL", by_balance(3000), **chosen))
    assert error.reason == "BENEFICIARY_NOT_USABLE"
    world.database.query("UPDATE beneficiary SET usable_at = now()")  # an hour later
    answer = await trade.creates("WITHDRAWAL", by_balance(3000), **chosen)
    assert state_of(answer.payment) == "PROCESSING"


# Refunds


async def test_a_refund_waits_for_the_booking_and_goes_back_by_both_ways(
    world: World, trade: Caller
) -> None:
    """NOT_BOOKED_YET is asked again; the number of the collection follows from the payment."""
    world.ledger.balances[("MERCHANT_RETURNS_PAYABLE", MERCHANT)] = 10000
    world.ledger.doors.refusals["place"] = refused("NOT_BOOKED_YET", Code.UNAVAILABLE)
    original = new_id("pay", bucket=7)
    answer = await trade.creates(
        "REFUND", by_channel(800), by_balance(200), original_payment_id=original
    )
    assert state_of(answer.payment) == "PROCESSING"
    del world.ledger.doors.refusals["place"]
    refund = await trade.starts(answer.payment, "CHANNEL_REFUND")
    [asked] = world.ledger.asked[:1]
    assert (asked.after.event_type, asked.after.business_key) == (
        "trade.trade.paid/attribution",
        answer.payment.trade_id,
    )
    assert [s.subject for s in asked.sources] == [
        "MERCHANT_RETURNS_PAYABLE",
        "MERCHANT_PENDING",
        "MERCHANT_AVAILABLE",
        "MERCHANT_RECEIVABLE",
    ]

    async def ordered() -> Any:
        return world.gateway.orders.get(refund.request_no)

    order = await until(ordered)
    collect = derived_id("ins", bucket=shard_of(original), key=f"{original}:collect:0")
    assert f"ins_{order.original_request_no}" == collect
    await world.gateway.ends(refund.request_no, "SUCCEEDED")
    done = await trade.reaches(answer.payment, "SUCCEEDED")
    assert instruction(done, "TRANSFER").amount == money(200)

    async def heard() -> Any:
        found = world.heard.of(done, "pay.instruction.succeeded")
        return found if len(found) == 2 else None

    for event in await until(heard):
        moved = payment_events_pb2.InstructionMoved.FromString(event.payload)
        assert moved.original_payment_id == original
        assert moved.purpose == payment_pb2.PAYMENT_PURPOSE_REFUND
