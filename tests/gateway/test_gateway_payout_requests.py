"""Payouts as they are asked for: what is refused, and that the payee can be read nowhere."""

from __future__ import annotations

import json
import secrets
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from payments.gateway.v1 import channel_service_pb2 as m
from payments.type.v1 import context_pb2

from gateway_svc.channels.port import Verb
from gateway_svc.channels.sandbox.adapter import SandboxChannel
from gateway_svc.orders.payees import Payee, Payees
from paymesh.app import Role
from paymesh.keyprobe import belongs_to
from paymesh.secretbox import SecretBox, Unopened, make_key
from tests.gateway.gateway_world import (
    ACCOUNT_NAME,
    ACCOUNT_NO,
    DECLINED,
    RPC_TIMEOUT_S,
    STUCK,
    Caller,
    Database,
    Events,
    Gateways,
    money,
    new_request_no,
    paid_out,
    reason_of,
    told,
)
from tests.ops.sandbox.sandbox_actors import Keys, World

# ---- Who may know the payee ----


async def test_the_payee_can_be_read_nowhere(
    gateways: Gateways,
    sandbox: World,
    events: Events,
    database: Database,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in any table, log, event or answer, whatever becomes of the payout."""
    await sandbox.faults(next={"payout": {"short": 1, "timeout": 1}})
    roles: list[Role] = ["serve", "work", "ingress"]
    caller = gateways.caller(await gateways.start(*roles, channel_budget_s=1.0))
    no, refused_no = new_request_no(), new_request_no()
    with structlog.testing.capture_logs() as logs:
        answer = await caller.payout(no)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await caller.payout(refused_no, account_no=f"{ACCOUNT_NO}!")
        order = await caller.reaches(no, "SUCCEEDED")
        await told(events, "SUCCEEDED")
    tables = [row[0] for row in database.query("SELECT tablename FROM pg_tables "
                                               "WHERE schemaname = 'public'")]  # fmt: skip
    rows = [str(database.query(f'SELECT to_jsonb(t) FROM "{table}" t')) for table in tables]
    seen = [*rows, str(logs), str(answer), str(order), str(events.orders), str(error.value)]
    seen += capfd.readouterr()
    assert any(no in text for text in rows)
    for secret in (ACCOUNT_NO, ACCOUNT_NAME, "韩梅梅"):
        raw = secret.encode()
        for text in (secret, raw.hex(), json.dumps(secret)[1:-1], str(raw)[2:-1]):
            assert not [place[:80] for place in seen if text in place]


def _box(path: Path, database: Database) -> SecretBox:
    """As the gateway has it: its fingerprints are made with what the probe seals."""
    box = SecretBox(path)
    [(probe,)] = database.query("SELECT sealed FROM key_probe")
    box.use(box.keys, fingerprint_key=box.open(probe, belongs_to=belongs_to("gateway")))
    return box


async def test_a_payee_is_sealed_for_its_order_alone(
    gateways: Gateways, sandbox: World, keys: Keys, database: Database, tmp_path: Path
) -> None:
    """The row opens with the key and the order's id, and not with another of either."""
    caller = gateways.caller(await gateways.start("serve"))
    no = new_request_no()
    await caller.payout(no)
    [(order_id, sealed)] = database.query("SELECT id, sealed_payee FROM channel_order")
    key = keys.folder / "secret.key"
    payees = Payees(_box(key, database))
    assert payees.open(sealed, order_id=order_id) == Payee(ACCOUNT_NO, ACCOUNT_NAME)
    with pytest.raises(Unopened):
        payees.open(sealed, order_id="chn_other")
    stranger = SecretBox(make_key(tmp_path))
    stranger.use(stranger.keys, fingerprint_key=secrets.token_bytes(32))
    strangers = Payees(stranger)
    with pytest.raises(Unopened):
        strangers.open(sealed, order_id=order_id)
    payee = Payee(ACCOUNT_NO, ACCOUNT_NAME)
    digest = payees.digest(payee, order_id=order_id)
    assert database.query("SELECT payee_digest FROM channel_order") == [(digest,)]
    assert strangers.digest(payee, order_id=order_id) != digest
    assert payees.digest(payee, order_id="chn_other") != digest


# ---- What may be asked ----


async def test_the_same_payout_is_one_order_under_one_request_id_or_two(
    gateways: Gateways, sandbox: World, database: Database
) -> None:
    """The number decides; another payee, amount or channel under it is refused."""
    caller = gateways.caller(await gateways.start("serve"))
    no = new_request_no()
    payee = m.Payee(account_no=STUCK, account_name=ACCOUNT_NAME)
    request = caller.payout_request(no, payee=payee)
    for _ in range(3):
        await caller.stub.Payout(request, metadata=caller.metadata, timeout=RPC_TIMEOUT_S)
    await caller.payout(no, payee=payee)
    assert database.query("SELECT count(*) FROM channel_order") == [(1,)]
    for change in (
        {"payee": m.Payee(account_no=STUCK, account_name="Li Lei")},
        {"payee": m.Payee(account_no=DECLINED, account_name=ACCOUNT_NAME)},
        {"payee": payee, "amount": money(701)},
        {"payee": payee, "amount": money(700, "USD")},
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await caller.payout(no, **change)
        assert reason_of(error)[0] is grpc.StatusCode.ALREADY_EXISTS
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await caller.payout(no, request_id=request.request_id, **change)
        assert reason_of(error)[0] is grpc.StatusCode.INVALID_ARGUMENT
    await caller.reaches(no, "PROCESSING")
    assert len(await paid_out(sandbox, no)) == 1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("request_id", {"request_id": "1"}),
        ("request_no", {"request_no": "short"}),
        ("channel", {"channel": ""}),
        ("amount", {"amount": None}),
        ("amount", {"amount": money(0)}),
        ("amount", {"amount": money(-1)}),
        ("amount.currency_code", {"amount": money(700, "ABC")}),
        ("payee", {"payee": None}),
        ("payee.account_no", {"payee": m.Payee(account_no="123", account_name="Li")}),
        ("payee.account_no", {"payee": m.Payee(account_no="1234 5678", account_name="Li")}),
        ("payee.account_no", {"payee": m.Payee(account_no="1" * 65, account_name="Li")}),
        ("payee.account_name", {"payee": m.Payee(account_no="12345678", account_name="")}),
        ("payee.account_name", {"payee": m.Payee(account_no="12345678", account_name="a\0")}),
        ("payee.account_name", {"payee": m.Payee(account_no="12345678", account_name="a" * 129)}),
        ("reference", {"reference": "a b"}),
    ],
)
async def test_a_bad_payout_is_refused_and_nothing_is_written(
    gateways: Gateways, sandbox: World, database: Database, field: str, change: dict[str, Any]
) -> None:
    """Each field by the contract's rules, named in the answer."""
    caller = gateways.caller(await gateways.start("serve"))
    before = database.written()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await caller.payout(**{"request_no": new_request_no(), **change})
    code, details = reason_of(error)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in details
    assert database.written() == before


async def test_a_channel_that_does_not_pay_out_is_refused(
    gateways: Gateways, sandbox: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody knows, and one that has every other verb."""
    monkeypatch.setattr(SandboxChannel, "verbs", frozenset(Verb) - {Verb.PAYOUT})
    caller = gateways.caller(await gateways.start("serve"))
    for channel in ("alipay", "sandbox"):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await caller.payout(new_request_no(), channel=channel)
        code, details = reason_of(error)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "does not payout" in details
    assert database.written()["channel_order"] == (0, None)


async def test_a_batch_of_payouts_gives_each_item_its_own_answer(
    gateways: Gateways, sandbox: World
) -> None:
    """One good, one of an unknown channel, one without a payee: only the good one is written."""
    caller = gateways.caller(await gateways.start("serve", "ingress"))
    requests = [caller.payout_request(new_request_no()) for _ in range(3)]
    requests[1].channel = "alipay"
    requests[2].ClearField("payee")
    call_context = context_pb2.CallContext(context=caller.context)
    request = m.BatchPayoutsRequest(
        items=[m.BatchPayoutsItem(call_context=call_context, request=r) for r in requests]
    )
    results = (await caller.stub.BatchPayouts(request, timeout=RPC_TIMEOUT_S)).results
    assert [r.WhichOneof("result") for r in results] == ["response", "error", "error"]
    assert results[0].response.channel_order.request_no == requests[0].request_no
    await caller.reaches(requests[0].request_no, "SUCCEEDED")


async def test_a_payout_is_no_collection(gateways: Gateways, sandbox: World) -> None:
    """It has no credential, is not closed, and is not refunded."""
    caller: Caller = gateways.caller(await gateways.start("serve", "ingress"))
    no = new_request_no()
    await caller.payout(no)
    paid = await caller.reaches(no, "SUCCEEDED")
    assert await caller.close(no) == paid
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await caller.credential(no)
    assert reason_of(error)[0] is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await caller.refund(new_request_no(), no, 100, request_id=str(uuid.uuid4()))
    assert reason_of(error)[0] is grpc.StatusCode.FAILED_PRECONDITION
