"""Short ways to say split journals, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from payments.clearing.v1 import ledger_pb2, ledger_service_pb2

from clearing_svc.ledger.drafts import Line
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import call_context, money
from tests.clearing.ledger_world import line

CONTEXT = [("payments-context-bin", call_context().context.SerializeToString())]
NAME = "test/payroll"
OVER = {ledger_pb2.SPLIT_STATE_POSTED, ledger_pb2.SPLIT_STATE_REFUSED}


def debit(owner: str, minor: int, subject: str = "USER_BALANCE", **parts: str) -> Line:
    return line("DEBIT", subject, owner, minor, **parts)


def credit(owner: str, minor: int, subject: str = "USER_BALANCE", **parts: str) -> Line:
    return line("CREDIT", subject, owner, minor, **parts)


PAYROLL = (debit("ann", 30), debit("bob", 20), credit("cyd", 35), credit("dan", 15))
"""ann and bob pay cyd and dan."""


def split_request(lines: Sequence[Line] = PAYROLL, key: str = "1", **changes: Any) -> Any:
    entries = [
        ledger_pb2.Entry(
            subject=x.subject,
            owner=x.owner,
            side=f"ENTRY_SIDE_{x.side}",
            amount=money(x.amount.minor, x.amount.currency),
            reference=x.reference,
        )
        for x in lines
    ]
    values = {"event_type": NAME, "business_key": key, "entries": entries}
    return ledger_service_pb2.PostSplitJournalRequest(**{**values, **changes})


async def post_split(stub: Stub, *lines: Line, key: str = "1", **changes: Any) -> Any:
    request = split_request(lines or PAYROLL, key, **changes)
    response = await stub.PostSplitJournal(request, metadata=CONTEXT, timeout=60)
    return response.split_journal


async def get_split(stub: Stub, split_id: str) -> Any:
    request = ledger_service_pb2.GetSplitJournalRequest(split_journal_id=split_id)
    return (await stub.GetSplitJournal(request, timeout=60)).split_journal


def state_of(split: Any) -> str:
    return ledger_pb2.SplitState.Name(split.state).removeprefix("SPLIT_STATE_")


def balances(database: Database, subject: str = "USER_BALANCE") -> dict[str, int]:
    """By owner; without those that are zero."""
    query = "SELECT owner, balance_minor FROM account WHERE subject = %s AND balance_minor <> 0"
    return {str(owner): int(str(minor)) for owner, minor in database.query(query, subject)}


def journals(database: Database) -> list[str]:
    """Of split journals, by the ends of their event types."""
    query = "SELECT event_type FROM journal WHERE starts_with(event_type, %s) ORDER BY 1"
    return [str(type_).removeprefix(NAME) for (type_,) in database.query(query, f"{NAME}/")]


UNEVEN = (
    "SELECT reference FROM booking WHERE subject = 'SPLIT_TRANSIT' GROUP BY reference "
    "HAVING sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) <> 0"
)


def all_is_well(database: Database) -> bool:
    """The books are true, transit is even, and nothing is under way."""
    under_way = "SELECT id FROM split_journal WHERE next_action_at IS NOT NULL"
    untold = (
        "SELECT s.id FROM split_journal s WHERE s.version <> (SELECT count(*) FROM outbox o "
        "WHERE o.aggregate_id = s.id AND starts_with(o.type, 'clearing.split.'))"
    )
    return database.books_are_true() and not any(
        database.query(query) for query in (UNEVEN, under_way, untold)
    )
