"""LedgerService: message ↔ command, nothing more."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.rpc.status_pb2 import Status
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2, ledger_service_pb2_grpc

from clearing_svc.ledger.accounts import UnknownSubject
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.domain import Journal, Posted, PostJournals
from clearing_svc.ledger.drafts import account_id_of, drafted, journal_guard
from clearing_svc.ledger.holds import Hold, HoldView, PlaceHold, ReleaseHold
from clearing_svc.queries import Journals, Posting
from clearing_svc.wire import account_to, hold_to, journal_to, lines_of, sources_of
from paymesh.app import Core
from paymesh.context import Call
from paymesh.errors import InvalidField, NotFound
from paymesh.rpc import batch, claim, current_call, run
from paymesh.wire import money_of

PAGE_DEFAULT = 100
PAGE_ENTRIES_MAX = 10_000
"""Journals may be long: so much fits into one message."""


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    def __init__(self, books: Core[Any], journals: Journals, chart: Chart) -> None:
        self._books, self._journals, self._chart = books, journals, chart

    async def PostJournals(self, request: Any, context: Any) -> Any:
        results = await batch(request.items, self._post, _result)
        return ledger_service_pb2.PostJournalsResponse(results=results)

    async def PlaceHold(self, request: Any, context: Any) -> Any:
        return await self._place(current_call.get(), request)

    async def BatchPlaceHolds(self, request: Any, context: Any) -> Any:
        result = ledger_service_pb2.BatchPlaceHoldsResult
        results = await batch(request.items, self._place, result)
        return ledger_service_pb2.BatchPlaceHoldsResponse(results=results)

    async def ReleaseHold(self, request: Any, context: Any) -> Any:
        return await self._release(current_call.get(), request)

    async def BatchReleaseHolds(self, request: Any, context: Any) -> Any:
        result = ledger_service_pb2.BatchReleaseHoldsResult
        results = await batch(request.items, self._release, result)
        return ledger_service_pb2.BatchReleaseHoldsResponse(results=results)

    async def GetHold(self, request: Any, context: Any) -> Any:
        hold: Hold | None = (await self._books.load(request.hold_id)).hold
        if hold is None:
            raise NotFound(f"no hold {request.hold_id}")
        return ledger_service_pb2.GetHoldResponse(hold=hold_to(hold))

    async def GetAccount(self, request: Any, context: Any) -> Any:
        if request.subject not in self._chart:
            raise UnknownSubject("subject", f"{request.subject!r} is not in the chart")
        account_id = account_id_of(request.subject, request.owner, request.currency_code)
        account = (await self._books.load(account_id)).account
        if account is None:
            raise NotFound(
                f"{request.owner} has no account {request.subject} in {request.currency_code}: "
                "it opens with its first entry or hold",
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
            self._books.submit,
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

    async def _place(self, call: Call, request: Any) -> Any:
        after = request.after
        named = request.HasField("after")
        command = PlaceHold(
            context=call.context,
            hold_id=request.hold_id,
            amount=money_of(request.amount),
            sources=sources_of(request.sources),
            reference=request.reference,
            after=journal_guard(after.event_type, after.business_key) if named else None,
        )
        response = ledger_service_pb2.PlaceHoldResponse
        return await self._hold("PlaceHold", command, call, request, response)

    async def _release(self, call: Call, request: Any) -> Any:
        sources = sources_of(request.sources)
        command = ReleaseHold(request.hold_id, sources, request.currency_code)
        response = ledger_service_pb2.ReleaseHoldResponse
        return await self._hold("ReleaseHold", command, call, request, response)

    async def _hold(
        self, method: str, command: Any, call: Call, request: Any, response: type[Any]
    ) -> Any:
        """The hold as it stands after the command, also when that was carried out before."""

        def reply(view: HoldView) -> Any:
            assert view.hold is not None, "a hold stays for ever"
            return response(hold=hold_to(view.hold))

        request_claim = claim(method, call.context.merchant_id, request, request.request_id)
        done = await run(
            self._books.submit, command, call, request_claim, reply, response, shows_state=True
        )
        return reply(done.state)


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
