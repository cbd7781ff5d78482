"""Collections, refunds and credentials over real gRPC, PostgreSQL and the sandbox channel."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from payments.gateway.v1 import channel_pb2
from payments.gateway.v1 import channel_service_pb2 as m
from payments.type.v1 import context_pb2

from paymesh.store.postgres import PostgresStore
from paymesh.wire import time_to
from tests.gateway.gateway_world import (
    RPC_TIMEOUT_S,
    Caller,
    Database,
    Events,
    Gateways,
    money,
    name_of,
    new_request_no,
    reason_of,
    until,
)
from tests.ops.sandbox.sandbox_actors import World

READY = channel_pb2.CREDENTIAL_STATE_READY
PENDING = channel_pb2.CREDENTIAL_STATE_PENDING


async def test_a_collection_goes_from_prepay_to_a_result_that_is_told_once(
    gateways: Gateways, sandbox: World, events: Events, database: Database
) -> None:
    """Credential, payment at the channel, callback, SUCCEEDED; each version has its one event."""
    app = await gateways.start("serve", "ingress")  # no sweeper: what moves it is the callback
    caller, no = gateways.caller(app), new_request_no()
    answer = await caller.prepay(no)
    assert answer.credential.credential_id == f"crd_{no}"
    assert answer.channel_order.channel_order_id == f"chn_{no}"
    assert (await sandbox.pay(await caller.ready(no))).status == 200
    order = await caller.reaches(no, "SUCCEEDED")
    assert (order.moved_amount, order.reference) == (money(1234), "pay_1")
    assert order.channel_txn_id
    assert (await caller.credential(no)).state == channel_pb2.CREDENTIAL_STATE_USED

    async def told() -> Any:
        return events.orders

    assert await until(told) == [order]
    rows = database.query(
        "SELECT sequence, state, published FROM outbox WHERE aggregate_id = %s ORDER BY sequence",
        f"chn_{no}",
    )
    assert rows == [(1, "PENDING", False), (2, "AWAITING_PAYER", False), (3, "SUCCEEDED", True)]
    assert database.query("SELECT request_no, reported, matched FROM callback") == [
        (no, "SUCCEEDED", True)
    ]


async def test_a_lost_callback_is_healed_by_the_query_ladder(
    gateways: Gateways, sandbox: World, events: Events, database: Database
) -> None:
    """Nobody calls back; the resolver asks and finds the money."""
    await sandbox.faults(callback={"lost_rate": 1})
    app = await gateways.start("serve", "work", "ingress")
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no)
    await sandbox.pay(await caller.ready(no))
    order = await caller.reaches(no, "SUCCEEDED")
    assert order.moved_amount == money(1234)
    assert database.query("SELECT count(*) FROM callback") == [(0,)]


async def test_a_prepay_whose_answer_was_lost_is_sent_again_with_the_same_number(
    gateways: Gateways, sandbox: World
) -> None:
    """The channel has the order already: the same number gives the same credential."""
    await sandbox.faults(next={"prepay": {"lost_answer": 1}})
    app = await gateways.start("serve", "work", "ingress")
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no)
    prepay_id = await caller.ready(no)
    orders = [o for o in (await sandbox.book())["orders"] if o["out_trade_no"] == no]
    assert [o["prepay_id"] for o in orders] == [prepay_id]


async def test_a_slow_channel_does_not_slow_the_answer_to_prepay(
    gateways: Gateways, sandbox: World
) -> None:
    """Prepay answers PENDING though the channel never does: its time is nobody's wait."""
    await sandbox.faults(prepay={"timeout_rate": 1})
    app = await gateways.start("serve", channel_budget_s=600.0)
    caller = gateways.caller(app)
    answers = await asyncio.gather(*(caller.prepay(new_request_no()) for _ in range(10)))
    assert {answer.credential.state for answer in answers} == {PENDING}
    assert gateways.effects()
    gateways.forget_effects()


async def test_the_same_prepay_is_one_order_under_one_request_id_or_two(
    gateways: Gateways, sandbox: World, database: Database
) -> None:
    """The number decides; a request_id with another body is refused."""
    app = await gateways.start("serve")
    caller, no = gateways.caller(app), new_request_no()
    request = caller.prepay_request(no)
    for _ in range(3):
        await caller.stub.Prepay(request, metadata=caller.metadata, timeout=RPC_TIMEOUT_S)
    request.request_id = str(uuid.uuid4())
    await caller.stub.Prepay(request, metadata=caller.metadata, timeout=RPC_TIMEOUT_S)
    assert database.query("SELECT count(*) FROM channel_order") == [(1,)]
    request.amount.minor_units += 1
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await caller.stub.Prepay(request, metadata=caller.metadata, timeout=RPC_TIMEOUT_S)
    assert reason_of(error)[0] is grpc.StatusCode.INVALID_ARGUMENT
    request.request_id = str(uuid.uuid4())
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await caller.stub.Prepay(request, metadata=caller.metadata, timeout=RPC_TIMEOUT_S)
    assert reason_of(error)[0] is grpc.StatusCode.ALREADY_EXISTS


async def test_a_channel_that_is_not_offered_is_refused_and_nothing_is_written(
    gateways: Gateways, sandbox: World, database: Database
) -> None:
    app = await gateways.start("serve")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await gateways.caller(app).prepay(new_request_no(), channel="alipay")
    assert reason_of(error)[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert database.written()["channel_order"] == (0, None)


async def test_a_collection_that_has_expired_already_is_refused(
    gateways: Gateways, sandbox: World, database: Database
) -> None:
    """Nobody could pay it, and the channel need not be asked."""
    app = await gateways.start("serve")
    past = time_to(datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await gateways.caller(app).prepay(new_request_no(), expire_time=past)
    assert reason_of(error)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert database.written()["channel_order"] == (0, None)


async def test_a_batch_gives_each_item_its_own_answer(gateways: Gateways, sandbox: World) -> None:
    """One good, one of an unknown channel, one with a bad number: only the good one is written."""
    app = await gateways.start("serve")
    caller, numbers = gateways.caller(app), [new_request_no() for _ in range(3)]
    requests = [caller.prepay_request(no) for no in numbers]
    requests[1].channel, requests[2].request_no = "alipay", "short"
    call_context = context_pb2.CallContext(context=caller.context)
    batch = m.BatchPrepayRequest(
        items=[m.BatchPrepayItem(call_context=call_context, request=r) for r in requests]
    )
    results = (await caller.stub.BatchPrepay(batch, timeout=RPC_TIMEOUT_S)).results
    assert [r.WhichOneof("result") for r in results] == ["response", "error", "error"]
    wanted = m.BatchGetChannelOrdersRequest(
        items=[
            m.BatchGetChannelOrdersItem(
                call_context=call_context, request=m.GetChannelOrderRequest(request_no=no)
            )
            for no in numbers[:2]
        ]
    )
    found = (await caller.stub.BatchGetChannelOrders(wanted, timeout=RPC_TIMEOUT_S)).results
    assert [r.WhichOneof("result") for r in found] == ["response", "error"]


async def test_an_order_that_is_closed_before_it_is_paid_ends_closed(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    """CLOSING is no end; the channel's word is. The payer comes too late."""
    app = await gateways.start("serve", "work", "ingress")
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no)
    prepay_id = await caller.ready(no)
    assert name_of(await caller.close(no)) in {"CLOSING", "CLOSED"}
    await caller.reaches(no, "CLOSED")
    assert (await sandbox.pay(prepay_id)).status == 409
    assert (await caller.credential(no)).state == channel_pb2.CREDENTIAL_STATE_FAILED


async def test_an_order_that_the_channel_never_heard_of_is_announced_to_be_closed(
    gateways: Gateways, sandbox: World
) -> None:
    """Its announcement may still be on its way: only an order that is there is closed for sure."""
    await sandbox.faults(prepay={"error_rate": 1})
    caller, no = gateways.caller(await gateways.start("serve", "work")), new_request_no()
    await caller.prepay(no)
    await caller.close(no)
    await sandbox.faults()
    await caller.reaches(no, "CLOSED")
    [order] = [o for o in (await sandbox.book())["orders"] if o["out_trade_no"] == no]
    assert order["state"] == "CLOSED"


async def test_a_close_that_loses_the_race_ends_in_success(
    gateways: Gateways, sandbox: World, database: Database
) -> None:
    """The payer was first and the callback is lost: closing finds the money."""
    await sandbox.faults(callback={"lost_rate": 1})
    app = await gateways.start("serve")
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no)
    await sandbox.pay(await caller.ready(no))
    await caller.close(no)
    order = await caller.reaches(no, "SUCCEEDED")
    assert order.moved_amount == money(1234)


async def test_money_that_comes_after_the_close_is_a_late_success(
    gateways: Gateways, sandbox: World, events: Events
) -> None:
    """CLOSED, then the channel takes the payment all the same: both results are told, in order."""
    await sandbox.faults(pay={"late_success_rate": 1})
    app = await gateways.start("serve", "work", "ingress")
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no)
    prepay_id = await caller.ready(no)
    await caller.close(no)
    await caller.reaches(no, "CLOSED")
    assert (await sandbox.pay(prepay_id)).status == 200
    await caller.reaches(no, "SUCCEEDED")

    async def told_twice() -> Any:
        return len(events.orders) == 2

    await until(told_twice)
    assert sorted(events.sequences) == events.sequences
    assert [name_of(order) for order in events.orders] == ["CLOSED", "SUCCEEDED"]


async def test_a_payer_who_pays_another_amount_is_told_as_it_is(
    gateways: Gateways, sandbox: World
) -> None:
    """Money is a fact: the payment core judges, not we."""
    await sandbox.faults(pay={"wrong_amount_rate": 1})
    app = await gateways.start("serve", "ingress")
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no)
    await sandbox.pay(await caller.ready(no))
    order = await caller.reaches(no, "SUCCEEDED")
    assert (order.amount, order.moved_amount) == (money(1234), money(1235))


async def test_a_refund_goes_where_the_collection_went(
    gateways: Gateways, sandbox: World, database: Database
) -> None:
    """Its own order, its own number, the channel of the original; asked twice, done once."""
    app = await gateways.start("serve", "work", "ingress")
    caller, no, refund_no = gateways.caller(app), new_request_no(), new_request_no()
    await caller.prepay(no)
    await sandbox.pay(await caller.ready(no))
    await caller.reaches(no, "SUCCEEDED")
    for _ in range(2):
        await caller.refund(refund_no, no, 234)
    refund = await caller.reaches(refund_no, "SUCCEEDED")
    assert (refund.moved_amount, refund.original_request_no) == (money(234), no)
    refunds = [r for r in (await sandbox.book())["refunds"] if r["out_trade_no"] == no]
    assert [r["out_refund_no"] for r in refunds] == [refund_no]


@pytest.mark.parametrize("paid", [False, True])
async def test_only_a_paid_collection_can_be_refunded(
    gateways: Gateways, sandbox: World, database: Database, paid: bool
) -> None:
    """Neither an unpaid one nor a refund: refused before anything is written."""
    app = await gateways.start("serve", "work", "ingress")
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no)
    prepay_id = await caller.ready(no)
    if paid:
        await sandbox.pay(prepay_id)
        await caller.reaches(no, "SUCCEEDED")
        original, no = no, new_request_no()
        await caller.refund(no, original, 100)
        await caller.reaches(no, "SUCCEEDED")
    before = database.query("SELECT count(*) FROM channel_order")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await caller.refund(new_request_no(), no, 100)
    assert reason_of(error)[0] in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND}
    assert database.query("SELECT count(*) FROM channel_order") == before


async def test_a_watched_credential_comes_when_the_channel_has_answered(
    gateways: Gateways, sandbox: World
) -> None:
    """Now PENDING, then READY with the channel's fields, then the stream ends by itself."""
    await sandbox.faults(next={"prepay": {"error": 1}})
    app = await gateways.start("serve")
    caller, no = gateways.caller(app), new_request_no()
    await caller.prepay(no)
    await gateways.rest()
    request = m.WatchCredentialRequest(credential_id=f"crd_{no}")
    seen = []
    async for answer in caller.stub.WatchCredential(request, timeout=RPC_TIMEOUT_S):
        seen.append(answer.credential)
        if len(seen) == 1:
            await gateways.start("work")  # its sweeper asks again
    assert [credential.state for credential in seen] == [PENDING, READY]
    assert seen[-1].channel_fields["pay_url"].startswith("http")


async def test_all_watched_credentials_share_one_query(gateways: Gateways, sandbox: World) -> None:
    """Twenty streams wait for a silent channel: one query per 100 ms, not twenty."""
    await sandbox.faults(prepay={"timeout_rate": 1})
    app = await gateways.start("serve", channel_budget_s=600.0)
    caller = gateways.caller(app)
    numbers = [new_request_no() for _ in range(20)]
    await asyncio.gather(*(caller.prepay(no) for no in numbers))
    loads: list[int] = []
    load = PostgresStore.load

    async def counted(store: Any, aggregate: Any, keys: Any) -> Any:
        loads.append(len(keys))
        return await load(store, aggregate, keys)

    requests = [m.WatchCredentialRequest(credential_id=f"crd_{no}") for no in numbers]

    async def three_times_all() -> Any:
        return loads.count(20) >= 3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresStore, "load", counted)
        calls = [caller.stub.WatchCredential(request, timeout=60) for request in requests]
        first = await asyncio.gather(*(call.read() for call in calls))
        await until(three_times_all)
    assert [answer.credential.state for answer in first] == [PENDING] * 20
    assert set(loads[loads.index(20) :]) == {20}, "once all watch, one query for all"
    for call in calls:
        call.cancel()
    gateways.forget_effects()


async def test_a_credential_that_nobody_knows_is_not_found(
    gateways: Gateways, sandbox: World
) -> None:
    caller: Caller = gateways.caller(await gateways.start("serve"))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await caller.credential(new_request_no())
    assert reason_of(error)[0] is grpc.StatusCode.NOT_FOUND
