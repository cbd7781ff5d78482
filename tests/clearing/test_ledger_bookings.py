"""What each event is booked as, from the message to the entries: row by row of the table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from payments.trade.v1 import trade_events_pb2
from payments.type.v1 import event_pb2

from clearing_svc import consumers
from clearing_svc.ledger.facts import NotBookable
from clearing_svc.ledger.loading import HERE
from tests.clearing.ledger_messages import held, instruction, money, paid
from tests.clearing.ledger_world import (
    CHANNEL,
    CONFIG,
    PAYEE,
    Book,
    earned,
    hold_id,
    place,
    signed_sum,
)

BALANCE = "USER_BALANCE:ann"
ANN = {"payer_id": "ann"}
WITHDRAWAL: dict[str, Any] = {"kind": "CHANNEL_PAYOUT", "purpose": "WITHDRAWAL", **ANN}
REFUND: dict[str, Any] = {"purpose": "REFUND", "original": "pay_0", **ANN}
RETURN: dict[str, Any] = {"compensates": "ins_0"}

HOLD = ("DEBIT", "USER_BALANCE", "ann", hold_id("h"))
PAYEE_HOLD = ("DEBIT", "MERCHANT_PENDING", "mer_1", hold_id("r"))
IN_TRANSIT = ("PAYER_TRANSIT", "platform", "pay_1")
SUSPENSE = ("SUSPENSE", "platform", "pay_1")
RECEIVABLE = ("CHANNEL_RECEIVABLE", CHANNEL)
PAYOUT_TRANSIT = ("PAYOUT_TRANSIT", CHANNEL, "pay_1")
TO_ANN = ("CREDIT", "USER_BALANCE", "ann", "pay_1")

ROWS: list[tuple[event_pb2.Event, str, tuple[tuple[str, ...], tuple[str, ...]]]] = [
    (
        instruction("succeeded", 100),
        "collect",
        (("DEBIT", *RECEIVABLE, "pay_1"), ("CREDIT", *IN_TRANSIT)),
    ),
    (
        instruction("succeeded", 100, kind="CHANNEL_REFUND", **RETURN),
        "refund",
        (("DEBIT", *IN_TRANSIT), ("CREDIT", *RECEIVABLE, "pay_1")),
    ),
    (
        instruction("succeeded", 100, kind="CHANNEL_REFUND", **REFUND, **held("r", *PAYEE)),
        "refund",
        (PAYEE_HOLD, ("CREDIT", *RECEIVABLE, "pay_0")),
    ),
    (
        instruction("succeeded", 100, kind="TRANSFER", **ANN, **held("h", BALANCE)),
        "transfer",
        (HOLD, ("CREDIT", *IN_TRANSIT)),
    ),
    (
        instruction(
            "succeeded", 100, kind="TRANSFER", purpose="TRANSFER", **ANN, **held("h", BALANCE)
        ),
        "transfer",
        (HOLD, ("CREDIT", *IN_TRANSIT)),
    ),
    (
        instruction("succeeded", 100, kind="TRANSFER", **REFUND, **held("r", *PAYEE)),
        "transfer",
        (PAYEE_HOLD, TO_ANN),
    ),
    (
        instruction("succeeded", 100, kind="TRANSFER", **ANN, **RETURN, **held("h", BALANCE)),
        "transfer",
        (("DEBIT", *IN_TRANSIT), TO_ANN),
    ),
    (
        instruction("succeeded", 100, **WITHDRAWAL, **held("h", BALANCE)),
        "payout",
        (HOLD, ("CREDIT", *PAYOUT_TRANSIT)),
    ),
    (
        instruction("suspended", 900, observed=money(100)),
        "suspense",
        (("DEBIT", *RECEIVABLE, "pay_1"), ("CREDIT", *SUSPENSE)),
    ),
    (
        instruction(
            "suspended", 900, kind="CHANNEL_REFUND", observed=money(100), **REFUND,
            **held("r", *PAYEE),
        ),
        "suspense",
        (("DEBIT", *SUSPENSE), ("CREDIT", *RECEIVABLE, "pay_0")),
    ),
    (
        instruction("suspended", 900, observed=money(100), **WITHDRAWAL, **held("h", BALANCE)),
        "suspense",
        (("DEBIT", *SUSPENSE), ("CREDIT", *PAYOUT_TRANSIT)),
    ),
    (
        instruction("bounced", 100, **WITHDRAWAL, **held("h", BALANCE)),
        "bounce",
        (("DEBIT", *PAYOUT_TRANSIT), TO_ANN),
    ),
    (
        instruction("bounced", 100, kind="CHANNEL_REFUND", **REFUND, **held("r", *PAYEE)),
        "bounce",
        (("DEBIT", *RECEIVABLE, "pay_0"), ("CREDIT", "MERCHANT_PENDING", "mer_1", "pay_1")),
    ),
    (
        instruction("bounced", 100, kind="CHANNEL_REFUND", **RETURN),
        "bounce",
        (("DEBIT", *RECEIVABLE, "pay_1"), ("CREDIT", *SUSPENSE)),
    ),
    (
        paid(100, product="TOP_UP", payee_id="ann"),
        "attribution",
        (("DEBIT", *IN_TRANSIT), ("CREDIT", "USER_BALANCE", "ann", "trd_1")),
    ),
    (
        paid(100, product="TRANSFER", payee_id="bob"),
        "attribution",
        (("DEBIT", *IN_TRANSIT), ("CREDIT", "USER_BALANCE", "bob", "trd_1")),
    ),
]  # fmt: skip


def booked(event: event_pb2.Event) -> Any:
    """The event as the consumer understands it, as journals."""
    is_trade = event.type.startswith("trade")
    facts = (consumers.trade_paid if is_trade else consumers.instruction_moved)(event)
    return CONFIG.templates.drafts(facts)


@pytest.fixture
def books(book: Book) -> Book:
    """ann and the merchant have 500 each; 100 of each is held."""
    book.post(earned(500))
    book.do(place("h", 100, BALANCE))
    book.do(place("r", 100, *PAYEE))
    return book


@pytest.mark.parametrize(("event", "name", "entries"), ROWS)
def test_an_event_is_booked_as_the_table_says(
    books: Book,
    event: event_pb2.Event,
    name: str,
    entries: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    """Two entries of what moved; and all accounts still sum to zero."""
    [(journal, booked_entries)] = books.post(*booked(event)).answer.journals
    assert journal.event_type == f"{event.type}/{name}"
    assert {e.amount.minor for e in booked_entries} == {100}
    found = tuple((e.side.value, e.subject, e.owner, e.reference) for e in booked_entries)
    assert found == entries
    sums = [signed_sum({a.subject: a.balance.minor}) for a in books.accounts]
    assert sum(sums) == 0


def test_the_table_has_every_template_that_is_shipped() -> None:
    """Beside the attribution and the fee of an instant trade, what books nothing, and clearing's
    own events, which nobody sends yet."""
    shipped = yaml.safe_load((HERE / "templates.yaml").read_text())
    names = sorted(
        f"{shape['event']}/{name}"
        for shape in shipped
        for name in shape.get("journals", {})
        if shape.get("product") != "INSTANT" and not shape["event"].startswith("clearing.")
    )
    assert names == sorted(f"{event.type}/{name}" for event, name, _ in ROWS)


@pytest.mark.parametrize(
    ("event", "missing"),
    [
        (instruction("bounced", 5, kind="CHANNEL_PAYOUT", purpose="WITHDRAWAL"), "payer_id"),
        (
            instruction(
                "succeeded", 5, kind="TRANSFER", purpose="REFUND", original="pay_0",
                **held("r", *PAYEE),
            ),
            "payer_id",
        ),
        (
            instruction(
                "succeeded", 5, kind="CHANNEL_REFUND", purpose="REFUND", **held("r", *PAYEE)
            ),
            "origin_payment_id",
        ),
        (instruction("succeeded", 5, **WITHDRAWAL), "hold_id"),
        (instruction("succeeded", 5, channel=""), "channel_account"),
        (instruction("succeeded", 5, kind="TRANSFER"), "hold_id"),
        (paid(5, product="TOP_UP"), "payee_id"),
    ],
)  # fmt: skip
def test_an_event_without_a_name_that_is_needed_is_never_booked_on_nobody(
    event: event_pb2.Event, missing: str
) -> None:
    with pytest.raises(NotBookable, match=missing):
        booked(event)


def test_an_event_keeps_the_time_at_which_it_occurred() -> None:
    """Not the time at which it is heard: so it is booked by the same version whenever it comes."""
    event = instruction("succeeded", 5)
    event.occurred_time.FromJsonString("2027-05-01T00:00:00.000001Z")
    understood = consumers.instruction_moved(event)
    assert understood.occurred_at == datetime(2027, 5, 1, microsecond=1, tzinfo=UTC)


def test_a_trade_is_booked_as_of_the_time_at_which_it_was_paid() -> None:
    """It may have been told later, if it was booked before: that is one journal by one version."""
    event = paid(5)
    told = trade_events_pb2.TradePaid.FromString(event.payload)
    told.pay_time.FromJsonString("2027-05-01T00:00:00.000001Z")
    event.payload = told.SerializeToString()
    event.occurred_time.FromJsonString("2027-05-01T00:00:05Z")
    understood = consumers.trade_paid(event)
    assert understood.occurred_at == datetime(2027, 5, 1, microsecond=1, tzinfo=UTC)
