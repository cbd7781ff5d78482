"""The payment core on PostgreSQL: a gateway and a ledger over gRPC, results from the bus."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from payments.pay.v1 import payment_events_pb2, payment_pb2, payment_service_pb2
from payments.type.v1 import context_pb2
from payments.type.v1.context_pb2 import CallContext

from paymesh.errors import Code
from tests.pay.neighbours import AWAY, refused
from tests.pay.pay_world import (
    BALANCE,
    MERCHANT,
    RPC_TIMEOUT_S,
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

# One channel


async def test_a_purchase_by_channel_is_answered_with_its_credential(
    world: World, trade: Caller
) -> None:
    """And succeeds when the gateway reports it; the ledger and the trade core hear of it."""
    answer = await trade.creates("PURCHASE", by_channel(1234))
    collect = instruction(answer.payment, "CHANNEL_COLLECT")
    assert (state_of(answer.payment), answer.credential_id) == (
        "PROCESSING",
        f"crd_{collect.request_no}",
    )
    assert answer.payment.payer_id == ""
    await world.gateway.ends(collect.request_no, "SUCCEEDED")
    paid = await trade.reaches(answer.payment, "SUCCEEDED")
    assert paid.version == 2

    async def heard() -> bool:
        types = ("pay.payment.succeeded", "pay.instruction.succeeded")
        return all(world.heard.of(paid, type_) for type_ in types)

    await until(heard)
    [event] = world.heard.of(paid, "pay.instruction.succeeded")
    moved = payment_events_pb2.InstructionMoved.FromString(event.payload)
    assert moved.purpose == payment_pb2.PAYMENT_PURPOSE_PURCHASE
    assert moved.payment_state == payment_pb2.PAYMENT_STATE_SUCCEEDED
    assert world.ledger.doors.calls == {}


async def test_a_refused_prepay_is_answered_with_its_reason(world: World, trade: Caller) -> None:
    world.gateway.doors.refusals["prepay"] = refused("CHANNEL_NOT_OFFERED")
    answer = await trade.creates("TOP_UP", by_channel(1234))
    assert (state_of(answer.payment), answer.credential_id) == ("FAILED", "")
    assert answer.payment.failure_reason == "CHANNEL_NOT_OFFERED"


# Balances


async def test_a_balance_payment_is_answered_when_the_ledger_has_held_it(
    world: World, trade: Caller
) -> None:
    """SUCCEEDED in the answer itself; the transfer is told with what the ledger needs."""
    answer = await trade.creates("PURCHASE", by_balance(1500))
    assert (state_of(answer.payment), answer.credential_id) == ("SUCCEEDED", "")
    assert answer.payment.payer_id == "ann"
    assert world.ledger.balances[BALANCE] == 3500
    hold, transfer = (instruction(answer.payment, kind) for kind in ("HOLD", "TRANSFER"))
    assert list(world.ledger.holds) == [hold.hold_id] == [transfer.hold_id]

    async def heard() -> Any:
        return world.heard.of(answer.payment, "pay.instruction.succeeded")

    [event] = await until(heard)
    moved = payment_events_pb2.InstructionMoved.FromString(event.payload)
    assert (moved.payer_id, moved.instruction.hold_id) == ("ann", hold.hold_id)
    assert [(s.subject, s.owner) for s in moved.instruction.hold_sources] == [BALANCE]


async def test_a_balance_that_does_not_suffice_is_answered_failed(
    world: World, trade: Caller
) -> None:
    answer = await trade.creates("TRANSFER", by_balance(5001))
    assert state_of(answer.payment) == "FAILED"
    assert answer.payment.failure_reason == "INSUFFICIENT_FUNDS"
    assert instruction(answer.payment, "HOLD").failure_reason == "INSUFFICIENT_FUNDS"
    assert world.ledger.balances[BALANCE] == 5000


async def test_a_ledger_that_is_away_is_asked_again_and_never_means_no(
    world: World, trade: Caller
) -> None:
    """The answer says PROCESSING; the sweeper goes on with the same request."""
    world.ledger.doors.refusals["place"] = AWAY
    answer = await trade.creates("TRANSFER", by_balance(1500))
    assert state_of(answer.payment) == "PROCESSING"
    del world.ledger.doors.refusals["place"]
    await trade.reaches(answer.payment, "SUCCEEDED")
    assert world.ledger.balances[BALANCE] == 3500
    assert world.ledger.doors.calls["place"] > 1


async def test_a_slow_ledger_delays_the_answer_only_so_long(
    world: World, trade: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes, though the ledger never answers."""
    monkeypatch.setattr("pay_svc.rpc.CREDENTIAL_WAIT_S", 0.3)
    world.ledger.doors.close("place")
    answer = await trade.creates("TRANSFER", by_balance(1500))
    assert state_of(answer.payment) == "PROCESSING"
    world.ledger.doors.open("place")
    await trade.reaches(answer.payment, "SUCCEEDED")


async def test_the_same_request_again_is_answered_with_the_payment_as_it_is(
    world: World, trade: Caller
) -> None:
    """Five at once and one later: one payment, one hold."""
    request = trade.request("TRANSFER", by_balance(1500))
    answers = await asyncio.gather(*(trade.sends(request) for _ in range(5)))
    answers.append(await trade.sends(request))
    assert {state_of(answer.payment) for answer in answers} == {"SUCCEEDED"}
    assert world.ledger.balances[BALANCE] == 3500


async def test_a_balance_payment_is_given_back_at_once(world: World, trade: Caller) -> None:
    answer = await trade.creates("PURCHASE", by_balance(1500))
    assert state_of(await trade.cancels(answer.payment)) == "SUCCEEDED"
    back = await trade.cancels(answer.payment, give_back=True)
    assert state_of(back) == "RETURNED"
    assert instruction(back, "-TRANSFER").amount == money(1500)


# Combined


async def test_a_credential_is_released_once_the_hold_stands(world: World, trade: Caller) -> None:
    """Then the payer can pay the rest, and both parts come together."""
    answer = await trade.creates("PURCHASE", by_channel(8000), by_balance(2000))
    collect = instruction(answer.payment, "CHANNEL_COLLECT")
    assert answer.credential_id == f"crd_{collect.request_no}"
    assert world.ledger.balances[BALANCE] == 3000
    await world.gateway.ends(collect.request_no, "SUCCEEDED")
    paid = await trade.reaches(answer.payment, "SUCCEEDED")
    assert instruction(paid, "TRANSFER").amount == money(2000)


async def test_no_credential_is_released_while_the_hold_is_not_answered(
    world: World, trade: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collection is prepared all the same; the same request gets it later."""
    monkeypatch.setattr("pay_svc.rpc.CREDENTIAL_WAIT_S", 0.3)
    world.ledger.doors.close("place")
    request = trade.request("PURCHASE", by_channel(8000), by_balance(2000))
    answer = await trade.sends(request)
    assert (state_of(answer.payment), answer.credential_id) == ("PROCESSING", "")

    async def prepared() -> int:
        return world.gateway.doors.calls["prepay"]

    await until(prepared)
    world.ledger.doors.open("place")

    async def credential() -> str:
        return str((await trade.sends(request)).credential_id)

    assert (await until(credential)).startswith("crd_")


async def test_a_refused_hold_closes_the_collection_at_the_gateway(
    world: World, trade: Caller
) -> None:
    answer = await trade.creates("PURCHASE", by_channel(8000), by_balance(5001))
    assert answer.credential_id == ""
    failed = await trade.reaches(answer.payment, "FAILED")
    assert failed.failure_reason == "INSUFFICIENT_FUNDS"
    collect = instruction(failed, "CHANNEL_COLLECT")
    assert world.gateway.orders[collect.request_no].state == 7  # CLOSED


async def test_a_collection_that_the_gateway_never_got_is_closed_all_the_same(
    world: World, trade: Caller
) -> None:
    """Its Prepay was lost, then it is cancelled: announced and closed, so that its end is sure."""
    world.gateway.doors.refusals["prepay"] = AWAY
    answer = await trade.creates("PURCHASE", by_channel(8000), by_balance(2000))
    assert world.gateway.orders == {}
    await trade.cancels(answer.payment)
    del world.gateway.doors.refusals["prepay"]
    await trade.reaches(answer.payment, "CLOSED")
    assert world.ledger.balances[BALANCE] == 5000


async def test_late_money_of_a_combination_goes_back(world: World, trade: Caller) -> None:
    """The hold was released when the channel said closed."""
    answer = await trade.creates("PURCHASE", by_channel(8000), by_balance(2000))
    collect = instruction(answer.payment, "CHANNEL_COLLECT")
    await trade.cancels(answer.payment)
    await trade.reaches(answer.payment, "CLOSED")
    assert world.ledger.balances[BALANCE] == 5000
    await world.gateway.ends(collect.request_no, "SUCCEEDED")
    refund = await trade.starts(answer.payment, "-CHANNEL_REFUND")

    async def ordered() -> bool:
        return refund.request_no in world.gateway.orders

    await until(ordered)
    order = world.gateway.orders[refund.request_no]
    assert (order.original_request_no, order.amount) == (collect.request_no, money(8000))
    await world.gateway.ends(refund.request_no, "SUCCEEDED")
    await trade.reaches(answer.payment, "RETURNED")


# Refusals, batches, processes


async def test_tools_that_do_not_fit_are_refused_for_good(trade: Caller) -> None:
    error = await refusal(trade.creates("TOP_UP", by_balance(100)))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "TOOLS_NOT_OFFERED")


async def test_who_is_missing_is_refused_by_field(trade: Caller) -> None:
    error = await refusal(trade.creates("TRANSFER", by_balance(100), payer_id=""))
    assert error.code is Code.INVALID_ARGUMENT
    assert [violation.field for violation in error.fields] == ["payer_id"]


async def test_a_batch_has_an_answer_for_each_of_its_payments(world: World, trade: Caller) -> None:
    """Ten times 12.00 of 50.00: four succeed, the others fail for want of money."""
    context = CallContext(context=context_pb2.Context(business_id="biz_1", merchant_id=MERCHANT))
    items = [
        payment_service_pb2.BatchCreatePaymentsItem(
            call_context=context, request=trade.request("TRANSFER", by_balance(1200))
        )
        for _ in range(10)
    ]
    request = payment_service_pb2.BatchCreatePaymentsRequest(items=items)
    results = (await trade.payments.BatchCreatePayments(request, timeout=RPC_TIMEOUT_S)).results
    states = sorted(state_of(result.response.payment) for result in results)
    assert states == ["FAILED"] * 6 + ["SUCCEEDED"] * 4
    assert world.ledger.balances[BALANCE] == 200


async def test_another_process_finishes_what_one_has_begun(world: World) -> None:
    """The serving process is gone before the ledger answers; the working one finds the row."""
    world.ledger.balances[BALANCE] = 5000
    trade = await world.start("serve")
    world.ledger.doors.refusals["place"] = AWAY
    answer = await trade.creates("TRANSFER", by_balance(1500))
    await world.apps.pop().stop()
    del world.ledger.doors.refusals["place"]
    other = await world.start("serve", "work")
    await other.reaches(answer.payment, "SUCCEEDED")
    assert world.ledger.balances[BALANCE] == 3500
