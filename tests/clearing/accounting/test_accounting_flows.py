"""Every flow of money with what can happen to it: worked through, and come out as told."""

from __future__ import annotations

from collections import defaultdict

import pytest
import yaml

from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.drafts import Line
from clearing_svc.ledger.holds import HoldState, HoldView
from clearing_svc.ledger.loading import HERE
from tests.clearing.accounting.document import COMMAND, FILE, document
from tests.clearing.accounting.flows import FLOWS
from tests.clearing.accounting.flows.books import Books, worked
from tests.clearing.accounting.flows.steps import Case, Happens
from tests.clearing.ledger_world import CONFIG

CASES = {f"{flow.name}: {case.name}": case for flow in FLOWS for case in flow.cases}
CASES |= {f"before: {c.after.name}": c.after for c in CASES.values()
          if c.after and c.after not in CASES.values()}  # fmt: skip


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    assert isinstance(request.param, Case)
    return request.param


@pytest.fixture
def books(case: Case) -> Books:
    """After the case. The rules have refused nothing, or this would have raised."""
    return worked(case, CONFIG)[0]


def signed(line: Line) -> int:
    """Debits positive, in minor units."""
    return line.amount.minor if line.side is Side.DEBIT else -line.amount.minor


def entries(books: Books) -> list[Line]:
    return [line for done in books.done for _, lines in done.journals for line in lines]


def test_a_case_closes_with_the_balances_that_were_worked_out_by_hand(
    case: Case, books: Books
) -> None:
    assert books.balances == case.closing


def test_every_journal_of_a_case_balances(books: Books) -> None:
    journals = [lines for done in books.done for _, lines in done.journals]
    assert journals
    assert [lines for lines in journals if sum(map(signed, lines)) or len(lines) < 2] == []


def test_a_balance_is_the_sum_of_its_entries_and_all_of_them_are_zero(books: Books) -> None:
    sums: dict[str, int] = defaultdict(int)
    for line in entries(books):
        sums[line.account_id] += signed(line)
    assert sum(sums.values()) == 0
    for account in books.accounts:
        side = 1 if account.normal_side is Side.DEBIT else -1
        assert account.balance.minor == side * sums[account.id]


def test_what_is_on_its_way_comes_out_even_per_reference(books: Books) -> None:
    """Transit, suspense and disputes: of each payment and each dispute, nothing is left over."""
    left: dict[tuple[str, str], int] = defaultdict(int)
    for line in entries(books):
        if CONFIG.chart[line.subject].needs_reference:
            assert line.reference
            left[line.account_id, line.reference] += signed(line)
    assert not any(left.values())


def test_no_limit_is_broken_and_no_hold_is_left(books: Books) -> None:
    for account in books.accounts:
        subject, minor = CONFIG.chart[account.subject], account.balance.minor
        assert (low := subject.minimum_in("EUR")) is None or minor >= low
        assert (high := subject.maximum_in("EUR")) is None or minor <= high
        assert account.held_minor == 0
    holds = [view.hold for view in books.states.values() if isinstance(view, HoldView)]
    assert [hold for hold in holds if hold is None or hold.state is HoldState.HELD] == []


def test_every_shipped_template_is_used_by_a_case() -> None:
    """So each booking is shown, and its balances are known."""
    steps = [step for case in CASES.values() for step in case.steps if isinstance(step, Happens)]
    used = {(s.type, kind, product) for s in steps
            for kind in (s.kind, "*") for product in (s.product, "*")}  # fmt: skip
    shipped = {
        (shape["event"], shape.get("kind", "*"), shape.get("product", "*"))
        for shape in yaml.safe_load((HERE / "templates.yaml").read_text())
    }
    assert shipped - used == set()


def test_the_page_on_accounting_is_what_the_templates_and_the_chart_say() -> None:
    assert FILE.read_text(encoding="utf-8") == document(CONFIG), f"run {COMMAND}"
