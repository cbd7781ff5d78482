"""Payouts over real gRPC, PostgreSQL and the sandbox channel: how they end, what is asked again."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
import structlog
from payments.gateway.v1 import channel_pb2
from prometheus_client import REGISTRY

from tests.gateway.gateway_world import (
    ACCOUNT_NAME,
    ACCOUNT_NO,
    BOUNCES,
    DECLINED,
    STUCK,
    Caller,
    Database,
    Events,
    Gateways,
    Poster,
    money,
    name_of,
    new_request_no,
    paid_out,
    told,
    until,
)
from tests.ops.sandbox.sandbox_actors import Keys, World


async def waited() -> float:
    name = "payments_channel_waiting_funds_total"
    return REGISTRY.get_sample_value(name, {"channel": "sandbox"}) or 0.0


async def collected(caller: Caller, sandbox: World) -> str:
    """The number of a collection that is paid."""
    no = new_request_no()
    await caller.prepay(no)
    await sandbox.pay(await caller.ready(no))
    await caller.reaches(no, "SUCCEEDED")
    return no


# ---- How they end ----


async def test_a_payout_goes_to_its_payee_and_its_result_is_told_once(
    gateways: Gateways, sandbox: World, events: Events, database: Database
) -> None:
    """Answered at once; done at the channel after the commit; the callback brings the end."""
    app = await gateways.start("serve", "ingress")  # no sweeper: what moves it is the callback
    caller, no = gateways.caller(app), new_request_no()
    answer = await caller.payout(no)
    assert (name_of(answer), answer.amount) == ("PENDING", money(700))
    assert answer.kind == channel_pb2.CHANNEL_ORDER_KIND_PAYOUT
    order = await caller.reaches(no, "SUCCEEDED")
    assert (order.moved_amount, order.reference) == (money(700), "pay_1")
    [booked] = await paid_out(sandbox, no)
    assert (booked["account"], booked["name"]) == (ACCOUNT_NO, ACCOUNT_NAME)
    assert (booked["payout_id"], booked["amount"]) == (order.channel_txn_id, 700)
    await told(events, "SUCCEEDED")
    assert events.orders == [order]
    rows = database.query(
        "SELECT sequence FROM outbox WHERE aggregate_id = %s ORDER BY 1", f"chn_{no}"
    )
    assert rows == [(n + 1,) for n in range(order.version)]


async def test_a_declined_payout_fails_with_the_channels_reason(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    caller = gateways.caller(await gateways.start("serve", "ingress"))
    no = new_request_no()
    await caller.payout(no, account_no=DECLINED)
    order = await caller.reaches(no, "FAILED")
    assert (order.failure_reason, order.HasField("moved_amount")) == ("ACCOUNT_INVALID", False)
    await told(events, "FAILED")


async def test_a_payout_that_the_channel_cannot_read_fails(
    gateways: Gateways, sandbox: World
) -> None:
    """Its accounts have at most 34 characters; nothing of it is kept there."""
    caller = gateways.caller(await gateways.start("serve"))
    no = new_request_no()
    await caller.payout(no, account_no="6" * 64)
    assert (await caller.reaches(no, "FAILED")).failure_reason == "INVALID_REQUEST"
    assert await paid_out(sandbox, no) == []


async def test_a_stuck_payout_stays_under_way_however_often_it_is_asked_for(
    gateways: Gateways, sandbox: World, events: Events, database: Database
) -> None:
    """Only the channel can end it."""
    caller = gateways.caller(await gateways.start("serve", "work", "ingress"))
    no = new_request_no()
    await caller.payout(no, account_no=STUCK)

    async def asked_twice() -> Any:
        return database.query("SELECT 1 FROM channel_order WHERE action_attempts >= 2")

    await until(asked_twice)
    assert name_of(await caller.order(no)) == "PROCESSING"
    assert events.orders == []


async def test_a_payout_that_comes_back_has_bounced(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    """Its callback is not believed, but the query that follows it is; both results are told."""
    caller = gateways.caller(await gateways.start("serve", "ingress"))
    no = new_request_no()
    await caller.payout(no, account_no=BOUNCES)
    order = await caller.reaches(no, "BOUNCED")
    assert (order.moved_amount, order.failure_reason) == (money(700), "ACCOUNT_INVALID")
    assert order.HasField("success_time")
    await told(events, "SUCCEEDED", "BOUNCED")


async def test_a_callback_that_lies_about_a_bounce_changes_nothing(
    gateways: Gateways,
    sandbox: World,
    session: aiohttp.ClientSession,
    keys: Keys,
    database: Database,
) -> None:
    """Rightly signed, but when asked the channel says that the payout stands."""
    caller = gateways.caller(await gateways.start("serve", "ingress"))
    no = new_request_no()
    await caller.payout(no)
    before = await caller.reaches(no, "SUCCEEDED")
    resource = {"out_payout_no": no, "payout_status": "BOUNCED", "fail_reason": "NO"}
    body = {"id": f"evt_{no}", "event_type": "PAYOUT.BOUNCED", "resource": resource}
    poster = Poster(gateways.callback_url, session, keys.channel_signer)
    assert (await poster.post(json.dumps(body).encode()))[0] == 200
    assert database.query("SELECT matched FROM callback WHERE reported = 'BOUNCED'") == [(True,)]

    async def not_doubted() -> Any:
        return database.query("SELECT 1 FROM channel_order WHERE next_action_at IS NULL")

    await until(not_doubted)
    assert await caller.order(no) == before


async def test_a_payout_whose_callbacks_are_lost_is_found_by_asking(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    await sandbox.faults(callback={"lost_rate": 1})
    caller = gateways.caller(await gateways.start("serve", "work", "ingress"))
    no = new_request_no()
    await caller.payout(no)
    await caller.reaches(no, "SUCCEEDED")
    await told(events, "SUCCEEDED")


async def test_a_payout_that_came_back_before_anybody_heard_of_its_success_had_it_first(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    """Told of both at once: the bank's statement will have two lines, and so have the books."""
    await sandbox.faults(callback={"lost_rate": 1}, payout={"bounce_ms": 0})
    caller = gateways.caller(await gateways.start("serve"))
    no = new_request_no()
    await caller.payout(no, account_no=BOUNCES)

    async def bounced() -> Any:
        return [p for p in await paid_out(sandbox, no) if p["state"] == "BOUNCED"]

    await until(bounced)
    await gateways.start("work")
    order = await caller.reaches(no, "BOUNCED")
    assert (order.failure_reason, order.moved_amount) == ("ACCOUNT_INVALID", order.amount)
    await told(events, "SUCCEEDED", "BOUNCED")


async def test_callbacks_that_come_twice_and_in_any_order_count_once(
    gateways: Gateways, sandbox: World, events: Events, database: Database
) -> None:
    """Ten payouts that bounce, each callback four times, shuffled."""
    await sandbox.faults(
        callback={"duplicate_times": 3, "reorder_rate": 0.7, "reorder_ms": 400},
        payout={"bounce_ms": 50},
    )
    caller = gateways.caller(await gateways.start("serve", "work", "ingress"))
    numbers = [new_request_no() for _ in range(10)]
    for no in numbers:
        await caller.payout(no, account_no=BOUNCES)

    async def all_heard() -> Any:
        query = "SELECT count(*) FROM callback WHERE reported = 'BOUNCED'"
        return database.query(query) == [(10,)]

    async def all_quiet() -> Any:
        query = "SELECT state FROM channel_order WHERE next_action_at IS NULL"
        return len(database.query(query)) == 10

    await until(all_heard)
    await until(all_quiet)
    states = dict(database.query("SELECT request_no, state FROM channel_order"))
    assert set(states.values()) == {"BOUNCED"}
    published = database.query(
        "SELECT state, count(*) FROM outbox WHERE type = 'gateway.channel.result' GROUP BY 1"
    )
    assert dict(published) == {"SUCCEEDED": 10, "BOUNCED": 10}


# ---- What is asked again ----


async def test_a_payout_without_funds_waits_and_is_sent_again_under_its_number(
    gateways: Gateways, sandbox: World, events: Events, database: Database
) -> None:
    """Twice short, then there is money: no failure is told, and one payout is in the book."""
    await sandbox.faults(next={"payout": {"short": 2}})
    before = await waited()
    with structlog.testing.capture_logs() as logs:
        caller = gateways.caller(await gateways.start("serve", "work", "ingress"))
        no = new_request_no()
        await caller.payout(no)
        await caller.reaches(no, "SUCCEEDED")
    assert len(await paid_out(sandbox, no)) == 1
    await told(events, "SUCCEEDED")
    assert await waited() == before + 2
    warnings = [entry for entry in logs if entry["event"] == "channel.waiting_funds"]
    assert {(w["order_id"], w["log_level"]) for w in warnings} == {(f"chn_{no}", "warning")}


async def test_a_refund_without_funds_waits_too(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    await sandbox.faults(next={"refund": {"short": 2}})
    caller = gateways.caller(await gateways.start("serve", "work", "ingress"))
    refund_no = new_request_no()
    await caller.refund(refund_no, await collected(caller, sandbox), 234)
    await caller.reaches(refund_no, "SUCCEEDED")
    refunds = [r for r in (await sandbox.book())["refunds"] if r["out_refund_no"] == refund_no]
    assert [r["amount"] for r in refunds] == [234]


async def test_a_refund_that_comes_back_has_bounced(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    """The channel says FAILED after its SUCCESS; asked again, it stands by it."""
    await sandbox.faults(next={"refund": {"bounce": 1}}, refund={"bounce_ms": 100})
    caller = gateways.caller(await gateways.start("serve", "ingress"))
    refund_no = new_request_no()
    await caller.refund(refund_no, await collected(caller, sandbox), 234)
    order = await caller.reaches(refund_no, "BOUNCED")
    assert (order.moved_amount, order.failure_reason) == (money(234), "ACCOUNT_ABNORMAL")


@pytest.mark.parametrize("fault", ["timeout", "lost_answer", "bad_signature", "error"])
async def test_a_payout_whose_answer_is_lost_is_asked_for_again_and_made_once(
    gateways: Gateways, sandbox: World, events: Events, fault: str
) -> None:
    """Done or not, nobody knows: the same number again. Silence is never a failure."""
    await sandbox.faults(next={"payout": {fault: 1}}, callback={"lost_rate": 1})
    app = await gateways.start("serve", "work", "ingress", channel_budget_s=1.0)
    caller, no = gateways.caller(app), new_request_no()
    await caller.payout(no)
    await caller.reaches(no, "SUCCEEDED")
    assert len(await paid_out(sandbox, no)) == 1
    await told(events, "SUCCEEDED")


async def test_a_payout_outlives_the_process_that_was_making_it(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    """The channel has it, the answer was never written down; another process goes on."""
    await sandbox.faults(payout={"timeout_rate": 1}, callback={"lost_rate": 1})
    first = await gateways.start("serve", channel_budget_s=600.0)
    no = new_request_no()
    await gateways.caller(first).payout(no)

    async def is_at_the_channel() -> Any:
        return await paid_out(sandbox, no)

    await until(is_at_the_channel)
    gateways.forget_effects()
    await sandbox.faults(callback={"lost_rate": 1})
    caller = gateways.caller(await gateways.start("serve", "work"))
    await caller.reaches(no, "SUCCEEDED")
    assert len(await paid_out(sandbox, no)) == 1
    await told(events, "SUCCEEDED")


async def test_a_success_of_what_had_failed_is_told_to_people_and_moves_nothing(
    gateways: Gateways, sandbox: World, database: Database
) -> None:
    """No channel that we believe does so: its money may be gone twice, so somebody must look."""
    app = await gateways.start("serve", "ingress")
    caller, no = gateways.caller(app), new_request_no()
    await caller.payout(no)
    await caller.reaches(no, "SUCCEEDED")
    database.execute(
        "UPDATE channel_order SET state = 'FAILED', moved_amount_minor = NULL,"
        " moved_amount_currency = NULL, next_action_at = now()"
    )
    with structlog.testing.capture_logs() as logs:
        await gateways.start("work")

        async def not_doubted() -> Any:
            return database.query("SELECT 1 FROM channel_order WHERE next_action_at IS NULL")

        await until(not_doubted)
    assert name_of(await caller.order(no)) == "FAILED"
    errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert errors == ["channel.contradicts_itself"]
