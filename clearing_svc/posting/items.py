"""Journals with a request_id: each an item of the core, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from payments.clearing.v1 import ledger_pb2, ledger_service_pb2

from clearing_svc.ledger.callers import require_callers_own
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.domain import Posted, PostJournals, check
from clearing_svc.ledger.drafts import drafted
from clearing_svc.queries import Posting as Found
from clearing_svc.wire import (
    day_of,
    journal_to,
    lines_of,
)
from paymesh.context import Call
from paymesh.errors import PaymentError
from paymesh.items import Item, Outcome
from paymesh.rpc import claim
from paymesh.status import to_status


def posting_item(call: Call, request: Any, *, chart: Chart) -> Item:
    """A journal as an item of the core. Of its answer only the id is kept: the journal stays.

    What can be said of it alone is said here, whether or not its name is taken.
    """
    day, lines = day_of(request), lines_of(request.entries)
    check(lines, chart)
    require_callers_own(request.event_type, request.business_key, lines, chart)
    draft = drafted(request.event_type, request.business_key, lines, accounting_date=day)
    return Item(
        PostJournals(call.context, (draft,)),
        call,
        claim("PostJournals", call.context.merchant_id, request, request.request_id)
        if request.request_id
        else None,
        lambda posted: ledger_pb2.Journal(journal_id=posted.journal_ids[0]),
        ledger_pb2.Journal,
    )


def replayed_id(outcome: Outcome) -> str:
    """The id of a journal that was posted before and must be read to be answered."""
    if isinstance(outcome, PaymentError):
        return ""
    posted: Posted | None = outcome.answer
    return "" if posted is not None and posted.journals else str(outcome.reply.journal_id)


def result_of(
    outcome: Outcome, before: Mapping[str, Found]
) -> ledger_service_pb2.PostJournalsResult:
    if isinstance(outcome, PaymentError):
        return ledger_service_pb2.PostJournalsResult(error=to_status(outcome))
    journal_id = replayed_id(outcome)
    found = before[journal_id] if journal_id else outcome.answer.journals[0]
    return ledger_service_pb2.PostJournalsResult(
        journal=journal_to(*found), replayed=bool(journal_id)
    )
