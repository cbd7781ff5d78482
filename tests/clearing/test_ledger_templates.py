"""Templates, fees and the chart: what is proven on load, and what is booked."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from payments.pay.v1 import payment_pb2
from payments.type.v1 import instruction_pb2

from clearing_svc.ledger import amounts, loading
from clearing_svc.ledger.amounts import NotLinear
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.facts import EVENTS, FEE, OWNERS, BusinessEvent, NotBookable
from paymesh.money import Money
from tests.clearing.ledger_world import AT, CONFIG, hold_id, sources
from trade_svc.kinds import TRADE_KINDS

HERE = Path(loading.__file__).parent


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


def event(type_: str, minor: int = 10_000, **changes: object) -> BusinessEvent:
    names = {name: f"sandbox:{name}" for name in EVENTS[type_].names}
    names |= {"platform": "platform", "hold_id": hold_id("h")}
    values: dict[str, object] = {
        "type": type_,
        "kind": "CHANNEL_COLLECT" if type_.startswith("pay") else "",
        "product": "INSTANT" if type_.startswith("trade") else "",
        "business_key": "key_1",
        "occurred_at": AT,
        "amounts": {name: Money("CNY", minor) for name in EVENTS[type_].amounts - {FEE}},
        "names": names,
        "hold_sources": sources("USER_BALANCE:ann"),
    }
    return BusinessEvent(**{**values, **changes})  # type: ignore[arg-type]


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


def configured(folder: Path, **files: str) -> loading.LedgerConfig:
    """The shipped configuration with some files replaced."""
    for name in ("chart", "fees", "templates", "finance"):
        shutil.copy(HERE / f"{name}.yaml", folder)
    if "fee" not in files.get("templates", "fee"):
        files = {"fees": "{}", **files}  # a fee that nothing books is refused
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return loading.load(folder)


JOURNAL = """
- event: trade.trade.paid
  product: INSTANT
  journals: {j: [{debit: BANK, owner: platform, amount: DEBIT},
                 {credit: FEE_INCOME, owner: platform, amount: CREDIT}]}
"""


def test_a_template_of_ones_own_is_loaded(tmp_path: Path) -> None:
    text = JOURNAL.replace("DEBIT", "2 * amount - fee").replace("CREDIT", "amount + amount - fee")
    [draft] = configured(tmp_path, templates=text).templates.drafts(event("trade.trade.paid"))
    assert [line.amount.minor for line in draft.lines] == [19_940, 19_940]


GOOD = JOURNAL.replace("DEBIT", "amount").replace("CREDIT", "amount")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("debit: BANK", "debit: BANKS", "not in the chart"),
        ("credit: FEE_INCOME, owner: platform", "credit: FEE_INCOME, owner: boss", "no owner"),
        ("credit: FEE_INCOME, owner: platform", "credit: FEE_INCOME, owner: trade_id", "no owner"),
        (
            "credit: FEE_INCOME, owner: platform",
            "credit: FEE_INCOME, owner: merchant_id",
            "belongs",
        ),
        ("credit: FEE_INCOME", "credit: PAYER_TRANSIT", "needs a reference"),
        ("amount: amount}]", "amount: amount, reference: wish}]", "no fact"),
        ("amount: amount}]", "amount: tip}]", "no amounts"),
        ("amount: amount}]", "amount: amount - fee}]", "not always equal"),
        ("amount: amount}]", "amount: amount - amount}]", "cancels out"),
        ("amount: amount}]", "amount: amount, debit: BANK}]", "debit or a credit"),
        ("amount: amount}]", "amount: amount, color: red}]", "color"),
        ("amount: amount}]", "amount: 100}]", "amount"),
        ("trade.trade.paid", "trade.trade.closed", "no such event"),
        ("{j:", "{j: [], j:", "comes twice"),
        ("{j:", "{'j j':", "cannot name"),
        ("journals:", "kind: [", "kind"),
    ],
)
def test_a_wrong_template_stops_the_start(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in GOOD
    with pytest.raises(loading.ConfigInvalid, match=why):
        configured(tmp_path, templates=GOOD.replace(old, new))


FROM_HOLD = """
- event: pay.instruction.succeeded
  kind: CHANNEL_PAYOUT
  journals: {j: [{debit: HOLD, amount: amount}, {credit: BANK, owner: platform, amount: amount}]}
"""


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("debit: HOLD,", "debit: HOLD, owner: payer_id,", "neither owner nor reference"),
        ("debit: HOLD,", "debit: HOLD, reference: payment_id,", "neither owner nor reference"),
        ("credit: BANK, owner: platform", "credit: HOLD", "only debited"),
        (
            "pay.instruction.succeeded\n  kind: CHANNEL_PAYOUT",
            "trade.trade.paid\n  product: INSTANT",
            "no hold_id",
        ),
        ("amount: amount},", "amount: 2 * amount},", "not always equal"),
        ("amount: amount},", "amount: tip},", "no amounts"),
        (
            "{credit: BANK, owner: platform, amount: amount}",
            "{debit: HOLD, amount: amount}, {credit: BANK, owner: platform, amount: 2 * amount}",
            "HOLD comes twice",
        ),
        ("credit: BANK, owner: platform", "credit: BANK", "names no owner"),
        ("  journals:", "  nothing: true\n  journals:", "nothing: true"),
        ("  journals:", "  nothing: yes please\n  journals:", "nothing"),
    ],
)
def test_a_wrong_template_of_a_hold_or_of_nothing_stops_the_start(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    assert old in FROM_HOLD
    configured(tmp_path, templates=FROM_HOLD)
    with pytest.raises(loading.ConfigInvalid, match=why):
        configured(tmp_path, templates=FROM_HOLD.replace(old, new, 1))


def test_a_template_without_journals_must_say_that_it_means_it(tmp_path: Path) -> None:
    bare = "- {event: trade.trade.paid, product: INSTANT}"
    with pytest.raises(loading.ConfigInvalid, match="nothing: true"):
        configured(tmp_path, templates=bare)
    configured(tmp_path, templates=bare.replace("}", ", nothing: true}"))


def test_two_templates_for_one_event_are_refused(tmp_path: Path) -> None:
    with pytest.raises(loading.ConfigInvalid, match="two of it"):
        configured(tmp_path, templates=GOOD + GOOD)


def versioned(number: object, valid_from: str = "", *, names: str = "j") -> str:
    """A version of the good template, with these journals."""
    head = f"- event: trade.trade.paid\n  product: INSTANT\n  version: {number}\n"
    if valid_from:
        head += f"  valid_from: {valid_from}\n"
    entries = "[{debit: BANK, owner: platform, amount: amount}, "
    entries += "{credit: FEE_INCOME, owner: platform, amount: amount}]"
    return head + "  journals:\n" + "".join(f"    {name}: {entries}\n" for name in names.split())


MAY, JUNE = "2027-05-01T00:00:00Z", "2027-06-01T12:00:00.5Z"


@pytest.mark.parametrize(
    ("occurred_at", "version"),
    [
        ("2020-01-01T00:00:00+00:00", 1),
        ("2027-04-30T23:59:59.999999+00:00", 1),
        ("2027-05-01T00:00:00+00:00", 2),
        ("2027-06-01T12:00:00.499999+00:00", 2),
        ("2027-06-01T12:00:00.5+00:00", 3),
        ("2099-01-01T00:00:00+00:00", 3),
    ],
)
def test_an_event_is_booked_by_the_version_that_held_when_it_occurred(
    tmp_path: Path, occurred_at: str, version: int
) -> None:
    """Whatever the time is now, and in whatever order the file has them."""
    text = versioned(3, JUNE) + GOOD + versioned(2, MAY)
    templates = configured(tmp_path, templates=text).templates
    happened = event("trade.trade.paid", occurred_at=datetime.fromisoformat(occurred_at))
    [draft] = templates.drafts(happened)
    assert draft.template_version == version


def test_a_journal_is_the_same_one_in_every_version(tmp_path: Path) -> None:
    """Told anew with a later time, an event is known by its journals' names: not booked again."""
    text = GOOD + versioned(2, MAY, names="j more") + versioned(3, JUNE, names="more j and_more")
    templates = configured(tmp_path, templates=text).templates
    times = [AT, datetime(2027, 5, 2, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC)]
    found = [templates.drafts(event("trade.trade.paid", occurred_at=at)) for at in times]
    assert [len(drafts) for drafts in found] == [1, 2, 3]
    same = {d.guard for drafts in found for d in drafts if d.event_type == "trade.trade.paid/j"}
    assert len({(guard.key, guard.owner) for guard in same}) == 1


def test_without_versions_a_template_is_version_one() -> None:
    assert {d.template_version for d in CONFIG.templates.drafts(event("trade.trade.paid"))} == {1}


def test_a_version_may_say_that_nothing_is_booked_any_more(tmp_path: Path) -> None:
    nothing = "- {event: trade.trade.paid, product: INSTANT, nothing: true, version: 2, "
    text = GOOD + nothing + f"valid_from: {MAY}}}"
    templates = configured(tmp_path, templates=text).templates
    later = event("trade.trade.paid", occurred_at=datetime(2027, 5, 2, tzinfo=UTC))
    assert templates.drafts(later) == ()
    assert len(templates.drafts(event("trade.trade.paid"))) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (versioned(2, MAY), "the first is version 1"),
        (versioned(1, MAY), "the first is version 1"),
        (GOOD + versioned(3, MAY), "no version 2"),
        (GOOD + versioned(2, MAY) + versioned(2, JUNE), "version 2: there are two"),
        (GOOD + versioned(2), "needs a valid_from"),
        (GOOD + versioned(2, JUNE) + versioned(3, MAY), "later than version 2"),
        (GOOD + versioned(2, MAY) + versioned(3, MAY), "later than version 2"),
        (GOOD + versioned(2, MAY, names="i"), "keep the journals"),
        (GOOD + versioned(2, MAY, names="j i") + versioned(3, JUNE), "version 3: it must keep"),
        (GOOD + versioned(2, MAY).replace("amount: amount}]", "amount: 2 * amount}]"), "equal"),
        (GOOD + versioned(2, "2027-05-01T00:00:00"), "timezone"),
        (GOOD + versioned(2, "2027-05-01T00:00:00+02:00"), "in UTC"),
        (GOOD + versioned(2, "2027-05-01"), "valid_from"),
        (GOOD + versioned(2, "soon"), "valid_from"),
        (GOOD + versioned(2, "1"), "valid_from"),
        (GOOD + versioned(0, MAY), "version"),
        (GOOD + versioned("true", MAY), "version"),
        (GOOD + versioned("'2'", MAY), "version"),
        (GOOD + versioned("2.0", MAY), "version"),
    ],
)
def test_versions_that_do_not_follow_each_other_stop_the_start(
    tmp_path: Path, text: str, why: str
) -> None:
    """Gaps, doubles, no time, another order, times not in UTC, journals' names that are gone."""
    with pytest.raises(loading.ConfigInvalid, match=why):
        configured(tmp_path, templates=text)


def test_a_fee_in_a_template_without_a_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(loading.ConfigInvalid, match="no fee of INSTANT"):
        configured(tmp_path, fees='ESCROW: "0.01"')


@pytest.mark.parametrize(
    ("product", "said"),
    [
        ("INSTNAT", "the fee of INSTNAT: is INSTANT meant"),
        ("TOP_UP", "the fee of TOP_UP; there are INSTANT"),
    ],
)
def test_a_fee_that_no_template_books_is_refused(tmp_path: Path, product: str, said: str) -> None:
    """Nobody would ever take it."""
    with pytest.raises(loading.ConfigInvalid, match=said):
        configured(tmp_path, fees=f'INSTANT: "0.006"\n{product}: "0.01"')


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("product: INSTANT", "product: INSTNAT", "no product of this event: is INSTANT meant"),
        ("product: INSTANT", "product: REFUND", "no product of this event; there are INSTANT, TOP"),
        ("product: INSTANT", "kind: IN", "no kind of this event; there are none"),
        ("trade.trade.paid", "trade.trade.payd", "is trade.trade.paid meant"),
    ],
)
def test_a_template_for_what_never_comes_is_refused_with_the_nearest_name(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """It would be silent, and what it is meant for would be parked."""
    with pytest.raises(loading.ConfigInvalid, match=said):
        configured(tmp_path, templates=GOOD.replace(old, new))


def test_kinds_and_products_are_those_that_are_told() -> None:
    """A new form of payment, a new purpose or a new kind of step is noticed."""
    of = instruction_pb2.InstructionKind.DESCRIPTOR.values_by_name
    kinds = {name.removeprefix("INSTRUCTION_KIND_") for name in of}
    of = payment_pb2.PaymentPurpose.DESCRIPTOR.values_by_name
    purposes = {name.removeprefix("PAYMENT_PURPOSE_") for name in of}
    moved, paid = EVENTS["pay.instruction.succeeded"], EVENTS["trade.trade.paid"]
    assert moved.kinds == kinds - {"UNSPECIFIED", "HOLD", "RELEASE"}
    assert moved.products == purposes - {"UNSPECIFIED"} | {"RETURN"}
    assert paid.products == {kind.product_code for kind in TRADE_KINDS.values()}


@pytest.mark.parametrize("rate", ["0.006", '"1.5"', '"-0.1"', '"0.0000001"', '"1e-3"', '""'])
def test_a_rate_is_a_decimal_string_from_zero_to_one(tmp_path: Path, rate: str) -> None:
    with pytest.raises(loading.ConfigInvalid):
        configured(tmp_path, fees=f"INSTANT: {rate}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BANK:", "USER_BALANCE:"),
        ("class: revenue", "class: income"),
        ("owner: user", "owner: cat"),
        ("minimum: 0", "minimum: 0.5"),
        ("minimum: 0", "maximum: 0"),
        ('KWD: "300.000"', "KWD: 0.5"),
        ('KWD: "300.000"', 'KWD: "-1"'),
        ("minimum: 0", "minimum: 1"),
        ("BANK:", "HOLD:"),
        ("reference: true,", "reference: 1,"),
        ('for: "our accounts at banks"', 'for: ""'),
        ('for: "our accounts at banks"', 'why: "our accounts at banks"'),
    ],
)
def test_a_wrong_chart_stops_the_start(tmp_path: Path, old: str, new: str) -> None:
    text = (HERE / "chart.yaml").read_text()
    assert old in text
    with pytest.raises(loading.ConfigInvalid):
        configured(tmp_path, chart=text.replace(old, new, 1))


def test_assets_and_expenses_grow_by_debits_the_others_by_credits() -> None:
    debit = {s.name for s in CONFIG.chart.values() if s.normal_side is Side.DEBIT}
    of_channels = {"CHANNEL_RECEIVABLE", "CHANNEL_FUNDS", "CHANNEL_COST", "DISPUTED"}
    assert debit == {*of_channels, "BANK", "DISPUTE_COST", "MERCHANT_RECEIVABLE"}


def test_every_owner_fact_is_one_that_some_event_has() -> None:
    known = {name for facts in EVENTS.values() for name in facts.names}
    assert OWNERS.keys() <= known
