"""What is dated back leaves no day between with a balance beyond its account's limits."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any

import grpc
import pytest
from payments.clearing.v1 import ledger_service_pb2
from prometheus_client import REGISTRY

from clearing_svc.ledger.drafts import JournalDraft, drafted
from paymesh.server import CONTEXT_METADATA
from tests.clearing.books_world import Books, to_date
from tests.clearing.conftest import Database
from tests.clearing.ledger_messages import asked, call_context, fields_of, reason_of
from tests.clearing.ledger_world import OWED_MAX, line, top_up, transfer
from tests.clearing.test_books import refusal

SHORT = ("INSUFFICIENT_FUNDS", ["accounting_date"])
DOORS = pytest.mark.parametrize("named", [False, True], ids=["by name", "by request_id"])


def dated(draft: JournalDraft, day: date | None, *, named: bool = False) -> Any:
    request_id = str(uuid.uuid4()) if named else ""
    return asked(draft, request_id=request_id, accounting_date=day and to_date(day))


async def verdicts(books: Books, *items: Any) -> list[Any]:
    """ "OK", or a refusal's reason and fields."""
    request = ledger_service_pb2.PostJournalsRequest(items=items)
    results = (await books.ledger.PostJournals(request, timeout=60)).results
    return [
        "OK" if r.HasField("journal") else (reason_of(r.error), fields_of(r.error)) for r in results
    ]


async def ends(books: Books, owner: str, days: Sequence[int]) -> list[int]:
    """The balance at the end of each day, so many days ago."""
    return [await books.balance(owner, day=books.ago(day)) for day in days]


def unsaved() -> list[float | None]:
    """How many items were not saved for a defect."""
    of = ("journal", "account")
    return [REGISTRY.get_sample_value("payments_items_unsaved_total", {"aggregate": a}) for a in of]


async def has_spent(books: Books) -> None:
    """ann was given 500 five days ago, has spent it three days ago, and has 400 since today."""
    await books.gives("ann", 500, books.ago(5))
    await books.sends("ann", "bob", 500, books.ago(3))
    await books.gives("ann", 400)


@DOORS
async def test_no_day_between_is_overdrawn(books: Books, database: Database, named: bool) -> None:
    await has_spent(books)
    before = unsaved()
    late = dated(transfer("ann", "tom", 400, key="late"), books.ago(4), named=named)
    beside = dated(transfer("bob", "tom", 100, key="beside"), books.ago(2), named=named)
    assert await verdicts(books, beside, late) == ["OK", SHORT]
    assert await ends(books, "ann", [5, 4, 3, 2, 1, 0]) == [500, 500, 0, 0, 0, 400]
    assert await ends(books, "tom", [4, 3, 2, 1, 0]) == [0, 0, 100, 100, 100]
    assert unsaved() == before  # it is no defect, and alerts nobody
    # What the account bears on all of the days it takes; and the refused one, once it bears it.
    assert await verdicts(books, late) == [SHORT]
    await books.gives("ann", 400, books.ago(4))
    assert await verdicts(books, late) == ["OK"]
    assert await ends(books, "ann", [5, 4, 3, 2, 1, 0]) == [500, 500, 0, 0, 0, 400]
    assert database.books_are_true()


@DOORS
async def test_no_day_between_is_above_its_maximum(books: Books, named: bool) -> None:
    def owes(side: str, minor: int, key: str) -> JournalDraft:
        other = "CREDIT" if side == "DEBIT" else "DEBIT"
        lines = [
            line(side, "MERCHANT_RECEIVABLE", "mer_1", minor),
            line(other, "CHANNEL_RECEIVABLE", "sandbox:0", minor),
        ]
        return drafted("test/owes", key, lines)

    books.database.begins(books.ago(6))
    assert await verdicts(
        books,
        dated(owes("DEBIT", OWED_MAX, "1"), books.ago(5)),
        dated(owes("CREDIT", OWED_MAX, "2"), books.ago(3)),
        dated(owes("DEBIT", 50, "3"), books.ago(4), named=named),
        dated(owes("DEBIT", 50, "4"), books.ago(3), named=named),
    ) == ["OK", "OK", SHORT, "OK"]


async def test_a_reversal_is_dated_back_as_far_as_the_account_bears_it(books: Books) -> None:
    [first] = await books.post(top_up("ann", 500, key="first"), day=books.ago(5))
    await books.sends("ann", "bob", 500, books.ago(3))
    await books.gives("ann", 600)

    async def reverse(day: date | None) -> Any:
        request = ledger_service_pb2.ReverseJournalRequest(
            request_id=str(uuid.uuid4()), journal_id=first, why="wrong",
            accounting_date=day and to_date(day),
        )  # fmt: skip
        metadata = [(CONTEXT_METADATA, call_context().context.SerializeToString())]
        return await books.ledger.ReverseJournal(request, metadata=metadata, timeout=60)

    refused = (grpc.StatusCode.FAILED_PRECONDITION, *SHORT)
    assert await refusal(reverse(books.ago(4))) == refused
    assert await refusal(reverse(books.ago(1))) == refused
    assert (await reverse(None)).journal.reverses_journal_id == first
    assert await ends(books, "ann", [5, 4, 3, 2, 1, 0]) == [500, 500, 0, 0, 0, 100]


async def test_of_many_at_once_the_past_bears_what_it_bears(
    books: Books, database: Database
) -> None:
    """500 lay there three days ago, so two of 200 do, by whatever door they come."""
    await has_spent(books)
    await books.gives("ann", 500, books.ago(3))
    await books.gives("ann", 10_000)
    found = await asyncio.gather(
        *(
            verdicts(
                books,
                dated(transfer("ann", "tom", 200, key=f"m{n}"), books.ago(3 - n % 3), named=n > 4),
            )
            for n in range(10)
        )
    )
    assert sorted(str(one) for each in found for one in each) == sorted(
        [str(SHORT)] * 8 + ["OK"] * 2
    )
    assert min(await ends(books, "ann", [5, 4, 3, 2, 1])) == 100
    assert database.books_are_true()


async def test_what_waits_beside_an_account_counts(books: Books, database: Database) -> None:
    """A BUFFERED account's balance is its row, and what is not folded into it yet."""
    await has_spent(books)
    database.execute("UPDATE account SET mode = 'BUFFERED' WHERE owner = 'ann'")
    await books.gives("ann", 30, books.ago(4))
    await books.gives("ann", 70)
    assert database.query("SELECT sum(delta_minor) FROM account_delta") == [(100,)]
    late = [
        dated(transfer("ann", "tom", minor, key=f"{minor}"), books.ago(4)) for minor in (31, 30)
    ]
    assert await verdicts(books, *late) == [SHORT, "OK"]
    assert await ends(books, "ann", [5, 4, 3, 2, 1, 0]) == [500, 500, 0, 0, 0, 470]
