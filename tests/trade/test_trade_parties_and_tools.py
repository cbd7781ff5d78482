"""Who takes part in a trade of each type, and what pays it."""

from __future__ import annotations

from typing import Any

import pytest

from paymesh.errors import AmountMismatch, CurrencyMismatch, InvalidFields
from paymesh.money import Money
from paymesh.tools import Tool
from tests.trade.deal import BENEFICIARY, Deal, balance, channel
from trade_svc.trades.model import PaymentOutcome
from trade_svc.trades.refusals import ToolsNotOffered
from trade_svc.types.declaration import TradeState, TradeType

T, O = TradeState, PaymentOutcome  # noqa: E741
INSTANT, TOP_UP, TRANSFER, WITHDRAWAL = (
    TradeType.INSTANT, TradeType.TOP_UP, TradeType.TRANSFER, TradeType.WITHDRAWAL,
)  # fmt: skip


# Who takes part


REFUSED_PARTIES: list[tuple[str, TradeType, dict[str, str], list[str]]] = [
    ("a purchase has no payee", INSTANT, {"payee_id": "bob"}, ["payee_id"]),
    ("nor a beneficiary", INSTANT, {"beneficiary_id": BENEFICIARY}, ["beneficiary_id"]),
    ("a top-up has a payee", TOP_UP, {"payee_id": ""}, ["payee_id"]),
    ("and no beneficiary", TOP_UP, {"beneficiary_id": BENEFICIARY}, ["beneficiary_id"]),
    ("a transfer has a payer", TRANSFER, {"payer_id": ""}, ["payer_id"]),
    ("and a payee", TRANSFER, {"payee_id": ""}, ["payee_id"]),
    ("who is somebody else", TRANSFER, {"payee_id": "ann"}, ["payee_id"]),
    ("both", TRANSFER, {"payer_id": "", "payee_id": ""}, ["payer_id", "payee_id"]),
    ("a withdrawal has a payer", WITHDRAWAL, {"payer_id": ""}, ["payer_id"]),
    ("and a beneficiary", WITHDRAWAL, {"beneficiary_id": ""}, ["beneficiary_id"]),
    ("and no payee", WITHDRAWAL, {"payee_id": "bob"}, ["payee_id"]),
    (
        "all that is wrong is named",
        WITHDRAWAL,
        {"payer_id": "", "beneficiary_id": "", "payee_id": "bob"},
        ["payer_id", "beneficiary_id", "payee_id"],
    ),
]


@pytest.mark.parametrize(("type_", "changes", "fields"), [case[1:] for case in REFUSED_PARTIES],
                         ids=[case[0] for case in REFUSED_PARTIES])  # fmt: skip
def test_the_wrong_parties_are_named(
    type_: TradeType, changes: dict[str, str], fields: list[str]
) -> None:
    with pytest.raises(InvalidFields) as refused:
        Deal(type_, changes=changes)
    assert [violation.field for violation in refused.value.fields] == fields


@pytest.mark.parametrize(("type_", "changes"), [
    (INSTANT, {"payer_id": ""}), (INSTANT, {"payer_id": "ann"}),
    (TOP_UP, {"payer_id": "ann", "payee_id": "ann"}),
])  # fmt: skip
def test_a_payer_may_always_be_named(type_: TradeType, changes: dict[str, str]) -> None:
    """Who tops up may be the one whose balance it is."""
    assert Deal(type_, changes=changes).trade.state is T.PENDING


# What pays


@pytest.mark.parametrize("tools", [
    (channel(100_00),), (balance(100_00),), (channel(80_00), balance(20_00)),
    (balance(99_99), channel(1)),
])  # fmt: skip
def test_a_purchase_is_paid_by_a_channel_a_balance_or_both(tools: tuple[Tool, ...]) -> None:
    deal = Deal()
    asked = deal.asks(deal.pays(*tools))
    assert (asked.tools, asked.payer_id) == (tools, "" if tools == (channel(100_00),) else "ann")
    deal.hears(asked.payment_id, O.SUCCEEDED)
    assert deal.trade.state is T.PAID


REFUSED_TOOLS: list[tuple[str, TradeType, tuple[Tool, ...], Any]] = [
    ("a top-up by balance", TOP_UP, (balance(100_00),), ToolsNotOffered),
    ("a top-up by both", TOP_UP, (channel(50_00), balance(50_00)), ToolsNotOffered),
    ("a transfer by channel", TRANSFER, (channel(100_00),), ToolsNotOffered),
    ("a withdrawal by channel", WITHDRAWAL, (channel(100_00),), ToolsNotOffered),
    ("two channels", INSTANT, (channel(50_00), channel(50_00, name="other")), ToolsNotOffered),
    ("two balances", INSTANT, (balance(50_00), balance(50_00)), ToolsNotOffered),
    ("too little", INSTANT, (channel(99_99),), AmountMismatch),
    ("too much", INSTANT, (channel(80_00), balance(20_01)), AmountMismatch),
    ("far too much", INSTANT, (channel(2**63 - 1), balance(2**63 - 1)), AmountMismatch),
    ("another currency", INSTANT, (channel(100_00, currency="USD"),), CurrencyMismatch),
]


@pytest.mark.parametrize(("type_", "tools", "refusal"), [case[1:] for case in REFUSED_TOOLS],
                         ids=[case[0] for case in REFUSED_TOOLS])  # fmt: skip
def test_other_tools_are_refused(
    type_: TradeType, tools: tuple[Tool, ...], refusal: type[Exception]
) -> None:
    """The trade is as it was, and can be paid rightly."""
    deal = Deal(type_)
    with pytest.raises(refusal):
        deal.pays(*tools)
    assert (deal.trade.version, deal.attempts) == (1, [])
    deal.paid()


@pytest.mark.parametrize("tools", [(balance(100_00),), (channel(80_00), balance(20_00))])
def test_no_balance_pays_for_nobody(tools: tuple[Tool, ...]) -> None:
    """A purchase that does not name its payer takes a channel only."""
    deal = Deal(changes={"payer_id": ""})
    with pytest.raises(ToolsNotOffered) as refused:
        deal.pays(*tools)
    assert [violation.field for violation in refused.value.fields] == ["tools"]
    deal.paid(channel(100_00))


@pytest.mark.parametrize("minor", [1, 2**53 + 1, 10**16])
def test_amounts_stay_exact(minor: int) -> None:
    deal = Deal(minor=minor).paid(
        *([channel(1)] if minor == 1 else [channel(minor - 1), balance(1)])
    )
    assert deal.trade.amount == Money("EUR", minor)
