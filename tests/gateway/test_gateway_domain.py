"""Channel orders as plain functions: every move, and that any order of words ends in the truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_svc.orders.domain import owed, place_order, report, request_close
from gateway_svc.orders.model import (
    COLLECT_MOVES,
    ENDS,
    Callback,
    CallChannel,
    ChannelOrder,
    OrderKind,
    OrderState,
    OrderTiming,
    OrderView,
    PlaceOrder,
    ReferenceReused,
    Report,
    ReportedState,
    RequestClose,
)
from paymesh.context import Context
from paymesh.core import Event, View
from paymesh.errors import InvalidField, NotFound
from paymesh.money import Money
from tests.gateway.gateway_world import new_request_no

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
EXPIRES = AT + timedelta(minutes=30)
NO, ORIGINAL_NO = new_request_no(), new_request_no()
CONTEXT = Context(business_id="biz_1", merchant_id="mer_1", pay_org_no="2088")
AMOUNT = Money("CNY", 1234)
S = OrderState
TIMING = OrderTiming()
FAR = EXPIRES + timedelta(days=1)


def placing(kind: OrderKind = OrderKind.COLLECT, **changes: Any) -> PlaceOrder:
    values: dict[str, Any] = {
        "context": CONTEXT,
        "kind": kind,
        "channel": "sandbox",
        "request_no": NO,
        "amount": AMOUNT,
        "subject": "Tea",
        "expires_at": EXPIRES if kind is OrderKind.COLLECT else None,
        "reference": "pay_1",
        "original_request_no": ORIGINAL_NO if kind is OrderKind.REFUND else "",
        "sealed_payee": b"sealed" if kind is OrderKind.PAYOUT else b"",
        "payee_digest": "ab12" if kind is OrderKind.PAYOUT else "",
    }
    return PlaceOrder(**{**values, **changes})


def word(reported: ReportedState, **changes: Any) -> Report:
    """What an adapter makes of such an answer."""
    values: dict[str, Any] = {"context": CONTEXT, "request_no": NO, "reported": reported}
    if "callback" in changes:
        values["callback_kind"] = "COLLECT"
    if reported is ReportedState.SUCCEEDED:
        values |= {"moved": AMOUNT, "channel_txn_id": "42", "occurred_at": AT}
    return Report(**{**values, **changes})


def callback(channel: str = "sandbox", **changes: Any) -> Callback:
    values: dict[str, Any] = {
        "id": "cbk_1",
        "context": Context(business_id=""),
        "version": 1,
        "channel": channel,
        "callback_id": "evt_1",
        "request_no": NO,
        "reported": "SUCCEEDED",
        "body_sha256": "00",
        "matched": False,
        "received_at": AT,
    }
    return Callback(**{**values, **changes})


@dataclass
class Book:
    """One order with its memory; every move is checked for its event."""

    kind: OrderKind = OrderKind.COLLECT
    view: OrderView = field(default_factory=lambda: OrderView(None))
    events: list[Event] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tell(placing(self.kind))

    def tell(self, command: Any, at: datetime = AT) -> Any:
        """An answer that does not say when it was asked for was asked for just now."""
        if isinstance(command, Report) and command.callback is None and command.asked_in is None:
            command = replace(command, asked_in=self.order.state)
        rules: dict[type, Any] = {
            PlaceOrder: place_order,
            RequestClose: request_close,
            Report: report,
        }
        decision = rules[type(command)](self.view, command, at, View(), timing=TIMING)
        before = self.view.order
        self.view = decision.state
        self.events += decision.events
        self.records += decision.records
        version = self.view.order.version if self.view.order else 0
        assert len(decision.events) == version - (before.version if before else 0)
        assert [event.sequence for event in self.events] == list(range(1, self.order.version + 1))
        assert self.order.state in ENDS or self.order.next_action_at is not None
        return decision

    @property
    def order(self) -> ChannelOrder:
        assert self.view.order is not None
        return self.view.order

    def swept(self) -> Book:
        """As the sweeper leaves a due row: one rung further."""
        order = self.order
        if order.next_action_at is not None:
            order = replace(order, action_attempts=order.action_attempts + 1)
            self.view = OrderView(order)
        return self


STEPS: dict[OrderState, list[Any]] = {
    S.PENDING: [],
    S.AWAITING_PAYER: [word(ReportedState.AWAITING_PAYER, credential={"pay_url": "x"})],
    S.PROCESSING: [word(ReportedState.PROCESSING)],
    S.CLOSING: [RequestClose(NO)],
    S.SUCCEEDED: [word(ReportedState.SUCCEEDED)],
    S.FAILED: [word(ReportedState.FAILED, reason="NO")],
    S.CLOSED: [word(ReportedState.CLOSED)],
    S.BOUNCED: [
        word(ReportedState.SUCCEEDED),
        word(ReportedState.BOUNCED, reason="ACCOUNT_INVALID"),
    ],
}


def standing(state: OrderState, kind: OrderKind = OrderKind.COLLECT) -> Book:
    book = Book(kind)
    for step in STEPS[state]:
        book.tell(step)
    assert book.order.state is state
    return book


@pytest.mark.parametrize("state", list(COLLECT_MOVES))
@pytest.mark.parametrize("reported", list(ReportedState))
def test_a_collection_goes_only_where_its_moves_allow(state: S, reported: ReportedState) -> None:
    """Whatever the channel says, wherever the order stands."""
    book = standing(state)
    book.tell(word(reported))
    assert book.order.state is state or book.order.state in COLLECT_MOVES[state]
    assert (book.order.next_action_at is None) == (book.order.state in ENDS)


@pytest.mark.parametrize("state", [S.FAILED, S.CLOSED])
def test_a_collection_that_turns_out_paid_succeeds_late(state: S) -> None:
    book = standing(state)
    book.tell(word(ReportedState.SUCCEEDED))
    assert book.order.state is S.SUCCEEDED
    assert book.order.moved_amount == AMOUNT
    assert [e.state for e in book.events if e.published] == [state, S.SUCCEEDED]


@pytest.mark.parametrize("reported", [r for r in ReportedState if r is not ReportedState.SUCCEEDED])
def test_nothing_undoes_a_success(reported: ReportedState) -> None:
    book = standing(S.SUCCEEDED)
    book.tell(word(reported, reason="LATER"))
    assert book.order == standing(S.SUCCEEDED).order


@pytest.mark.parametrize("moved", [Money("CNY", 1), Money("CNY", 9999), Money("USD", 1234)])
def test_another_amount_or_currency_is_kept_as_the_channel_says(moved: Money) -> None:
    """Money is a fact; the payment core judges."""
    book = standing(S.AWAITING_PAYER)
    book.tell(word(ReportedState.SUCCEEDED, moved=moved))
    assert (book.order.state, book.order.moved_amount) == (S.SUCCEEDED, moved)


@pytest.mark.parametrize("state", [S.PENDING, S.AWAITING_PAYER, S.PROCESSING, S.CLOSING])
def test_silence_is_never_a_failure(state: S) -> None:
    """A timeout leaves the order as it stands, and somebody looks again."""
    book = standing(state)
    before = book.order
    book.tell(word(ReportedState.UNKNOWN, reason="TIMEOUT"), FAR)
    assert book.order == before


@pytest.mark.parametrize("state", [S.PENDING, S.AWAITING_PAYER, S.PROCESSING, S.CLOSING])
def test_not_found_is_inconclusive_until_the_margin_after_the_expiry(state: S) -> None:
    book = standing(state)
    limit = EXPIRES + TIMING.unseen_margin
    book.tell(word(ReportedState.NOT_FOUND), limit)
    assert book.order.state is state
    book.tell(word(ReportedState.NOT_FOUND), limit + timedelta(seconds=1))
    assert book.order.state is S.CLOSED


def test_a_success_before_the_answer_to_the_prepay_is_not_overtaken_by_it() -> None:
    book = Book()
    book.tell(word(ReportedState.SUCCEEDED))
    book.tell(word(ReportedState.AWAITING_PAYER, credential={"pay_url": "x"}))
    assert (book.order.state, book.order.version) == (S.SUCCEEDED, 2)


def test_a_close_request_moves_only_what_is_under_way() -> None:
    """An end is answered as it stands; so are refunds and payouts, which cannot be closed."""
    for state in (S.PENDING, S.AWAITING_PAYER):
        book = standing(state)
        book.tell(RequestClose(NO))
        assert book.order.state is S.CLOSING
    for state in ENDS & COLLECT_MOVES.keys():
        book = standing(state)
        book.tell(RequestClose(NO))
        assert book.order.state is state
    for kind in (OrderKind.REFUND, OrderKind.PAYOUT):
        book = standing(S.PENDING, kind)
        book.tell(RequestClose(NO))
        assert book.order.state is S.PENDING
    with pytest.raises(NotFound):
        request_close(OrderView(None), RequestClose(NO), AT, View(), timing=TIMING)


def test_the_same_number_is_the_same_order_and_another_order_is_refused() -> None:
    book = Book()
    book.tell(placing())
    for other in (
        placing(amount=Money("CNY", 1)),
        placing(amount=Money("USD", 1234)),
        placing(channel="wechat"),
        placing(OrderKind.REFUND),
        placing(OrderKind.PAYOUT),
    ):
        with pytest.raises(ReferenceReused):
            book.tell(other)
    assert book.order.version == 1


@pytest.mark.parametrize(
    "expires_at", [AT, AT - timedelta(days=1), datetime(9999, 12, 31, tzinfo=UTC)]
)
def test_a_collection_expires_in_the_future_that_people_live_in(expires_at: datetime) -> None:
    with pytest.raises(InvalidField):
        place_order(OrderView(None), placing(expires_at=expires_at), AT, View(), timing=TIMING)


def test_a_callback_without_an_order_is_kept_and_nothing_else() -> None:
    decision = report(
        OrderView(None),
        word(ReportedState.SUCCEEDED, callback=callback()),
        AT,
        View(),
        timing=TIMING,
    )
    assert (decision.state, decision.events) == (OrderView(None), ())
    [fact] = decision.records
    assert fact.matched is False


def test_a_callback_of_another_channel_is_kept_and_not_believed() -> None:
    book = standing(S.AWAITING_PAYER)
    book.tell(word(ReportedState.SUCCEEDED, callback=callback("wechat")))
    assert book.order.state is S.AWAITING_PAYER
    assert [fact.matched for fact in book.records] == [False]


@pytest.mark.parametrize("kind", ["REFUND", "PAYOUT"])
def test_a_callback_that_speaks_of_something_else_is_kept_and_not_believed(kind: str) -> None:
    """The number is our collection's, but it is not a collection that is spoken of."""
    book = standing(S.AWAITING_PAYER)
    book.tell(word(ReportedState.SUCCEEDED, callback=callback(), callback_kind=kind))
    assert book.order.state is S.AWAITING_PAYER
    assert [fact.matched for fact in book.records] == [False]


def test_a_matched_callback_carries_its_orders_context() -> None:
    book = standing(S.AWAITING_PAYER)
    later = AT + timedelta(seconds=1)
    book.tell(word(ReportedState.SUCCEEDED, callback=callback()), later)
    [fact] = book.records
    assert (fact.matched, fact.context, fact.received_at) == (True, CONTEXT, later)


def test_what_is_owed_follows_from_the_state() -> None:
    """New and closing orders are told at once; those that wait only when their rung has come."""
    for state in (S.PENDING, S.CLOSING):
        assert owed(standing(state).view, AT) == [
            CallChannel(CONTEXT, f"chn_{NO}", state, asked=False)
        ]
    for state in (S.AWAITING_PAYER, S.PROCESSING):
        assert owed(standing(state).view, AT) == []
        assert owed(standing(state).swept().view, AT) == [
            CallChannel(CONTEXT, f"chn_{NO}", state, asked=True)
        ]
    for state in ENDS & COLLECT_MOVES.keys():
        assert owed(standing(state).swept().view, FAR) == []
    assert owed(OrderView(None), AT) == []


class Truth:
    """A channel's own story of one collection: what it may have said at each moment."""

    def __init__(self, end: str) -> None:
        waiting = [ReportedState.NOT_FOUND, ReportedState.AWAITING_PAYER]
        self.words = {
            "paid": [*waiting, ReportedState.SUCCEEDED],
            "closed": [*waiting, ReportedState.CLOSED],
            "refused": [ReportedState.NOT_FOUND, ReportedState.FAILED],
            "paid late": [*waiting, ReportedState.CLOSED, ReportedState.SUCCEEDED],
        }[end]
        self.last = self.words[-1]


@settings(deadline=None)  # of time a busy machine takes what it wants
@given(
    end=st.sampled_from(["paid", "closed", "refused", "paid late"]),
    close_at=st.none() | st.integers(0, 12),
    data=st.data(),
)
def test_any_order_of_any_words_ends_in_the_channels_truth(
    end: str, close_at: int | None, data: st.DataObject
) -> None:
    """Lost, late, repeated and shuffled; at last the ladder asks, or a late callback comes."""
    truth, book = Truth(end), Book()
    heard = data.draw(
        st.lists(st.sampled_from([*truth.words, ReportedState.UNKNOWN]), max_size=12), label="heard"
    )
    for index, reported in enumerate(heard):
        if index == close_at:
            book.tell(RequestClose(NO))
        book.tell(word(reported))
    for _ in range(3):
        if owed(book.swept().view, FAR):
            book.tell(word(truth.last), FAR)
    if end == "paid late":  # known by its callback alone if the order had ended before
        book.tell(word(truth.last), FAR)
    assert book.order.state == truth.last.value
    assert not owed(book.swept().view, FAR)
    assert (book.order.moved_amount == AMOUNT) == (truth.last is ReportedState.SUCCEEDED)
    results = [event for event in book.events if event.type == "gateway.channel.result"]
    assert [e.state for e in results] == [e.state for e in book.events if e.state in ENDS]
    assert all(event.published for event in results)
