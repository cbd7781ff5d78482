"""Products that are booked at once: PAID only when the ledger has it, and told only then."""

from __future__ import annotations

import pytest
from payments.trade.v1 import trade_events_pb2, trade_pb2
from pydantic import ValidationError

from clearing_svc.ledger.accounts import AccountNotOpen
from paymesh.errors import InvalidField, PaymentError, Unavailable
from paymesh.failpoint import arm
from tests.trade.actors import Books, PaymentCore, succeeds
from tests.trade.trade_world import Database, Shop, T, by_balance, until
from trade_svc.settings import TradeSettings
from trade_svc.types.declaration import TradeType

TRANSFER = {"type": trade_pb2.TRADE_TYPE_TRANSFER, "payer_id": "ann", "payee_id": "bob"}
A = trade_pb2.AttemptState


async def test_the_ledger_is_asked_before_it_is_said_to_be_paid(
    shop: Shop, payments: PaymentCore, books: Books
) -> None:
    """It is asked what everybody hears a moment later."""
    payments.decides = succeeds
    trade = await shop.orders(**TRANSFER)
    answer = await shop.pays(trade, by_balance(100_00))
    assert answer.trade.state == T.TRADE_STATE_PAID
    [asked] = books.asked
    assert asked.event_type == "trade.trade.paid"
    assert asked.occurred_time == answer.trade.pay_time
    assert trade_events_pb2.TradePaid.FromString(asked.payload) == await books.hears(trade)


async def test_other_products_are_booked_from_the_event(
    shop: Shop, payments: PaymentCore, books: Books
) -> None:
    payments.decides = succeeds
    trade = await shop.orders()
    assert (await shop.pays(trade, by_balance(100_00))).trade.state == T.TRADE_STATE_PAID
    await books.hears(trade)
    assert books.asked == []


@pytest.mark.parametrize(
    "error", [Unavailable("away"), InvalidField("payload", "of another version")], ids=str
)
async def test_while_the_ledger_does_not_book_it_waits_and_is_asked_the_same_again(
    error: PaymentError, shop: Shop, payments: PaymentCore, books: Books
) -> None:
    """Nobody hears of it meanwhile, and nobody can close it. Unknown is not refused."""
    payments.decides, books.refuses = succeeds, error
    trade = await shop.orders(**TRANSFER)
    answer = await shop.pays(trade, by_balance(100_00))
    assert answer.trade.state == T.TRADE_STATE_BOOKING
    assert answer.trade.paid_payment_id == answer.payment_id

    async def asked_thrice() -> bool:
        return len(books.asked) >= 3

    await until(asked_thrice)
    assert books.paid == []
    books.refuses = None
    assert (await shop.reaches(trade, "PAID")).pay_time == answer.trade.pay_time
    await books.hears(trade)
    assert all(request == books.asked[0] for request in books.asked)


async def test_what_an_account_does_not_take_goes_back_to_the_payer(
    shop: Shop, payments: PaymentCore, books: Books
) -> None:
    payments.decides, books.refuses = succeeds, AccountNotOpen("bob's account is closed")
    trade = await shop.orders(**TRANSFER)
    answer = await shop.pays(trade, by_balance(100_00))
    assert answer.trade.state == T.TRADE_STATE_PENDING
    [attempt] = answer.trade.attempts
    assert attempt.state == A.ATTEMPT_STATE_RETURNING
    assert attempt.failure_reason == "ACCOUNT_NOT_OPEN"

    async def asked_back() -> bool:
        return answer.payment_id in payments.cancelled

    await until(asked_back)
    await payments.tells(answer.payment_id, "RETURNED")
    books.refuses = None
    again = await shop.pays(trade, by_balance(100_00))
    assert again.trade.state == T.TRADE_STATE_PAID
    assert again.trade.paid_payment_id == again.payment_id
    assert [request.request_id for request in books.asked].count(books.asked[0].request_id) == 1


@pytest.mark.parametrize("point", ["effect.before_call", "effect.after_call"])
async def test_a_fault_around_the_call_is_made_good(
    point: str, shop: Shop, payments: PaymentCore, books: Books, database: Database
) -> None:
    """Passage 1 asks the payment core, passage 2 the ledger."""
    payments.decides = succeeds
    trade = await shop.orders(**TRANSFER)
    arm(f"{point}:2:error")
    try:
        await shop.pays(trade, by_balance(100_00))
    finally:
        arm("")
    await shop.reaches(trade, "PAID")
    await books.hears(trade)
    assert len(books.asked) == (1 if point == "effect.before_call" else 2)
    events = "SELECT state FROM outbox WHERE aggregate_id = %s ORDER BY sequence"
    states = [state for (state,) in database.query(events, trade.trade_id)]
    assert states == ["PENDING", "PAYING", "BOOKING", "PAID"]


# Which products


@pytest.mark.parametrize(
    ("value", "types"),
    [
        ("", []),
        ("TOP_UP", [TradeType.TOP_UP]),
        ("TRANSFER, TOP_UP,INSTANT", [TradeType.TRANSFER, TradeType.TOP_UP, TradeType.INSTANT]),
    ],
)
def test_the_environment_names_them(
    value: str, types: list[TradeType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMESH_BOOKED_BEFORE_PAID", value)
    assert TradeSettings().booked_before_paid == set(types)


def test_by_default_it_is_what_goes_from_balance_to_balance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PAYMESH_BOOKED_BEFORE_PAID", raising=False)
    assert TradeSettings().booked_before_paid == {TradeType.TRANSFER}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("WITHDRAWAL", "WITHDRAWAL cannot be booked before it is paid; INSTANT, TOP_UP, TRANSFER"),
        ("TRANSFERS", "TRANSFERS|Input should be"),
        ("ESCROW", "ESCROW cannot be"),
    ],
)
def test_what_cannot_be_stops_the_start(
    value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMESH_BOOKED_BEFORE_PAID", value)
    with pytest.raises(ValidationError, match=says):
        TradeSettings()
