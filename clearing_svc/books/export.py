"""Closed days for the general ledger: a document a currency, as CSV or Parquet.

A document has what a day moved, by account of the general ledger (ledger/finance.yaml) and side. A
closed day never changes, so its documents are always the same; a CSV file to the byte.
"""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from clearing_svc.books.balances import BooksDisagree, Connection, front, is_closed, totals_at
from clearing_svc.books.statements import NotClosed
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.finance import Finance
from paymesh.money import EXPONENTS, Money


class NoParquet(Exception):
    """What writes Parquet is not installed; says how it is."""


@dataclass(frozen=True, slots=True)
class ExportRow:
    """What a day debited, or credited, on one account of the general ledger."""

    document: str
    """Its number: PM-2026-11-22-EUR. One a day and currency."""
    accounting_date: date
    account: str
    account_name: str
    currency: str
    side: Side
    amount: Decimal
    """In the currency's units."""
    amount_minor: int
    """In minor units."""


async def documents(connection: Connection, finance: Finance, day: date) -> list[ExportRow]:
    """The rows of a day's documents, by document, account and side.

    Raises NotClosed, and BooksDisagree where debits are not credits.
    """
    if not await is_closed(connection, day):
        raise NotClosed(f"{day} is not closed; `paymesh ledger close-day {day}` closes it")
    at = await front(connection)
    moved: dict[tuple[str, str, Side], int] = defaultdict(int)
    for sign, until in ((1, day), (-1, day - timedelta(days=1))):
        for total in await totals_at(connection, until, at):
            if total.subject not in finance:
                raise BooksDisagree(f"{total.subject} has entries, but is not in finance.yaml")
            number = finance[total.subject].number
            moved[total.currency, number, Side.DEBIT] += sign * total.sums.debits
            moved[total.currency, number, Side.CREDIT] += sign * total.sums.credits
    names = {account.number: account.name for account in finance.values()}
    found = [
        ExportRow(
            document=f"PM-{day}-{currency}",
            accounting_date=day,
            account=number,
            account_name=names[number],
            currency=currency,
            side=side,
            amount=Decimal(minor).scaleb(-EXPONENTS.get(currency, 0)),
            amount_minor=minor,
        )
        for (currency, number, side), minor in moved.items()
        if minor
    ]
    found.sort(key=lambda row: (row.document, row.account, row.side is Side.CREDIT))
    _require_balanced(found)
    return found


def _require_balanced(found: list[ExportRow]) -> None:
    for currency in sorted({row.currency for row in found}):
        debits, credits = (
            sum(r.amount_minor for r in found if r.currency == currency and r.side is side)
            for side in (Side.DEBIT, Side.CREDIT)
        )
        if debits != credits:
            raise BooksDisagree(
                f"the day's debits are {Money(currency, debits)}, its credits "
                f"{Money(currency, credits)}: nothing is written; `paymesh check` says where"
            )


def write_csv(found: list[ExportRow], path: Path) -> None:
    """UTF-8 with a header line and \\n behind each line. Replaces the file whole, or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(ExportRow))
    writer.writerows(map(_plain, found))
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def write_parquet(found: list[ExportRow], path: Path) -> None:
    """The same columns. Replaces the file whole, or not at all. Raises NoParquet."""
    try:
        # Not by an import statement: it is 165 MB, and few need it.
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise NoParquet(
            "pyarrow is not installed: it comes with paymesh[finance]; CSV needs nothing"
        ) from error
    types = {"accounting_date": pyarrow.date32(), "amount_minor": pyarrow.int64()}
    types["amount"] = pyarrow.decimal128(38, max(EXPONENTS.values()))
    names = [field.name for field in fields(ExportRow)]
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in names])
    columns = {name: [getattr(row, name) for row in found] for name in names}
    with replacing(path) as file:
        parquet.write_table(pyarrow.table(columns, schema=schema), file)


WRITERS: dict[str, Callable[[list[ExportRow], Path], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
}


def _plain(row: ExportRow) -> list[str]:
    return [format(value, "f") if isinstance(value, Decimal) else str(value)
            for value in astuple(row)]  # fmt: skip


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file under a name of its own that becomes `path` when all is written and on the disk."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            fresh.unlink()
        raise
