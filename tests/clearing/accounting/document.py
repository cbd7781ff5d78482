"""Writes docs/ACCOUNTING.md: the chart of accounts, and every flow of money as T-accounts.

`python -m tests.clearing.accounting.document` prints it, `--write` writes it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from clearing_svc.ledger.accounts import Account
from clearing_svc.ledger.chart import ByCurrency, Side
from clearing_svc.ledger.drafts import Line
from clearing_svc.ledger.loading import HERE, LedgerConfig, load, load_purposes
from paymesh.money import Money
from tests.clearing.accounting.flows import FLOWS
from tests.clearing.accounting.flows.books import Books, Done, net_debits, worked
from tests.clearing.accounting.flows.steps import Case, Flow, Happens, Hold, euros

FILE = Path(__file__).parents[3] / "docs" / "ACCOUNTING.md"
COMMAND = "python -m tests.clearing.accounting.document --write"

HEAD = f"""\
# Accounting

<!-- Generated: do not edit. {COMMAND} -->

What is booked, in double entry: the chart of accounts, and each flow of money with what can happen
to it. Templates give the journals (`clearing_svc/ledger/templates.yaml`), the chart beside them the
accounts; the examples are in `tests/clearing/accounting/flows/`, and the tests work each of them
through. `{COMMAND}` makes this page of them.

## When it is booked

- **At once: holds.** Before money leaves, it is held by a call to the ledger, and leaves only when
  it is held. So nobody spends it twice, and its booking is never refused.
- **From events: journals.** Each follows from one event, once, in whatever order events come. While
  the ledger is away the books are late; payments are not, unless they need a hold.

- **At once, too: what a paid trade books, of products that want it.**
  `PAYMESH_BOOKED_BEFORE_PAID` of the trade core names them, of INSTANT, TOP_UP and TRANSFER;
  unless told otherwise it is TRANSFER.
  Such a trade is BOOKING until the ledger has booked `trade.trade.paid`, and only then PAID: so who
  is told finds it in the balances. Where an account does not take it, closed or frozen, the money
  goes back to the payer. While the ledger is away such payments are late, too.

"""

AFTER_WHEN = """
Templates have versions. An event is booked by the version that held when it occurred, however late
and however often it is heard.
"""

CHART = """
## Chart of accounts

Assets and expenses grow by debits, liabilities and revenue by credits. Limits are in minor units of
any currency, unless they name some. Where a reference is needed, each entry says what it is for,
and per reference the account comes out even.

A journal has one currency, and its debits are its credits. Only an exchange has several: it is even
in each of them, and takes each through `EXCHANGE_POSITION`. So no currency ever pays for another.

"""

READING = """
## Flows

Amounts are euros. In a T-account debits stand on the left and credits on the right, beside the
number of their step; `·` is what was there before, below the line is the balance. What is taken
from a hold is debited to its accounts in their order. The accounts are those of one channel, one
merchant, and the users ann and bob.

Nobody sends `clearing.…` events yet: settlement windows, statements, disputes and decisions on
suspense are booked as shown once somebody does.

"""


def document(config: LedgerConfig) -> str:
    """The whole page. Raises what a case raises that cannot be booked."""
    return "".join(
        [
            HEAD,
            *_when(config),
            AFTER_WHEN,
            CHART,
            *_chart(config),
            READING,
            *map(_contents, FLOWS),
            *(part for flow in FLOWS for part in _flow(flow, config)),
        ]
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(cells)} |\n"


def _when(config: LedgerConfig) -> Iterator[str]:
    """Of each flow as it usually goes: what is held, and which events are booked."""
    rows = []
    for flow in FLOWS:
        books, before = worked(flow.cases[0], config)
        steps = books.done[before:]
        holds = [
            name for done in steps if isinstance(done.step, Hold) for name in done.step.accounts
        ]
        held = ", then ".join(f"`{name.partition(' ')[0]}`" for name in holds)
        types = [f"`{d.step.type}`" for d in steps if isinstance(d.step, Happens) and d.journals]
        rows.append([flow.name, held or "nothing", ", ".join(dict.fromkeys(types))])
    return _table(["", "held at once", "booked from events"], rows)


def _chart(config: LedgerConfig) -> Iterator[str]:
    purposes = load_purposes(HERE / "chart.yaml")
    columns = ["account", "class", "grows by", "owner", "minimum", "maximum", "reference", "for"]
    rows = [
        [
            f"`{subject.name}`",
            subject.subject_class,
            subject.normal_side.lower(),
            subject.owner,
            _limit(subject.minimum_minor, subject.minima),
            _limit(subject.maximum_minor, subject.maxima),
            "needed" if subject.needs_reference else "",
            purposes[subject.name],
        ]
        for subject in config.chart.values()
    ]
    yield from _table(columns, rows)


def _limit(minor: int | None, named: ByCurrency) -> str:
    if named:
        return "<br>".join([*(str(Money(*each)) for each in named), "else 0"])
    return "" if minor is None else f"{minor:,}"


def _contents(flow: Flow) -> str:
    links = ", ".join(f"[{case.name}](#{_anchor(_title(flow, case))})" for case in flow.cases)
    never = f" {flow.never}" if flow.never else ""
    return f"- **{flow.name}**: {links}.{never}\n"


def _title(flow: Flow, case: Case) -> str:
    return f"{flow.name}: {case.name}"


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def _flow(flow: Flow, config: LedgerConfig) -> Iterator[str]:
    for case in flow.cases:
        books, before = worked(case, config)
        steps = books.done[before:]
        yield f"\n### {_title(flow, case)}\n\n{case.story}\n"
        yield f"*Before it: {case.after.story}*\n\n" if case.after else "\n"
        columns = ["", "what happens", "journal", "debit", "credit"]
        yield from _table(columns, _rows(steps, books))
        yield f"\n```text\n{_t_accounts(books, before)}\n```\n"


def _rows(steps: Sequence[Done], books: Books) -> Iterator[list[str]]:
    for number, done in enumerate(steps, start=1):
        words = _words(done)
        if not done.journals:
            yield [str(number), words, "", "", ""]
        for index, (name, lines) in enumerate(done.journals):
            start = ["", ""] if index else [str(number), words]
            debits, credits = (
                "<br>".join(
                    f"`{books.name(x)}` {euros(x.amount.minor)}" for x in lines if x.side is side
                )
                for side in (Side.DEBIT, Side.CREDIT)
            )
            yield [*start, f"`{name}`", debits, credits]


def _words(done: Done) -> str:
    step = done.step
    if isinstance(step, Hold):
        names = ", then ".join(f"`{name}`" for name in step.accounts)
        return f"{euros(step.minor)} are **held** on {names}"
    if isinstance(step, Happens):
        return step.words if done.journals else f"{step.words}; nothing is booked"
    return "what is left of the hold is **released**"


Column = list[tuple[str, int]]
"""Steps' numbers and amounts, in minor units."""


def _t_accounts(books: Books, before: int) -> str:
    """The accounts that moved, three side by side; and below, the others that are not at zero."""
    old, new = _lines(books.done[:before]), _lines(books.done[before:])
    moved = {line.account_id for _, line in new}
    pictures = [
        _t_account(
            books.name(account),
            [line for _, line in old if line.account_id == account.id],
            [(number, line) for number, line in new if line.account_id == account.id],
            account,
        )
        for account in books.accounts
        if account.id in moved
    ]
    text = "\n\n".join(_beside(pictures[at : at + 3]) for at in range(0, len(pictures), 3))
    rest = [a for a in books.accounts if a.id not in moved and a.balance.minor]
    if rest:
        names = ", ".join(f"{books.name(a)} {euros(a.balance.minor)}" for a in rest)
        text += f"\n\nas before: {names}"
    return text


def _lines(steps: Sequence[Done]) -> list[tuple[str, Line]]:
    """All entries, each with its step's number."""
    return [
        (str(number), line)
        for number, done in enumerate(steps, start=1)
        for _, lines in done.journals
        for line in lines
    ]


def _t_account(
    title: str, old: list[Line], new: Sequence[tuple[str, Line]], account: Account
) -> list[str]:
    debits: Column = []
    credits: Column = []
    opening = net_debits(old)
    if opening:
        (debits if opening > 0 else credits).append(("·", abs(opening)))
    for number, line in new:
        (debits if line.side is Side.DEBIT else credits).append((number, line.amount.minor))
    closing = opening + net_debits([line for _, line in new])
    on_left = closing > 0 or (closing == 0 and account.normal_side is Side.DEBIT)
    balance = ("", abs(closing))
    return [
        f"{title:^27}",
        f"{'─' * 13}┬{'─' * 13}",
        *(f"{_left(d)} │ {_right(c)}" for d, c in zip_longest(debits, credits)),
        f"{'─' * 13}┼{'─' * 13}",
        f"{_left(balance if on_left else None)} │ {_right(None if on_left else balance)}",
    ]


def _left(entry: tuple[str, int] | None) -> str:
    return f"{entry[0]:>2}{euros(entry[1]):>10}" if entry else " " * 12


def _right(entry: tuple[str, int] | None) -> str:
    return f"{euros(entry[1]):>9} {entry[0]:<2}" if entry else " " * 12


def _beside(pictures: Sequence[list[str]]) -> str:
    """Of unequal height, aligned at the top."""
    rows = zip_longest(*pictures, fillvalue=" " * 27)
    return "\n".join("    ".join(row).rstrip() for row in rows)


def main(arguments: Sequence[str]) -> None:
    text = document(load())
    if "--write" in arguments:
        FILE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
