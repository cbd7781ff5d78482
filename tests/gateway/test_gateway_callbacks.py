"""The ingress over real HTTP: what is taken, what is refused, and that refusals write nothing."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from gateway_svc.callbacks.handling import Callbacks
from gateway_svc.callbacks.ingress import Ingress
from gateway_svc.channels.sandbox.adapter import SandboxChannel
from paymesh import metrics
from paymesh.clock import SystemClock
from paymesh.errors import Overloaded
from paymesh.items import Item, Outcome
from paymesh.signing import Signer, generate_key_pair
from tests.gateway.gateway_world import (
    Caller,
    Database,
    Gateways,
    Poster,
    callback_of,
    new_request_no,
)
from tests.ops.sandbox.sandbox_actors import Keys, World


@pytest.fixture
async def caller(gateways: Gateways, sandbox: World) -> Caller:
    """Of a gateway without a sweeper: nothing moves but by callbacks."""
    return gateways.caller(await gateways.start("serve", "ingress"))


@pytest.fixture
def poster(gateways: Gateways, session: aiohttp.ClientSession, keys: Keys) -> Poster:
    return Poster(gateways.callback_url, session, keys.channel_signer)


async def awaiting(caller: Caller) -> str:
    """The number of an order that waits for its payer."""
    no = new_request_no()
    await caller.prepay(no)
    await caller.ready(no)
    return no


async def test_a_forged_callback_is_401_and_nothing_is_written(
    caller: Caller, poster: Poster, database: Database
) -> None:
    """Changed bytes; a key that is not the channel's; the merchant's own key."""
    no = await awaiting(caller)
    before = database.written()
    raw = callback_of(no)
    assert (await poster.post(raw, signed=raw + b" "))[0] == 401
    stranger = replace(poster, signer=Signer(generate_key_pair()[0]))
    status, answer = await stranger.post(raw)
    assert (status, answer["reason"]) == (401, "FORGED_SIGNATURE")
    assert set(answer) == {"code", "reason", "message"}
    assert database.written() == before


@pytest.mark.parametrize("age_s", [3600, -3600])
async def test_a_stale_or_future_callback_is_401_and_nothing_is_written(
    caller: Caller, poster: Poster, database: Database, age_s: int
) -> None:
    no = await awaiting(caller)
    before = database.written()
    status, answer = await poster.post(callback_of(no), age_s=age_s)
    assert (status, answer["reason"]) == (401, "STALE_TIMESTAMP")
    assert database.written() == before


async def test_an_unsigned_or_half_signed_callback_is_refused_and_nothing_is_written(
    caller: Caller, poster: Poster, database: Database
) -> None:
    no = await awaiting(caller)
    before = database.written()
    assert (await poster.plain(callback_of(no), {}))[0] in {400, 401}
    status, answer = await poster.post(callback_of(no), Sandbox_Signature="not base64!")
    assert status in {400, 401}
    assert answer["reason"] == "MALFORMED_SIGNATURE"
    assert database.written() == before


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"id": 1}', b"\xff\xfe", b'{"id":"a\\u0000"}'])
async def test_a_signed_callback_that_makes_no_sense_is_400_and_nothing_is_written(
    caller: Caller, poster: Poster, database: Database, raw: bytes
) -> None:
    before = database.written()
    status, answer = await poster.post(raw)
    assert (status, answer["reason"]) == (400, "UNREADABLE")
    assert database.written() == before


async def test_an_encoded_callback_is_415_before_it_is_unpacked(
    caller: Caller, poster: Poster, database: Database
) -> None:
    """A bomb stays packed."""
    before = database.written()
    assert (await poster.post(callback_of(new_request_no()), Content_Encoding="gzip"))[0] == 415
    assert database.written() == before


async def test_an_oversize_callback_is_413(
    caller: Caller, poster: Poster, database: Database
) -> None:
    """The largest that is allowed is read; one byte more is not."""
    before = database.written()
    assert (await poster.post(b" " * (64 * 1024)))[0] == 400
    assert (await poster.post(b" " * (64 * 1024 + 1)))[0] == 413
    assert database.written() == before


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 99999999\r\n", b"Transfer-Encoding: chunked\r\n"]
)
async def test_an_oversize_callback_is_refused_before_all_of_it_is_sent(
    caller: Caller, gateways: Gateways, framing: bytes
) -> None:
    """By its declared length at once, without one at the first byte too many."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateways.ingress_port)
    writer.write(b"POST /callbacks/sandbox HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n")
    if b"chunked" in framing:
        writer.write((b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 3)
    async with asyncio.timeout(60):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_a_callback_of_no_channel_is_404_and_makes_no_new_metric(
    caller: Caller, gateways: Gateways, session: aiohttp.ClientSession
) -> None:
    """The path is anybody's to choose; our memory is not."""
    for _ in range(3):
        url = f"{gateways.ingress_url}/callbacks/{secrets.token_hex(8)}"
        async with session.post(url, data=b"{}") as response:
            assert response.status == 404
    channels = {
        sample.labels["channel"]
        for metric in metrics.CALLBACKS.collect()
        for sample in metric.samples
    }
    assert channels <= {"sandbox", "unknown", "other"}


async def test_a_replayed_callback_is_2xx_and_counts_once(
    caller: Caller, poster: Poster, database: Database
) -> None:
    """The same id under new signatures, one after the other and all at once."""
    no = await awaiting(caller)
    raw = callback_of(no)
    assert (await poster.post(raw))[0] == 200
    await caller.reaches(no, "SUCCEEDED")
    after = database.written()
    assert after["callback"] == after["inbox"] == (1,)
    answers = await asyncio.gather(*(poster.post(raw) for _ in range(10)))
    assert {status for status, _ in answers} == {200}
    assert database.written() == after


async def test_every_callback_that_was_answered_2xx_has_its_row(
    caller: Caller, poster: Poster, database: Database
) -> None:
    """Many at once, each with its own row, in the context of its order, hashed as it came."""
    numbers = [await awaiting(caller) for _ in range(5)]
    answers = await asyncio.gather(*(poster.post(callback_of(no)) for no in numbers))
    assert {status for status, _ in answers} == {200}
    rows = database.query("SELECT request_no, matched, business_id, body_sha256 FROM callback")
    assert sorted(row[0] for row in rows) == sorted(numbers)
    assert {row[1:3] for row in rows} == {(True, "biz_1")}
    assert len({row[3] for row in rows}) == 5


async def test_a_callback_for_an_order_that_we_do_not_know_is_kept_and_2xx(
    caller: Caller, poster: Poster, database: Database
) -> None:
    """It is parked; an order that is written down later is found by asking."""
    no = new_request_no()
    before = database.written()
    assert (await poster.post(callback_of(no)))[0] == 200
    assert database.query("SELECT request_no, matched FROM callback") == [(no, False)]
    after = database.written()
    assert (after["channel_order"], after["outbox"]) == (before["channel_order"], before["outbox"])


async def test_a_parked_callback_does_not_keep_its_order_from_being_paid(
    gateways: Gateways, sandbox: World, poster: Poster, database: Database
) -> None:
    """The callback came first and is lost on the order; the ladder heals it."""
    await sandbox.faults(callback={"lost_rate": 1})
    caller = gateways.caller(await gateways.start("serve", "work", "ingress"))
    no = new_request_no()
    assert (await poster.post(callback_of(no)))[0] == 200
    await caller.prepay(no)
    await sandbox.pay(await caller.ready(no))
    await caller.reaches(no, "SUCCEEDED")


async def test_a_callback_before_the_answer_to_the_prepay_is_matched_by_the_number(
    caller: Caller, gateways: Gateways, sandbox: World, poster: Poster
) -> None:
    """The payer was faster than the channel's own answer."""
    for latency_ms in (300, 3000, 30_000):  # more, where a callback takes long
        await sandbox.faults(prepay={"answer_latency_ms": latency_ms})
        no = new_request_no()
        await caller.prepay(no)
        assert (await poster.post(callback_of(no)))[0] == 200
        if (await caller.reaches(no, "SUCCEEDED")).version == 2:
            break
    await gateways.rest()  # the late answer changes nothing
    assert (await caller.order(no)).version == 2


async def test_a_channel_cannot_speak_for_an_order_of_another_channel(
    caller: Caller, poster: Poster, database: Database
) -> None:
    """Rightly signed, but the order is not of that channel: kept, not believed."""
    no = await awaiting(caller)
    database.execute("UPDATE channel_order SET channel = 'wechat' WHERE request_no = %s", no)
    assert (await poster.post(callback_of(no)))[0] == 200
    assert database.query("SELECT state FROM channel_order") == [("AWAITING_PAYER",)]
    assert database.query("SELECT matched FROM callback") == [(False,)]


async def test_a_callback_with_another_amount_is_not_believed(
    caller: Caller, poster: Poster, sandbox: World, database: Database
) -> None:
    """Rightly signed, but of a cent: kept, and the channel is asked. Paid is what it then says."""
    no = await awaiting(caller)
    assert (await poster.post(callback_of(no, 1)))[0] == 200
    assert database.query("SELECT state FROM channel_order") == [("AWAITING_PAYER",)]
    assert database.query("SELECT matched FROM callback") == [(True,)]
    await sandbox.pay(await caller.ready(no))
    await caller.reaches(no, "SUCCEEDED")
    assert (await caller.order(no)).moved_amount.minor_units == 1234


async def test_a_callback_is_not_2xx_while_the_database_is_away(
    caller: Caller, poster: Poster, database: Database
) -> None:
    """Nothing durable, no 2xx; the channel sends it again and then it is taken."""
    no = await awaiting(caller)
    raw = callback_of(no)
    database.query(f"ALTER DATABASE {database.name} CONNECTION LIMIT 0")  # superusers may
    try:
        database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        status, answer = await poster.post(raw)
        assert (status, answer["reason"]) == (503, "UNAVAILABLE")
    finally:
        database.query(f"ALTER DATABASE {database.name} CONNECTION LIMIT -1")
    assert database.written()["callback"] == (0,)
    assert (await poster.post(raw))[0] == 200
    await caller.reaches(no, "SUCCEEDED")


@pytest.mark.parametrize("limit", ["callbacks_per_second_max", "channel_callbacks_per_second_max"])
async def test_too_many_callbacks_are_429_before_signatures_are_checked(
    gateways: Gateways, sandbox: World, poster: Poster, database: Database, limit: str
) -> None:
    """From one source, or of one channel from all sources together."""
    await gateways.start("ingress", **{limit: 3})
    began = time.monotonic()
    answers = await asyncio.gather(*(poster.plain(b"{}", {}) for _ in range(20)))
    seconds = int(time.monotonic() - began) + 2  # that were touched
    statuses = [status for status, _ in answers]
    assert statuses.count(429) >= 20 - 3 * seconds
    assert 429 in statuses
    assert database.written()["callback"] == (0,)


async def test_an_overloaded_gateway_is_503(keys: Keys, session: aiohttp.ClientSession) -> None:
    """What the batcher refuses to queue comes again; it is no defect."""

    async def refuse(item: Item) -> Outcome:
        raise Overloaded("too much is waiting")

    channel = SandboxChannel(
        "http://127.0.0.1:9",
        signer=keys.merchant_signer,
        verifier=keys.channel_verifier,
        budget_s=1,
    )
    callbacks = Callbacks(
        {"sandbox": channel},
        refuse,
        clock=SystemClock(),
        per_second_max=100,
        channel_per_second_max=100,
    )
    ingress = Ingress(callbacks.app, listen="127.0.0.1:0")
    await ingress.start()
    try:
        url = f"http://127.0.0.1:{ingress.port}/callbacks/sandbox"
        poster = Poster(url, session, keys.channel_signer)
        status, answer = await poster.post(callback_of(new_request_no()))
        assert (status, answer["reason"]) == (503, "OVERLOADED")
    finally:
        await ingress.stop()


async def test_the_ingress_says_that_it_is_well(
    gateways: Gateways, session: aiohttp.ClientSession
) -> None:
    await gateways.start("ingress")
    async with session.get(f"{gateways.ingress_url}/health") as response:
        body: Any = json.loads(await response.read())
        assert (response.status, body["status"]) == (200, "SERVING")
