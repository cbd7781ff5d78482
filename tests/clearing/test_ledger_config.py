"""The ledger's configuration: what is wrong with it stops the start, with a sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from payments.pay.v1 import payment_pb2
from payments.type.v1 import instruction_pb2

from clearing_svc.ledger import loading
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.facts import EVENTS, OWNERS
from tests.clearing.ledger_world import AT, CONFIG
from tests.clearing.templates_world import HERE, configured, event
from trade_svc.types import TRADE_TYPES

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
    assert paid.products == {kind.product_code for kind in TRADE_TYPES.values()}


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
