"""LedgerService: message ↔ command, nothing more."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.rpc.status_pb2 import Status
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2, ledger_service_pb2_grpc

from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.domain import (
    AccountView,
    Journal,
    Posted,
    PostJournals,
    UnknownSubject,
)
from clearing_svc.ledger.drafts import account_id_of, drafted
from clearing_svc.queries import Journals, Posting
from clearing_svc.wire import account_to, journal_to, lines_of
from paymesh.app import Core
from paymesh.context import Call
from paymesh.errors import InvalidField, NotFound
from paymesh.rpc import batch, claim, run

PAGE_DEFAULT = 100
PAGE_ENTRIES_MAX = 10_000
"""Journals may be long: so much fits into one message."""


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    def __init__(self, accounts: Core[AccountView], journals: Journals, chart: Chart) -> None:
        self._accounts, self._journals, self._chart = accounts, journals, chart

    async def PostJournals(self, request: Any, context: Any) -> Any:
        results = await batch(request.items, self._post, _result)
        return ledger_service_pb2.PostJournalsResponse(results=results)

    async def GetAccount(self, request: Any, context: Any) -> Any:
        if request.subject not in self._chart:
            raise UnknownSubject("subject", f"{request.subject!r} is not in the chart")
        account_id = account_id_of(request.subject, request.owner, request.currency_code)
        account = (await self._accounts.load(account_id)).account
        if account is None:
            raise NotFound(
                f"{request.owner} has no account {request.subject} in {request.currency_code}: "
                "it opens with its first entry",
                metadata={"field": "owner"},
            )
        return ledger_service_pb2.GetAccountResponse(account=account_to(account))

    async def ListJournals(self, request: Any, context: Any) -> Any:
        size = request.page_size or PAGE_DEFAULT
        after = _place(request.page_token) if request.page_token else None
        found = await self._journals.of_chain(request.business_id, after=after, limit=size + 1)
        page = _page(found, size)
        return ledger_service_pb2.ListJournalsResponse(
            journals=[journal_to(journal, entries) for journal, entries in page],
            next_page_token=_page_token(page[-1][0]) if len(found) > len(page) else "",
        )

    async def _post(self, call: Call, request: Any) -> ledger_pb2.Journal:
        draft = drafted(request.event_type, request.business_key, lines_of(request.entries))
        done = await run(
            self._accounts.submit,
            PostJournals(call.context, (draft,)),
            call,
            claim("PostJournals", call.context.merchant_id, request, request.request_id),
            _reply,
            ledger_pb2.Journal,
        )
        reply: ledger_pb2.Journal = done.reply
        if not reply.HasField("post_time"):
            posting = await self._journals.by_id(reply.journal_id)
            assert posting is not None, "a journal stays for ever"
            reply = journal_to(*posting)
        return reply


def _reply(posted: Posted) -> ledger_pb2.Journal:
    """The journal; of one that was posted before only its id, with which it is then read."""
    if posted.replayed:
        return ledger_pb2.Journal(journal_id=posted.replayed[0])
    [(journal, entries)] = posted.journals
    return journal_to(journal, entries)


def _result(
    *, response: ledger_pb2.Journal | None = None, error: Status | None = None
) -> ledger_service_pb2.PostJournalsResult:
    if error is not None:
        return ledger_service_pb2.PostJournalsResult(error=error)
    return ledger_service_pb2.PostJournalsResult(journal=response)


def _page(found: Sequence[Posting], size: int) -> Sequence[Posting]:
    """The first ones: at most `size`, and at least one however long it is."""
    entries = 0
    for index, (_, of_journal) in enumerate(found[:size]):
        entries += len(of_journal)
        if index and entries > PAGE_ENTRIES_MAX:
            return found[:index]
    return found[:size]


def _page_token(journal: Journal) -> str:
    place = f"{journal.posted_at.isoformat()} {journal.id}"
    return urlsafe_b64encode(place.encode()).decode()


def _place(token: str) -> tuple[datetime, str]:
    """Where the last page ended. Raises InvalidField for a token that is not ours."""
    try:
        at, journal_id = urlsafe_b64decode(token.encode()).decode().split(" ")
        posted_at = datetime.fromisoformat(at)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("page_token", "is not from a ListJournals response") from error
    if posted_at.tzinfo is None or "\x00" in journal_id:
        raise InvalidField("page_token", "is not from a ListJournals response")
    return posted_at, journal_id
