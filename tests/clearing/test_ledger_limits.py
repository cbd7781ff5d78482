"""Limits of the chart: one number for all currencies, or amounts by currency."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clearing_svc.ledger.chart import Subject
from clearing_svc.ledger.loading import HERE, ConfigInvalid, load_chart
from tests.clearing.ledger_world import CONFIG, Book, place


def chart_with(tmp_path: Path, **changes: object) -> Subject:
    """MERCHANT_RECEIVABLE of the shipped chart with other limits."""
    chart = yaml.safe_load((HERE / "chart.yaml").read_text())
    chart["MERCHANT_RECEIVABLE"] |= changes
    path = tmp_path / "chart.yaml"
    path.write_text(yaml.safe_dump(chart))
    return load_chart(path)["MERCHANT_RECEIVABLE"]


def test_amounts_are_units_of_their_currency_and_zero_in_others(tmp_path: Path) -> None:
    subject = chart_with(tmp_path, maximum={"EUR": "1000.00", "JPY": "150000", "KWD": "1.5"})
    limits = [subject.maximum_in(currency) for currency in ("EUR", "JPY", "KWD", "USD")]
    assert limits == [100_000, 150_000, 1_500, 0]
    overdraft = chart_with(tmp_path, minimum={"EUR": "-20"})
    assert [overdraft.minimum_in("EUR"), overdraft.minimum_in("USD")] == [-2_000, 0]


def test_a_number_is_minor_units_of_any_currency(tmp_path: Path) -> None:
    subject = chart_with(tmp_path, maximum=100_000)
    assert [subject.maximum_in(currency) for currency in ("EUR", "KWD")] == [100_000, 100_000]
    assert chart_with(tmp_path, maximum=None).maximum_in("EUR") is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"maximum": {"EURO": "1"}}, "EURO is not a currency of ISO 4217: is EUR meant?"),
        ({"maximum": {"JPY": "1.5"}}, "1.5 JPY is no whole number of its minor units"),
        ({"maximum": {"EUR": "-1"}}, "an account opens at zero"),
        ({"minimum": {"EUR": "1"}}, "an account opens at zero"),
        ({"maximum": {"EUR": 1000}}, "string"),
        ({"maximum": {"EUR": "much"}}, "pattern"),
    ],
)
def test_a_limit_that_means_nothing_stops_the_start(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        chart_with(tmp_path, **changes)


def test_a_large_purchase_can_be_refunded_in_each_currency() -> None:
    """What a merchant may come to owe us is as much in dinars as in yen."""
    subject = CONFIG.chart["MERCHANT_RECEIVABLE"]
    for currency in ("EUR", "JPY", "KWD"):
        most = subject.maximum_in(currency)
        assert most
        book = Book()
        book.do(place("h", most, "MERCHANT_RECEIVABLE:mer_1", cur=currency))
        [account] = book.accounts
        assert (account.held_minor, account.maximum_minor) == (most, most)
