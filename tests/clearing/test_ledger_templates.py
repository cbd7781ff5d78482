"""Templates, fees and the chart: what is proven on load, and what is booked."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clearing_svc.ledger import amounts
from clearing_svc.ledger.amounts import NotLinear
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.facts import EVENTS, FEE, BusinessEvent, NotBookable
from paymesh.money import Money
from tests.clearing.ledger_world import CONFIG, hold_id
from tests.clearing.templates_world import HERE, configured, event


@pytest.mark.parametrize(
    ("text", "coefficients"),
    [
        ("amount", {"amount": 1}),
        ("amount - fee", {"amount": 1, "fee": -1}),
        ("-fee + 2 * (amount - 3 * fee)", {"amount": 2, "fee": -7}),
    ],
)
def test_an_amount_is_a_linear_expression(text: str, coefficients: dict[str, int]) -> None:
    assert amounts.parse(text) == coefficients


@pytest.mark.parametrize(
    "text",
    [
        "", "amount *", "amount * fee", "amount * 2", "amount + 1", "7", "amount / 2",
        "0.5 * amount",
        "True * amount", "amount - amount", "0 * amount", "f(amount)", "a.b", "'amount'",
        "1001 * amount", "amount if fee else amount", "(" * 300 + "a" + ")" * 300, "a\x00",
    ],
)  # fmt: skip
def test_what_is_not_linear_or_cancels_out_is_refused(text: str) -> None:
    with pytest.raises(NotLinear):
        amounts.parse(text)


@given(st.text(max_size=40))
def test_no_text_crashes_the_parser(text: str) -> None:
    with suppress(NotLinear):
        amounts.parse(text)


LINEARS = st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9).filter(bool))


@given(
    st.lists(LINEARS), st.lists(LINEARS), st.fixed_dictionaries(dict.fromkeys("abc", st.integers()))
)
def test_sums_that_are_proven_equal_are_equal_for_all_amounts(
    left: list[dict[str, int]], right: list[dict[str, int]], facts: dict[str, int]
) -> None:
    values = [sum(amounts.value(part, facts) for part in parts) for parts in (left, right)]
    if amounts.same(left, right):
        assert values[0] == values[1]
    assert amounts.same(left + right, right + left)


SHIPPED = [
    (shape["event"], shape.get("kind", ""), shape.get("product", ""))
    for shape in yaml.safe_load((HERE / "templates.yaml").read_text())
    if not shape.get("nothing")
]


@pytest.mark.parametrize("template", SHIPPED, ids=" ".join)
@given(minor=st.integers(1, 2**63 - 1), other=st.integers(1, 2**63 - 1))
def test_every_shipped_template_balances_whatever_the_amounts(
    template: tuple[str, str, str], minor: int, other: int
) -> None:
    type_, kind, product = template
    given_ = {name: Money("KWD", minor) for name in EVENTS[type_].amounts - {FEE}}
    if "observed_amount" in given_:
        given_["observed_amount"] = Money("KWD", other)
    happened = event(type_, kind=kind, product=product, amounts=given_)
    for draft in CONFIG.templates.drafts(happened):
        sums = {Side.DEBIT: draft.draw.amount.minor if draft.draw else 0, Side.CREDIT: 0}
        for line in draft.lines:
            sums[line.side] += line.amount.minor
            assert line.amount.minor > 0
        assert sums[Side.DEBIT] == sums[Side.CREDIT] > 0


def test_a_paid_trade_is_attributed_and_its_fee_is_taken() -> None:
    attribution, fee = CONFIG.templates.drafts(event("trade.trade.paid", 10_000))
    assert (attribution.event_type, fee.event_type) == (
        "trade.trade.paid/attribution",
        "trade.trade.paid/fee",
    )
    assert [(x.subject, x.side, x.amount.minor) for x in attribution.lines] == [
        ("PAYER_TRANSIT", Side.DEBIT, 10_000),
        ("MERCHANT_PENDING", Side.CREDIT, 10_000),
    ]
    assert [(x.subject, x.side, x.amount.minor) for x in fee.lines] == [
        ("MERCHANT_PENDING", Side.DEBIT, 60),
        ("FEE_INCOME", Side.CREDIT, 60),
    ]


@pytest.mark.parametrize(("minor", "fee"), [(83, 0), (84, 1), (250, 2), (10_000, 60)])
def test_the_fee_is_rounded_half_up_and_a_fee_of_zero_is_not_booked(minor: int, fee: int) -> None:
    drafts = CONFIG.templates.drafts(event("trade.trade.paid", minor))
    booked = [line.amount.minor for draft in drafts[1:] for line in draft.lines]
    assert booked == ([fee, fee] if fee else [])


def test_what_moved_in_another_currency_is_held_in_that_currency() -> None:
    moved = {"amount": Money("CNY", 100), "observed_amount": Money("USD", 7)}
    [draft] = CONFIG.templates.drafts(event("pay.instruction.suspended", amounts=moved))
    assert {line.amount for line in draft.lines} == {Money("USD", 7)}


@pytest.mark.parametrize(
    "bad",
    [
        event("trade.trade.paid", product="ESCROW"),
        event("pay.instruction.succeeded", kind="HOLD"),
        event("pay.instruction.succeeded", kind="CHANNEL_REFUND", product="PURCHASE"),
        event("pay.instruction.succeeded", kind="TRANSFER", product="TOP_UP"),
        event("pay.instruction.bounced", kind="CHANNEL_COLLECT"),
        event("pay.instruction.succeeded", 0),
        event("pay.instruction.succeeded", -5),
    ],
)
def test_an_event_without_template_or_with_nothing_to_book_is_not_bookable(
    bad: BusinessEvent,
) -> None:
    with pytest.raises(NotBookable):
        CONFIG.templates.drafts(bad)


def without(fact: str) -> dict[str, str]:
    """The names of a payout's event, all but one."""
    return {**event("pay.instruction.succeeded").names, fact: ""}


PAYOUT = {"kind": "CHANNEL_PAYOUT", "product": "WITHDRAWAL"}


@pytest.mark.parametrize(
    "changes",
    [
        {"names": without("hold_id")},
        {"names": {**without(""), "hold_id": "hld_of-another-shape"}},
        {"hold_sources": ()},
        {"names": without("channel_account")},
        {"names": without("payment_id")},
    ],
)
def test_an_event_that_lacks_what_its_journal_needs_is_not_bookable(
    changes: dict[str, object],
) -> None:
    """No hold, nowhere to look for it, no owner, no reference."""
    assert CONFIG.templates.drafts(event("pay.instruction.succeeded", **PAYOUT))
    with pytest.raises(NotBookable):
        CONFIG.templates.drafts(event("pay.instruction.succeeded", **{**PAYOUT, **changes}))


def test_a_name_that_no_entry_needs_may_be_missing_and_makes_no_difference() -> None:
    """So a fact that events get one day does not make those of before other ones."""
    known = event("pay.instruction.succeeded", **PAYOUT)
    less = event("pay.instruction.succeeded", **PAYOUT, names=without("payer_id"))
    other = event("pay.instruction.succeeded", **PAYOUT, names={**known.names, "payment_id": "x"})
    drawn = {**known.names, "hold_id": hold_id("another")}
    drawn_otherwise = event("pay.instruction.succeeded", **PAYOUT, names=drawn)
    owners = [
        CONFIG.templates.drafts(e)[0].guard.owner for e in (known, less, other, drawn_otherwise)
    ]
    assert owners[0] == owners[1]
    assert len(set(owners)) == 3


def test_an_event_that_is_declared_to_move_nothing_gives_no_journal() -> None:
    assert CONFIG.templates.drafts(event("trade.trade.paid", product="WITHDRAWAL")) == ()


def test_a_changed_fee_does_not_make_an_event_another_one(tmp_path: Path) -> None:
    """The digest is of the event's own facts: what was booked is found again under a new rate."""
    changed = configured(tmp_path, fees='INSTANT: "0.01"')
    before = CONFIG.templates.drafts(event("trade.trade.paid"))
    after = changed.templates.drafts(event("trade.trade.paid"))
    assert before != after
    assert [d.guard.owner for d in before] == [d.guard.owner for d in after]
    other = changed.templates.drafts(event("trade.trade.paid", 9_999))
    assert other[0].guard.owner != before[0].guard.owner
