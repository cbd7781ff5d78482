"""Refunds and payouts as plain functions: every move, what is doubted, what decides nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_svc.orders.domain import owed
from gateway_svc.orders.model import (
    ENDS,
    OUTGOING_MOVES,
    CallChannel,
    OrderKind,
    OrderState,
    ReferenceReused,
    ReportedState,
)
from paymesh.money import Money
from tests.gateway.test_gateway_domain import (
    AMOUNT,
    AT,
    CONTEXT,
    FAR,
    NO,
    Book,
    callback,
    placing,
    standing,
    word,
)

S = OrderState
R = ReportedState
outgoing = pytest.mark.parametrize("kind", [OrderKind.REFUND, OrderKind.PAYOUT])
LATER = AT + timedelta(hours=3)
BACK = "ACCOUNT_INVALID"

_RESULTS = {R.SUCCEEDED: S.SUCCEEDED, R.FAILED: S.FAILED, R.BOUNCED: S.BOUNCED, R.CLOSED: S.CLOSED}
LEADS: dict[OrderState, dict[ReportedState, OrderState]] = {
    S.PENDING: {**_RESULTS, R.PROCESSING: S.PROCESSING},
    S.PROCESSING: _RESULTS,
    S.SUCCEEDED: {R.FAILED: S.BOUNCED, R.BOUNCED: S.BOUNCED},
    S.FAILED: {},
    S.CLOSED: {},
    S.BOUNCED: {},
}
"""Where an answer to a question about the state leads; what is not here leads nowhere."""


def called(reported: ReportedState, kind: OrderKind, **changes: Any) -> Any:
    """What the channel says by itself."""
    return word(reported, callback=callback(), callback_kind=kind.value, **changes)


@outgoing
@pytest.mark.parametrize("state", list(LEADS))
@pytest.mark.parametrize("reported", list(R))
def test_each_word_leads_where_the_table_says(kind: OrderKind, state: S, reported: R) -> None:
    """Every kind, every state, every word; whatever is not an end has its next action."""
    book = standing(state, kind)
    book.tell(word(reported), FAR)
    assert book.order.state is LEADS[state].get(reported, state)
    assert (book.order.next_action_at is None) == (book.order.state in ENDS)


def test_the_table_of_moves_is_what_words_lead_to() -> None:
    """What bounced had succeeded: told of both at once, an order makes both moves."""
    for state, leads in LEADS.items():
        steps = set(leads.values())
        if S.SUCCEEDED in steps:
            steps -= {S.BOUNCED}
        assert steps == set(OUTGOING_MOVES[state])
    assert OUTGOING_MOVES.keys() == LEADS.keys()


@outgoing
@pytest.mark.parametrize("reported", [R.WAITING_FUNDS, R.UNKNOWN, R.NOT_FOUND, R.AWAITING_PAYER])
@pytest.mark.parametrize("state", [S.PENDING, S.PROCESSING])
def test_what_decides_nothing_changes_nothing_for_ever(
    kind: OrderKind, state: S, reported: R
) -> None:
    """Short of funds, silence, a number that is not known: asked again, never closed."""
    book = standing(state, kind)
    before = book.order
    book.tell(word(reported, reason="WHY"), FAR)
    assert book.order == before
    assert owed(book.swept().view, FAR) == [CallChannel(CONTEXT, f"chn_{NO}", state, asked=True)]


@outgoing
@pytest.mark.parametrize("reported", [R.FAILED, R.BOUNCED])
def test_a_bounce_keeps_what_had_moved_and_says_why(kind: OrderKind, reported: R) -> None:
    """Published once more; amount and time are those of the success."""
    book = standing(S.SUCCEEDED, kind)
    book.tell(word(reported, reason=BACK, occurred_at=LATER), LATER)
    order = book.order
    assert (order.state, order.failure_reason) == (S.BOUNCED, BACK)
    assert (order.moved_amount, order.succeeded_at, order.channel_txn_id) == (AMOUNT, AT, "42")
    published = [event for event in book.events if event.published]
    assert [(e.type, e.state) for e in published] == [
        ("gateway.channel.result", "SUCCEEDED"),
        ("gateway.channel.result", "BOUNCED"),
    ]


@outgoing
@pytest.mark.parametrize("reported", [R.FAILED, R.BOUNCED])
def test_a_callback_after_the_success_is_doubted_until_the_channel_is_asked(
    kind: OrderKind, reported: R
) -> None:
    """Asked at once; only its answer moves the order."""
    book = standing(S.SUCCEEDED, kind)
    book.tell(called(reported, kind, reason=BACK))
    assert (book.order.state, book.order.version) == (S.SUCCEEDED, 2)
    assert owed(book.view, AT) == [CallChannel(CONTEXT, f"chn_{NO}", S.SUCCEEDED, asked=False)]
    book.tell(word(reported, reason=BACK))
    assert book.order.state is S.BOUNCED
    assert owed(book.view, FAR) == []


@outgoing
def test_the_channels_answer_may_also_be_that_nothing_came_back(kind: OrderKind) -> None:
    book = standing(S.SUCCEEDED, kind)
    book.tell(called(R.BOUNCED, kind))
    book.tell(word(R.SUCCEEDED))
    assert book.order == standing(S.SUCCEEDED, kind).order


@outgoing
@pytest.mark.parametrize("reported", [R.PROCESSING, R.NOT_FOUND, R.UNKNOWN])
def test_an_answer_that_is_no_end_leaves_the_doubt(kind: OrderKind, reported: R) -> None:
    """The order stays as it is, and is asked about again."""
    book = standing(S.SUCCEEDED, kind)
    book.tell(called(R.BOUNCED, kind))
    before = book.order
    book.tell(word(reported))
    assert book.order == before
    assert owed(book.view, FAR)


@outgoing
def test_an_answer_that_was_overtaken_neither_makes_a_bounce_nor_ends_a_doubt(
    kind: OrderKind,
) -> None:
    """It was asked for before the success: what it says of the time after is nothing."""
    book = standing(S.SUCCEEDED, kind)
    book.tell(word(R.FAILED, asked_in=S.PENDING))
    assert book.order.state is S.SUCCEEDED
    assert owed(book.view, AT)
    for late in (word(R.SUCCEEDED, asked_in=S.PROCESSING), called(R.SUCCEEDED, kind)):
        book.tell(late)
        assert owed(book.view, AT)


@outgoing
@pytest.mark.parametrize("state", [S.PENDING, S.PROCESSING])
@pytest.mark.parametrize("moved", [Money("CNY", 1235), Money("USD", 1234)])
def test_a_success_of_another_amount_is_asked_for_and_then_told_as_it_is(
    kind: OrderKind, state: S, moved: Money
) -> None:
    """A callback alone may lie; the channel's answer is a fact, which others judge."""
    book = standing(state, kind)
    book.tell(called(R.SUCCEEDED, kind, moved=moved))
    assert book.order.state is state
    assert owed(book.view, AT)
    book.tell(word(R.SUCCEEDED, moved=moved))
    assert (book.order.state, book.order.moved_amount) == (S.SUCCEEDED, moved)


@pytest.mark.parametrize("reported", [R.SUCCEEDED, R.FAILED, R.BOUNCED])
def test_a_callback_of_a_collection_says_nothing_of_a_payout(reported: R) -> None:
    """The number is our payout's, but it is not a payout that is spoken of."""
    book = standing(S.PROCESSING, OrderKind.PAYOUT)
    book.tell(called(reported, OrderKind.COLLECT))
    assert book.order.state is S.PROCESSING
    assert [fact.matched for fact in book.records] == [False]


def test_the_same_payout_again_is_the_same_and_another_payee_is_another() -> None:
    """The payee is compared by its digest: two seals of one payee differ."""
    book = Book(OrderKind.PAYOUT)
    book.tell(placing(OrderKind.PAYOUT, sealed_payee=b"sealed anew"))
    assert book.order.sealed_payee == b"sealed"
    for other in ({"payee_digest": "cd34"}, {"amount": Money("CNY", 1)}, {"channel": "bank"}):
        with pytest.raises(ReferenceReused):
            book.tell(placing(OrderKind.PAYOUT, **other))
    with pytest.raises(ReferenceReused):
        book.tell(placing(OrderKind.REFUND))
    assert book.order.version == 1


def test_neither_seal_nor_digest_is_printed_with_an_order() -> None:
    text = repr(placing(OrderKind.PAYOUT)) + repr(Book(OrderKind.PAYOUT).order)
    assert "sealed" not in text
    assert "ab12" not in text


class Story:
    """A channel's own story of one refund or payout, told by callbacks and in answers.

    Callbacks come in any order and more than once; an answer says what was true when it was asked
    for, and may be overtaken by anything.
    """

    def __init__(self, kind: OrderKind, end: str) -> None:
        back = R.BOUNCED if kind is OrderKind.PAYOUT else R.FAILED
        self.kind, self.book, self.at = kind, Book(kind), 0
        self.words = {
            "paid": [R.NOT_FOUND, R.PROCESSING, R.SUCCEEDED],
            "declined": [R.NOT_FOUND, R.PROCESSING, R.FAILED],
            "came back": [R.NOT_FOUND, R.PROCESSING, R.SUCCEEDED, back],
        }[end]
        self.answers: list[Any] = []

    def advance(self) -> None:
        self.at = min(self.at + 1, len(self.words) - 1)

    def call_back(self, index: int) -> None:
        reported = self.words[min(index, self.at)]
        if reported in {R.SUCCEEDED, R.FAILED, R.BOUNCED}:
            self.book.tell(called(reported, self.kind))

    def ask(self) -> None:
        """The question is put now; its answer is under way."""
        if owed(self.book.swept().view, FAR):
            answer = word(self.words[self.at], asked_in=self.book.order.state)
            self.answers.append(answer)

    def answer(self, index: int) -> None:
        if self.answers:
            self.book.tell(self.answers.pop(index % len(self.answers)))


@settings(deadline=None)  # of time a busy machine takes what it wants
@given(
    kind=st.sampled_from([OrderKind.REFUND, OrderKind.PAYOUT]),
    end=st.sampled_from(["paid", "declined", "came back"]),
    steps=st.lists(
        st.tuples(st.sampled_from(["advance", "call_back", "ask", "answer"]), st.integers(0, 3)),
        max_size=25,
    ),
)
def test_any_order_of_any_words_ends_in_the_channels_truth(
    kind: OrderKind, end: str, steps: list[tuple[str, int]]
) -> None:
    """The last callback comes at last, as channels repeat it; then the ladder asks."""
    story = Story(kind, end)
    for step, index in steps:
        if step in {"advance", "ask"}:
            getattr(story, step)()
        else:
            getattr(story, step)(index)
    story.at = len(story.words) - 1
    story.call_back(story.at)
    while story.answers:
        story.answer(0)
    for _ in range(3):
        story.ask()
        story.answer(0)
    book = story.book
    told = [event.state for event in book.events if event.published]
    # A refund that fails after its success looks like a decline to who missed the success.
    unheard = ["FAILED"] if kind is OrderKind.REFUND else ["SUCCEEDED", "BOUNCED"]
    assert (
        told
        in {
            "paid": (["SUCCEEDED"],),
            "declined": (["FAILED"],),
            "came back": (["SUCCEEDED", "BOUNCED"], unheard),
        }[end]
    )
    assert book.order.state.value == told[-1]
    assert not owed(book.swept().view, FAR)
