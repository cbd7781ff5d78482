"""Statements and documents for the general ledger: the same whenever they are made."""

from __future__ import annotations

import csv
import hashlib
import uuid
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest
from payments.clearing.v1 import ledger_service_pb2

from clearing_svc.books import export
from clearing_svc.books.balances import BooksDisagree
from clearing_svc.books.export import ExportRow, documents, write_csv, write_parquet
from clearing_svc.books.statements import NotClosed
from clearing_svc.ledger import loading
from clearing_svc.ledger.chart import Side
from paymesh.server import CONTEXT_METADATA
from tests.clearing.books_world import Books, to_date
from tests.clearing.conftest import Database
from tests.clearing.ledger_messages import call_context
from tests.clearing.ledger_world import CONFIG


async def reverse(books: Books, journal_id: str, **fields: Any) -> Any:
    request = ledger_service_pb2.ReverseJournalRequest(
        request_id=str(uuid.uuid4()), journal_id=journal_id, why="wrong", **fields
    )
    metadata = ((CONTEXT_METADATA, call_context().context.SerializeToString()),)
    return (await books.ledger.ReverseJournal(request, timeout=60, metadata=metadata)).journal


# ---- Statements ----


async def test_a_statement_printed_again_is_the_same_to_the_byte(
    books: Books, database: Database
) -> None:
    """Though traffic goes on, journals are posted, another day is closed, snapshots are made."""
    await books.gives("ann", 100_000, books.ago(3))
    await books.sends("ann", "bob", 1234, books.ago(2))
    await books.close(books.ago(3))
    await books.close(books.ago(2))
    printed = await books.statement("ann", books.ago(3), books.ago(2))
    await books.gives("ann", 5)
    await books.sends("ann", "bob", 1, books.ago(1))
    assert await books.statement("ann", books.ago(3), books.ago(2)) == printed
    await books.close(books.ago(1))
    await books.snapshots()
    await books.sends("ann", "bob", 2)
    assert await books.statement("ann", books.ago(3), books.ago(2)) == printed


async def test_a_statement_leads_from_its_opening_to_its_closing_balance(books: Books) -> None:
    first = await books.gives("ann", 500, books.ago(3))
    sent = await books.sends("ann", "bob", 120, books.ago(2))
    got = await books.sends("bob", "ann", 20, books.ago(2))
    for n in (3, 2):
        await books.close(books.ago(n))
    whole = await books.statement("ann", books.ago(3), books.ago(2))
    second = await books.statement("ann", books.ago(2), books.ago(2))
    lines = [line.split() for line in second.splitlines()]
    assert [str(books.ago(2)), "opening", "balance", "5.00"] in lines
    assert [str(books.ago(2)), "test/transfer", "1.20", "3.80"] in lines
    assert [str(books.ago(2)), "test/transfer", "0.20", "4.00"] in lines
    assert [
        str(books.ago(2)),
        "closing",
        "balance,",
        "2",
        "entries",
        "1.20",
        "0.20",
        "4.00",
    ] in lines
    assert [id_ in second for id_ in (first, sent, got)] == [False, True, True]
    assert [id_ in whole for id_ in (first, sent, got)] == [True, True, True]
    assert whole.index(first) < whole.index(sent) < whole.index(got)
    assert max(map(len, second.splitlines())) <= 100


async def test_the_last_line_is_the_hash_of_those_above(books: Books) -> None:
    await books.gives("ann", 500, books.ago(1))
    await books.close(books.ago(1))
    text = await books.statement("ann", books.ago(1), books.ago(1))
    above, _, last = text.rstrip("\n").rpartition("\n")
    hash_ = hashlib.sha256(f"{above}\n".encode()).hexdigest()
    assert last == f"SHA-256 of the lines above: {hash_}"


async def test_a_reversal_of_an_old_journal_is_of_the_open_day(books: Books) -> None:
    """The closed day stays as it was printed."""
    wrong = [await books.gives("ann", 500, books.ago(2)) for _ in range(2)]
    await books.close(books.ago(2))
    printed = await books.statement("ann", books.ago(2), books.ago(2))
    taken_back = await reverse(books, wrong[0])
    assert taken_back.accounting_date == to_date(taken_back.post_time.ToDatetime().date())
    dated = await reverse(books, wrong[1], accounting_date=to_date(books.ago(1)))
    assert await books.statement("ann", books.ago(2), books.ago(2)) == printed
    await books.close(books.ago(1))
    later = await books.statement("ann", books.ago(1), books.ago(1))
    assert dated.journal_id in later
    opening = [str(books.ago(1)), "opening", "balance", "10.00"]
    assert opening in [line.split() for line in later.splitlines()]
    assert await books.balance("ann") == 0


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (1, 0, "{0} is open: {1} is the last closed day"),
        (1, 2, "ends after it begins"),
        (9, 1, "{2} is their first day"),
    ],
)
async def test_only_closed_days_are_printed(first: int, last: int, said: str, books: Books) -> None:
    await books.gives("ann", 500, books.ago(2))
    with pytest.raises(NotClosed, match="no day is closed yet"):
        await books.statement("ann", books.ago(2), books.ago(2))
    await books.close(books.ago(2))
    await books.close(books.ago(1))
    with pytest.raises(NotClosed, match=said.format(*map(books.ago, range(3)))):
        await books.statement("ann", books.ago(first), books.ago(last))


async def test_a_statement_that_does_not_lead_to_the_balance_is_refused(
    books: Books, database: Database
) -> None:
    await books.gives("ann", 500, books.ago(1))
    await books.close(books.ago(1))
    await books.snapshots()
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("ALTER TABLE balance_snapshot DISABLE TRIGGER ALL")
        admin.execute("UPDATE balance_snapshot SET credit_minor = 501 WHERE credit_minor > 0")
    with pytest.raises(BooksDisagree, match=r"lead to 5\.00, its balance is 5\.01"):
        await books.statement("ann", books.ago(1), books.ago(1))


# ---- Documents ----


async def made(books: Books, day: date) -> list[ExportRow]:
    async with books.reader() as connection:
        return await documents(connection, CONFIG.finance, day)


def rows_of(found: Sequence[ExportRow]) -> list[tuple[str, str, str, str, int]]:
    return [(r.document, r.account, r.currency, str(r.side), r.amount_minor) for r in found]


async def _two_days(books: Books) -> None:
    await books.gives("ann", 900, books.ago(2))
    await books.gives("ann", 100, books.ago(1))
    await books.sends("ann", "bob", 30, books.ago(1))
    await books.gives("ann", 7, books.ago(1), cur="JPY")
    for n in (2, 1):
        await books.close(books.ago(n))


@pytest.mark.parametrize("snapshots", [False, True])
async def test_a_document_has_what_a_day_moved_by_account_and_side(
    snapshots: bool, books: Books
) -> None:
    await _two_days(books)
    if snapshots:
        await books.snapshots()
    cny, jpy = f"PM-{books.ago(1)}-CNY", f"PM-{books.ago(1)}-JPY"
    found = await made(books, books.ago(1))
    assert rows_of(found) == [
        (cny, "1100", "CNY", "DEBIT", 100),
        (cny, "2200", "CNY", "DEBIT", 30),
        (cny, "2200", "CNY", "CREDIT", 130),
        (jpy, "1100", "JPY", "DEBIT", 7),
        (jpy, "2200", "JPY", "CREDIT", 7),
    ]
    assert [(r.amount, r.account_name) for r in found[:1]] == [(Decimal("1.00"), "Bank")]
    assert str(found[-1].amount) == "7"


async def test_subjects_of_one_account_are_one_row(books: Books, tmp_path: Path) -> None:
    await _two_days(books)
    one = dict.fromkeys(CONFIG.chart, CONFIG.finance["BANK"])
    async with books.reader() as connection:
        found = await documents(connection, one, books.ago(2))
    document = f"PM-{books.ago(2)}-CNY"
    assert rows_of(found) == [
        (document, "1100", "CNY", "DEBIT", 900),
        (document, "1100", "CNY", "CREDIT", 900),
    ]


async def test_an_open_day_has_no_document(books: Books) -> None:
    await _two_days(books)
    with pytest.raises(NotClosed, match=f"{books.today} is not closed; `paymesh ledger close-day"):
        await made(books, books.today)


async def test_what_does_not_balance_is_not_written(books: Books, database: Database) -> None:
    await _two_days(books)
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("ALTER TABLE entry DISABLE TRIGGER ALL")
        admin.execute("UPDATE entry SET amount_minor = 101 WHERE amount_minor = 100 AND line = 1")
    with pytest.raises(BooksDisagree, match=r"CNY 1\.31, its credits CNY 1\.30"):
        await made(books, books.ago(1))


async def test_csv_is_the_same_to_the_byte(books: Books, tmp_path: Path) -> None:
    await _two_days(books)
    file = tmp_path / "day.csv"
    write_csv(await made(books, books.ago(1)), file)
    before = file.read_bytes()
    await books.gives("ann", 5)
    await books.snapshots()
    write_csv(await made(books, books.ago(1)), file)
    assert file.read_bytes() == before
    lines = list(csv.reader(before.decode().splitlines()))
    assert lines[0] == [
        "document", "accounting_date", "account", "account_name", "currency", "side", "amount",
        "amount_minor",
    ]  # fmt: skip
    assert lines[1] == [
        f"PM-{books.ago(1)}-CNY", str(books.ago(1)), "1100", "Bank", "CNY", "DEBIT", "1.00", "100",
    ]  # fmt: skip
    assert b"\r" not in before


async def test_parquet_has_the_same_rows(books: Books, tmp_path: Path) -> None:
    await _two_days(books)
    file = tmp_path / "day.parquet"
    found = await made(books, books.ago(1))
    write_parquet(found, file)
    table = import_module("pyarrow.parquet").read_table(file)
    assert [ExportRow(**{**row, "side": Side(row["side"])}) for row in table.to_pylist()] == found


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_file_is_replaced_whole_or_not_at_all(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, or we die: what was there before stays."""
    file = tmp_path / "day"
    write([], file)
    before = file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.os, "fsync", full)
    row = ExportRow("PM", date(2028, 2, 29), "1", "n", "CNY", Side.DEBIT, Decimal("0.01"), 1)
    with pytest.raises(OSError, match="No space"):
        write([row], file)
    assert [path.name for path in tmp_path.iterdir()] == ["day"]
    assert file.read_bytes() == before


# ---- The mapping ----


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[1:], "no account of the general ledger for BANK"),
        (lambda lines: [*lines, 'HEAVEN: {account: "9", name: "Heaven"}'], "not in the chart: HEA"),
        (lambda lines: [*lines, lines[0]], "comes twice"),
        (lambda lines: [lines[0].replace("1100", "2200"), *lines[1:]], "2200 has two names"),
        (lambda lines: [lines[0].replace('"1100"', "1100"), *lines[1:]], "BANK.account"),
        (lambda lines: [lines[0].replace('"1100"', '""'), *lines[1:]], "BANK.account"),
    ],
)
def test_a_mapping_that_must_not_be_used_is_refused(change: Any, said: str, tmp_path: Path) -> None:
    lines = [
        f'{subject}: {{account: "{account.number}", name: "{account.name}"}}'
        for subject, account in sorted(CONFIG.finance.items())
    ]
    file = tmp_path / "finance.yaml"
    file.write_text("\n".join(lines))
    assert loading.load_finance(file, CONFIG.chart) == CONFIG.finance
    file.write_text("\n".join(change(lines)))
    with pytest.raises(loading.ConfigInvalid, match=said):
        loading.load_finance(file, CONFIG.chart)
