"""The adapter under doubt: UNKNOWN for whatever is not known, and the tables of states."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from gateway_svc.channels.port import (
    CallbackKind,
    Channel,
    PayoutOrder,
    PrepayOrder,
    RefundOrder,
    Verb,
)
from gateway_svc.channels.sandbox.states import (
    COLLECT_SHAPE,
    EVENTS,
    NATIVE_STATES,
    PAYOUT_SHAPE,
    REFUND_SHAPE,
    REFUSALS,
    SHAPES,
    read_answer,
    refusal,
)
from gateway_svc.orders.model import ReportedState
from paymesh.signing import Signer, Verifier, generate_key_pair, serial_of
from paymesh_ops.sandbox import domain

MakeOrder = Callable[..., PrepayOrder]
N = ReportedState
REFUND = RefundOrder(refund_no="refund1", request_no="order01", amount_minor=1, currency="CNY")
PAYOUT = PayoutOrder(
    payout_no="payout1",
    amount_minor=1,
    currency="CNY",
    account_no="62220000000004",  # short of funds, so nothing of it is kept
    account_name="Li Lei",
    notify_url="http://127.0.0.1:9/callbacks/sandbox",
)

CALLS: dict[Verb, Callable[[Channel, PrepayOrder], Any]] = {
    Verb.PREPAY: lambda channel, order: channel.prepay(order),
    Verb.QUERY: lambda channel, order: channel.query(order.request_no),
    Verb.CLOSE: lambda channel, order: channel.close(order.request_no),
    Verb.REFUND: lambda channel, order: channel.refund(REFUND),
    Verb.QUERY_REFUND: lambda channel, order: channel.query_refund("refund1", "order01"),
    Verb.PAYOUT: lambda channel, order: channel.payout(PAYOUT),
    Verb.QUERY_PAYOUT: lambda channel, order: channel.query_payout("payout1"),
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("error", "HTTP_500"),
        ("lost_answer", "HTTP_500"),
        ("timeout", "TIMEOUT"),
        ("bad_signature", "ANSWER_ForgedSignature"),
    ],
)
async def test_a_doubtful_answer_is_unknown_never_failed(
    world: Any, channel_of: Any, new_order: MakeOrder, verb: Verb, fault: str, reason: str
) -> None:
    """5xx before or after doing it, silence, an answer wrongly signed: each verb, each fault."""
    channel = await channel_of(world.url, **({"budget_s": 0.15} if fault == "timeout" else {}))
    await world.faults(next={verb.value.lower(): {fault: 1}})
    result = await CALLS[verb](channel, new_order())
    assert (result.state, result.reason) == (N.UNKNOWN, reason)


@pytest.mark.parametrize("fault", ["lost_answer", "timeout", "bad_signature"])
async def test_what_was_done_before_the_answer_was_lost_is_done(
    world: Any, channel: Channel, channel_of: Any, new_order: MakeOrder, fault: str
) -> None:
    """The same request again finds the order; no second one is made."""
    order = new_order()
    for budget_s in (0.15, 1.5, 15) if fault == "timeout" else (60,):
        hasty = await channel_of(world.url, budget_s=budget_s)
        await world.faults(next={"prepay": {fault: 1}})
        assert (await hasty.prepay(order)).state is N.UNKNOWN
        if (await channel.query(order.request_no)).state is not N.NOT_FOUND:
            break  # else it hung up before it was read
    await world.faults()
    assert (await channel.query(order.request_no)).state is N.AWAITING_PAYER
    assert (await channel.prepay(order)).state is N.AWAITING_PAYER


async def test_an_error_before_doing_it_does_nothing(
    world: Any, channel: Channel, new_order: MakeOrder
) -> None:
    """Seen from outside it looks the same as an error after."""
    order = new_order()
    await world.faults(next={"prepay": {"error": 1}})
    assert (await channel.prepay(order)).state is N.UNKNOWN
    assert (await channel.query(order.request_no)).state is N.NOT_FOUND


@pytest.mark.parametrize("verb", Verb)
async def test_a_channel_that_is_down_is_unknown(
    channel_of: Any, new_order: MakeOrder, verb: Verb
) -> None:
    """Connection refused says nothing about an earlier try."""
    channel = await channel_of("http://127.0.0.1:9")
    result = await CALLS[verb](channel, new_order())
    assert result.state is N.UNKNOWN
    assert result.reason.startswith("CONNECTION_")


async def test_a_slow_channel_is_cut_off_at_the_budget(
    world: Any, channel: Channel, channel_of: Any, new_order: MakeOrder
) -> None:
    """A close with its query gets one budget, not two: each by itself would be in time."""
    order = new_order()
    hasty = await channel_of(world.url, budget_s=0.3)
    prepaid = await channel.prepay(order)
    await world.pay(prepaid.channel_credential["prepay_id"])
    await world.faults(**{"*": {"latency_ms": 200}})
    result = await hasty.close(order.request_no)
    assert (result.state, result.reason) == (N.UNKNOWN, "TIMEOUT")


async def test_a_key_that_the_channel_does_not_know_is_unknown(
    world: Any, keys: Any, channel_of: Any, new_order: MakeOrder
) -> None:
    """Ours at the channel, or the channel's here: both are our fault, not a payment's failure."""
    other_private, other_public = generate_key_pair()
    stranger = Verifier({serial_of(other_public): other_public})
    channel = await channel_of(world.url, verifier=stranger)
    assert (await channel.prepay(new_order())).reason == "ANSWER_ForgedSignature"
    channel = await channel_of(world.url)
    channel._signer = Signer(other_private)
    result = await channel.prepay(new_order())
    assert (result.state, result.reason) == (N.UNKNOWN, "SIGN_ERROR")


@pytest.fixture
async def impostor(keys: Any) -> AsyncIterator[Any]:
    """A server with the channel's key that answers whatever it is told to."""

    class Impostor:
        url = ""
        raw = b""
        headers: dict[str, str] = {}
        status = 200

        async def handle(self, request: web.Request) -> web.Response:
            signed = keys.channel_signer.sign_message(
                timestamp=int(time.time()), nonce="0" * 16, body=self.raw
            )
            return web.Response(
                body=self.raw, status=self.status, headers={**signed, **self.headers}
            )

    impostor = Impostor()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", impostor.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    impostor.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield impostor
    await runner.cleanup()


PAID = {
    "out_trade_no": "order01",
    "trade_state": "SUCCESS",
    "amount": 5,
    "currency": "CNY",
    "transaction_id": "42",
    "success_time": "2026-11-22T10:00:00.000Z",
}


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({**PAID, "out_trade_no": "order02"}, 200, "OTHER_NUMBER"),
        ({**PAID, "trade_state": "REVOKED"}, 200, "STATE_REVOKED"),
        ({**PAID, "amount": None}, 200, "SUCCESS_INCOMPLETE"),
        ({**PAID, "transaction_id": None}, 200, "SUCCESS_INCOMPLETE"),
        (b"not json", 200, "ANSWER_NOT_JSON"),
        (b"[]", 200, "ANSWER_NOT_JSON"),
        (b" " * 70_000, 200, "ANSWER_TOO_LARGE"),
        (PAID, 204, "HTTP_204"),
        (PAID, 302, "HTTP_302"),
        ({"code": "SOMETHING_NEW"}, 403, "SOMETHING_NEW"),
        ({"code": 7}, 400, "REFUSED"),
        ({"code": "FREQUENCY_LIMITED"}, 429, "FREQUENCY_LIMITED"),
    ],
)
async def test_an_odd_answer_is_unknown(
    impostor: Any, channel_of: Any, body: Any, status: int, reason: str
) -> None:
    """Signed, but about another order, not whole, not known, or not what we asked for."""
    impostor.raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    impostor.status = status
    channel = await channel_of(impostor.url)
    result = await channel.query("order01")
    assert (result.state, result.reason) == (N.UNKNOWN, reason)


async def test_calls_at_once_do_not_mix_up_their_answers(
    world: Any, channel: Channel, new_order: MakeOrder
) -> None:
    """A hundred prepays over shared connections, each with its own credential."""
    orders = [new_order() for _ in range(100)]
    prepaid = await asyncio.gather(*(channel.prepay(order) for order in orders))
    rows = {row["out_trade_no"]: row for row in (await world.book())["orders"]}
    for order, result in zip(orders, prepaid, strict=True):
        assert result.channel_credential["prepay_id"] == rows[order.request_no]["prepay_id"]


OUTGOING = {"PROCESSING": N.PROCESSING, "SUCCESS": N.SUCCEEDED, "FAILED": N.FAILED}
STATES_OF_VERB: dict[Verb, dict[str, ReportedState]] = {
    Verb.QUERY: {"NOTPAY": N.AWAITING_PAYER, "SUCCESS": N.SUCCEEDED, "CLOSED": N.CLOSED},
    Verb.CLOSE: {"NOTPAY": N.UNKNOWN, "SUCCESS": N.SUCCEEDED, "CLOSED": N.CLOSED},
    Verb.REFUND: OUTGOING,
    Verb.QUERY_REFUND: OUTGOING,
    Verb.PAYOUT: {**OUTGOING, "BOUNCED": N.BOUNCED},
    Verb.QUERY_PAYOUT: {**OUTGOING, "BOUNCED": N.BOUNCED},
}
STATES_OF_SHAPE = {
    COLLECT_SHAPE: domain.OrderState,
    REFUND_SHAPE: domain.RefundState,
    PAYOUT_SHAPE: domain.PayoutState,
}


@pytest.mark.parametrize("verb", STATES_OF_VERB)
def test_each_native_state_means_one_thing_for_each_verb(verb: Verb) -> None:
    """Every state that the channel has, and some that it has not: those are UNKNOWN."""
    native = STATES_OF_SHAPE[SHAPES[verb]]
    assert set(STATES_OF_VERB[verb]) == {state.value for state in native}
    strange = dict.fromkeys(["", "success", "REVOKED", "BOUNCED", None], N.UNKNOWN)
    for state, outcome in {**strange, **STATES_OF_VERB[verb]}.items():
        body = {
            SHAPES[verb].number: "number1",
            SHAPES[verb].state: state,
            SHAPES[verb].txn_id: "42",
            "amount": 5,
            "currency": "CNY",
        }
        result = read_answer(verb, body, {SHAPES[verb].number: "number1"})
        assert result.state is outcome, state


def test_a_state_of_the_wrong_type_is_unknown() -> None:
    """Numbers and lists are not states."""
    for state in (7, ["SUCCESS"], {"SUCCESS": 1}, True):
        body = {**PAID, "trade_state": state}
        assert read_answer(Verb.QUERY, body, {"out_trade_no": "order01"}).state is N.UNKNOWN


def test_every_verb_has_its_tables() -> None:
    """A new verb cannot be forgotten."""
    assert REFUSALS.keys() == set(Verb)
    assert NATIVE_STATES.keys() == SHAPES.keys() == set(Verb) - {Verb.PREPAY}


DEFINITE = {
    Verb.PREPAY: {"INVALID_REQUEST"},
    Verb.QUERY: set(),
    Verb.CLOSE: set(),
    Verb.REFUND: {
        "INVALID_REQUEST",
        "ORDER_NOT_EXIST",
        "ORDER_NOT_PAID",
        "REFUND_EXCEEDS",
        "REFUND_LIMIT",
    },
    Verb.QUERY_REFUND: set(),
    Verb.PAYOUT: {"INVALID_REQUEST"},
    Verb.QUERY_PAYOUT: set(),
}


@pytest.mark.parametrize("verb", Verb)
def test_only_a_definite_refusal_is_failed(verb: Verb) -> None:
    """Every code in any table, and strangers, against every verb."""
    codes = {code for table in REFUSALS.values() for code in table} | {"SIGN_ERROR", "NEW", ""}
    failed = {code for code in codes if refusal(verb, code).state is N.FAILED}
    assert failed == DEFINITE[verb]


@pytest.mark.parametrize("verb", Verb)
def test_only_what_sends_our_money_can_wait_for_it(verb: Verb) -> None:
    """NOT_ENOUGH is no failure: nothing was kept, and there may be money tomorrow."""
    waits = refusal(verb, "NOT_ENOUGH").state is N.WAITING_FUNDS
    assert waits == (verb in {Verb.REFUND, Verb.PAYOUT})


def test_every_event_says_what_its_state_says() -> None:
    """The channel's events, each to a kind and an outcome."""
    assert {name: (event.kind, event.outcome) for name, event in EVENTS.items()} == {
        "TRANSACTION.SUCCESS": (CallbackKind.COLLECT, N.SUCCEEDED),
        "REFUND.SUCCESS": (CallbackKind.REFUND, N.SUCCEEDED),
        "REFUND.FAILED": (CallbackKind.REFUND, N.FAILED),
        "PAYOUT.SUCCESS": (CallbackKind.PAYOUT, N.SUCCEEDED),
        "PAYOUT.FAILED": (CallbackKind.PAYOUT, N.FAILED),
        "PAYOUT.BOUNCED": (CallbackKind.PAYOUT, N.BOUNCED),
    }
