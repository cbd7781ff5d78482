"""What is sent to be measured, and when: callers in turn, even intervals, bounded backlogs."""

from __future__ import annotations

import asyncio
import time

import pytest
from payments.clearing.v1 import ledger_service_pb2

from paymesh.ids import bucket_of, shard_of
from paymesh_ops.bench.backlog import backlog
from paymesh_ops.bench.books import Books
from paymesh_ops.bench.ledger import MESSAGE_JOURNALS, PACED_JOURNALS, Transfers
from paymesh_ops.bench.load import called, paced


async def test_callers_send_the_next_one_when_the_last_is_answered() -> None:
    busy = most = 0

    async def call(number: int) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1

    latencies = await called(range(20), call, callers=3)
    assert (len(latencies), most) == (20, 3)


async def test_what_is_due_does_not_wait_for_answers() -> None:
    """None is answered before the last of ten has come, which at 200 a second is after 45 ms."""
    all_here = asyncio.Event()

    async def call(number: int) -> None:
        if number == 9:
            all_here.set()
        await all_here.wait()

    latencies = await asyncio.wait_for(paced(range(10), call, a_second=200), 60)
    assert len(latencies) == 10
    assert max(latencies) >= 0.04


async def test_what_begins_late_was_slow() -> None:
    """A caller that stands still for 0.1 s has not made the calls of that time any faster."""

    async def call(number: int) -> None:
        if number == 0:
            time.sleep(0.1)  # noqa: ASYNC251  nothing else runs meanwhile: that is the point

    latencies = await paced(range(5), call, a_second=1000)
    assert min(latencies) >= 0.09


async def test_the_first_error_ends_what_is_paced() -> None:
    """Without waiting for what is due later."""

    async def call(number: int) -> None:
        raise RuntimeError("refused")

    with pytest.raises(ExceptionGroup, match="unhandled") as caught:
        await asyncio.wait_for(paced(range(1000), call, a_second=10), 60)
    assert caught.group_contains(RuntimeError, match="refused")


@pytest.mark.parametrize(("steady", "size"), [(False, MESSAGE_JOURNALS), (True, PACED_JOURNALS)])
async def test_the_ledger_is_sent_what_services_of_ours_send(steady: bool, size: int) -> None:
    """Ids of ours, in the order of time, in the buckets of merchant and payer; no request_id."""
    transfers = Transfers("x", "", {}, Books({}), journals=3 * size, event_type="t", steady=steady)
    await transfers.prepare()
    read = ledger_service_pb2.PostJournalsRequest.FromString
    messages = [read(message) for message in transfers.messages]
    assert [len(message.items) for message in messages] == [size] * 3
    assert {m.view for m in messages} == {ledger_service_pb2.JOURNAL_VIEW_NAME}
    items = [item for message in messages for item in message.items]
    business_ids = [item.call_context.context.business_id for item in items]
    assert business_ids == sorted(set(business_ids))
    assert {shard_of(business_id) for business_id in business_ids} == {bucket_of("mer_bench")}
    assert len({item.request.business_key for item in items}) == len(items)
    for item in items:
        key, payer = item.request.business_key, item.request.entries[0].owner
        assert key.startswith("ins_")
        assert shard_of(key) == bucket_of(payer)
        assert not item.request.request_id


async def test_no_more_is_begun_than_may_be_under_way() -> None:
    """And it is over when the last one is."""
    over = 0

    async def look() -> int:
        return over

    async with backlog(look, most=4, every_s=0.001) as things:
        await things.begin(2)
        await things.begin(2)
        next_one = asyncio.create_task(things.begin(1))
        await asyncio.sleep(0.02)
        assert not next_one.done()
        over = 1
        await asyncio.wait_for(next_one, 60)
        end = asyncio.create_task(things.over())
        await asyncio.sleep(0.02)
        assert not end.done()
        over = 5
        await asyncio.wait_for(end, 60)
