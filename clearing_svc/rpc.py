"""LedgerService: message ↔ command, nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2, ledger_service_pb2_grpc
from payments.type.v1.event_pb2 import Event

from clearing_svc.books.rpc import balance_of, entries_of
from clearing_svc.ledger.accounts import Account, AccountView, UnknownSubject
from clearing_svc.ledger.administering import CreateAccount, SetAccountMode, SetAccountStatus
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.diverting import way_of
from clearing_svc.ledger.domain import Posted, PostJournals
from clearing_svc.ledger.drafts import Draw, account_id_of, journal_guard
from clearing_svc.ledger.drawing import drawn
from clearing_svc.ledger.holds import Hold, HoldView, PlaceHold, ReleaseHold
from clearing_svc.ledger.reversing import ReverseJournal
from clearing_svc.ledger.splitting import PostSplit
from clearing_svc.pages import page_of, position_of, token_of
from clearing_svc.posting.batches import Posting
from clearing_svc.posting.items import posting_item, replayed_id, result_of
from clearing_svc.queries import Books
from clearing_svc.splitting import Splits
from clearing_svc.wire import (
    account_mode_of,
    account_status_of,
    account_to,
    day_of,
    hold_to,
    journal_to,
    lines_of,
    sources_of,
    split_to,
)
from paymesh.app import Core
from paymesh.consumer import Translate
from paymesh.context import Call
from paymesh.errors import Code, InvalidField, NotFound, PaymentError
from paymesh.rpc import M, RpcContext, batch, claim, current_call, outcomes_of, require_texts, run
from paymesh.store.postgres import PostgresStore
from paymesh.wallets import of_merchant
from paymesh.wire import call_context_of, money_of, time_asked

PAGE_DEFAULT = 100


class NotBookable(PaymentError):
    """Follows from templates that a person may mend, so it is not kept."""

    code, reason, decided = Code.FAILED_PRECONDITION, "NOT_BOOKABLE", False


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    def __init__(
        self,
        books: Core[Any],
        journals: Books,
        posting: Posting,
        chart: Chart,
        splits: Splits,
        store: PostgresStore,
        bookings: Mapping[str, Translate],
    ) -> None:
        """`bookings`: what to post for an event, by its type."""
        self._books, self._journals, self._posting, self._chart = books, journals, posting, chart
        self._splits, self._store, self._bookings = splits, store, bookings

    async def PostJournals(
        self, request: ledger_service_pb2.PostJournalsRequest, context: RpcContext
    ) -> ledger_service_pb2.PostJournalsResponse:
        if not any(item.request.request_id for item in request.items):
            return await self._posting.post(request)
        prepare = partial(posting_item, chart=self._chart)
        outcomes = await outcomes_of(request.items, prepare, self._books.submit_all)
        replayed = [id_ for o in outcomes if (id_ := replayed_id(o))]
        before = await self._journals.by_ids(replayed) if replayed else {}
        return ledger_service_pb2.PostJournalsResponse(
            results=[result_of(outcome, before) for outcome in outcomes]
        )

    async def BookEvent(
        self, request: ledger_service_pb2.BookEventRequest, context: RpcContext
    ) -> ledger_service_pb2.BookEventResponse:
        return await self._book(current_call.get(), request)

    async def BatchBookEvents(
        self, request: ledger_service_pb2.BatchBookEventsRequest, context: RpcContext
    ) -> ledger_service_pb2.BatchBookEventsResponse:
        result = ledger_service_pb2.BatchBookEventsResult
        results = await batch(request.items, self._book, result)
        return ledger_service_pb2.BatchBookEventsResponse(results=results)

    async def PlaceHold(
        self, request: ledger_service_pb2.PlaceHoldRequest, context: RpcContext
    ) -> ledger_service_pb2.PlaceHoldResponse:
        return await self._place(current_call.get(), request)

    async def BatchPlaceHolds(
        self, request: ledger_service_pb2.BatchPlaceHoldsRequest, context: RpcContext
    ) -> ledger_service_pb2.BatchPlaceHoldsResponse:
        result = ledger_service_pb2.BatchPlaceHoldsResult
        results = await batch(request.items, self._place, result)
        return ledger_service_pb2.BatchPlaceHoldsResponse(results=results)

    async def ReleaseHold(
        self, request: ledger_service_pb2.ReleaseHoldRequest, context: RpcContext
    ) -> ledger_service_pb2.ReleaseHoldResponse:
        return await self._release(current_call.get(), request)

    async def BatchReleaseHolds(
        self, request: ledger_service_pb2.BatchReleaseHoldsRequest, context: RpcContext
    ) -> ledger_service_pb2.BatchReleaseHoldsResponse:
        result = ledger_service_pb2.BatchReleaseHoldsResult
        results = await batch(request.items, self._release, result)
        return ledger_service_pb2.BatchReleaseHoldsResponse(results=results)

    async def GetHold(
        self, request: ledger_service_pb2.GetHoldRequest, context: RpcContext
    ) -> ledger_service_pb2.GetHoldResponse:
        hold: Hold | None = (await self._books.load(request.hold_id)).hold
        if hold is None:
            raise NotFound(f"no hold {request.hold_id}")
        return ledger_service_pb2.GetHoldResponse(hold=hold_to(hold))

    async def GetAccount(
        self, request: ledger_service_pb2.GetAccountRequest, context: RpcContext
    ) -> ledger_service_pb2.GetAccountResponse:
        account = await self._account(request, request.subject, request.owner)
        return ledger_service_pb2.GetAccountResponse(account=account_to(account))

    async def GetBalance(
        self, request: ledger_service_pb2.GetBalanceRequest, context: RpcContext
    ) -> ledger_service_pb2.GetBalanceResponse:
        named = request.account
        account = await self._account(request, named.subject, named.owner, of="account.")
        return await balance_of(self._store, account, request)

    async def ListEntries(
        self, request: ledger_service_pb2.ListEntriesRequest, context: RpcContext
    ) -> ledger_service_pb2.ListEntriesResponse:
        named = request.account
        account = await self._account(request, named.subject, named.owner, of="account.")
        return await entries_of(self._store, account, request)

    async def _account(self, request: Any, subject: str, owner: str, *, of: str = "") -> Account:
        """As it is now, if the merchant for whom it is asked may see it. Raises UnknownSubject,
        NotFound; `of` is where its fields are."""
        merchant_id, currency = getattr(request, "merchant_id", ""), request.currency_code
        if subject not in self._chart:
            raise UnknownSubject(f"{of}subject", f"{subject!r} is not in the chart")
        account = None
        if not merchant_id or of_merchant(owner, merchant_id):
            account = await self._journals.account(account_id_of(subject, owner, currency))
        if account is None:
            raise NotFound(
                f"{owner} has no account {subject} in {currency}: "
                "it opens with its first entry or hold",
                metadata={"field": f"{of}owner"},
            )
        return account

    async def ListJournals(
        self, request: ledger_service_pb2.ListJournalsRequest, context: RpcContext
    ) -> ledger_service_pb2.ListJournalsResponse:
        size = request.page_size or PAGE_DEFAULT
        after = position_of(request.page_token) if request.page_token else None
        found = await self._journals.of_chain(request.business_id, after=after, limit=size + 1)
        page = page_of(found, size)
        return ledger_service_pb2.ListJournalsResponse(
            journals=[journal_to(journal, entries) for journal, entries in page],
            next_page_token=token_of(page[-1][0]) if len(found) > len(page) else "",
        )

    async def CreateAccount(
        self, request: ledger_service_pb2.CreateAccountRequest, context: RpcContext
    ) -> ledger_service_pb2.CreateAccountResponse:
        limits = [
            getattr(request, name) if request.HasField(name) else None
            for name in ("minimum_minor_units", "maximum_minor_units")
        ]
        call = current_call.get()
        [account] = sources_of([request.account])
        command = CreateAccount(
            call.context, account, request.currency_code, account_mode_of(request.mode), *limits
        )
        return await self._administer(
            command, call, request, ledger_service_pb2.CreateAccountResponse
        )

    async def SetAccountStatus(
        self, request: ledger_service_pb2.SetAccountStatusRequest, context: RpcContext
    ) -> ledger_service_pb2.SetAccountStatusResponse:
        call = current_call.get()
        status = account_status_of(request.status)
        account = await self._journals.account(request.account_id)
        way = account and way_of(
            self._chart, account.subject, account.owner, account.balance.currency
        )
        returns_id = way.keys[1] if way else ""
        command = SetAccountStatus(
            call.context, request.account_id, status, request.why, returns_id
        )
        return await self._administer(
            command, call, request, ledger_service_pb2.SetAccountStatusResponse
        )

    async def SetAccountMode(
        self, request: ledger_service_pb2.SetAccountModeRequest, context: RpcContext
    ) -> ledger_service_pb2.SetAccountModeResponse:
        call = current_call.get()
        mode = account_mode_of(request.mode)
        command = SetAccountMode(call.context, request.account_id, mode)
        return await self._administer(
            command, call, request, ledger_service_pb2.SetAccountModeResponse
        )

    async def ReverseJournal(
        self, request: ledger_service_pb2.ReverseJournalRequest, context: RpcContext
    ) -> ledger_service_pb2.ReverseJournalResponse:
        require_texts(request)
        found = (await self._journals.by_ids([request.journal_id])).get(request.journal_id)
        if found is None:
            raise NotFound(f"no journal {request.journal_id}", metadata={"field": "journal_id"})
        call = current_call.get()
        command = ReverseJournal(call.context, *found, request.why, day_of(request))
        journal = await self._posted(
            command, call, request, ledger_service_pb2.ReverseJournalResponse
        )
        return ledger_service_pb2.ReverseJournalResponse(journal=journal)

    async def PostHold(
        self, request: ledger_service_pb2.PostHoldRequest, context: RpcContext
    ) -> ledger_service_pb2.PostHoldResponse:
        draw = Draw(request.hold_id, money_of(request.amount), sources_of(request.sources))
        lines = lines_of(request.entries)
        draft = drawn(request.event_type, request.business_key, draw, lines, chart=self._chart)
        call = current_call.get()
        command = PostJournals(call.context, (draft,))
        journal = await self._posted(command, call, request, ledger_service_pb2.PostHoldResponse)
        view: HoldView = await self._books.load(request.hold_id)
        assert view.hold is not None, "a hold stays for ever"
        return ledger_service_pb2.PostHoldResponse(journal=journal, hold=hold_to(view.hold))

    async def PostSplitJournal(
        self, request: ledger_service_pb2.PostSplitJournalRequest, context: RpcContext
    ) -> ledger_service_pb2.PostSplitJournalResponse:
        call = current_call.get()
        lines = lines_of(request.entries)
        command = PostSplit(call.context, request.event_type, request.business_key, lines)
        split = await self._splits.post(command, call)
        return ledger_service_pb2.PostSplitJournalResponse(split_journal=split_to(split))

    async def GetSplitJournal(
        self, request: ledger_service_pb2.GetSplitJournalRequest, context: RpcContext
    ) -> ledger_service_pb2.GetSplitJournalResponse:
        split = await self._splits.get(request.split_journal_id)
        return ledger_service_pb2.GetSplitJournalResponse(split_journal=split_to(split))

    async def _administer(self, command: Any, call: Call, request: Any, response: type[M]) -> M:
        """The account as it stands after the command, also when that was carried out before."""
        require_texts(request)
        made: Callable[..., M] = response

        def reply(view: AccountView) -> M:
            assert view.account is not None, "an account stays for ever"
            return made(account=account_to(view.account))

        scope = request.DESCRIPTOR.name.removesuffix("Request")
        request_claim = claim(scope, call.context.merchant_id, request, request.request_id)
        done = await run(
            self._books.submit, command, call, request_claim, reply, response, shows_state=True
        )
        return reply(done.state)

    async def _posted(
        self, command: Any, call: Call, request: Any, response: type[Any]
    ) -> ledger_pb2.Journal:
        """The one journal that the command posts, or posted before. Of the answer only its id is
        kept: the journal stays."""

        def reply(posted: Posted) -> Any:
            return response(journal=ledger_pb2.Journal(journal_id=posted.journal_ids[0]))

        scope = request.DESCRIPTOR.name.removesuffix("Request")
        request_claim = claim(scope, call.context.merchant_id, request, request.request_id)
        done = await run(self._books.submit, command, call, request_claim, reply, response)
        if done.answer is not None and done.answer.journals:
            return journal_to(*done.answer.journals[0])
        journal_id = done.reply.journal.journal_id
        return journal_to(*(await self._journals.by_ids([journal_id]))[journal_id])

    async def _book(
        self, call: Call, request: ledger_service_pb2.BookEventRequest
    ) -> ledger_service_pb2.BookEventResponse:
        event = Event(
            type=request.event_type,
            occurred_time=request.occurred_time,
            call_context=call_context_of(call.context),
            payload=request.payload,
        )
        if event.type not in self._bookings:
            raise InvalidField("event_type", f"{event.type} has no templates")
        try:
            command = self._bookings[event.type](event)
        except DecodeError as error:
            raise InvalidField("payload", f"is not the message of {event.type}") from error
        except ValueError as error:
            raise NotBookable(str(error)) from error
        response = ledger_service_pb2.BookEventResponse
        done = await run(
            self._books.submit,
            command,
            call,
            claim("BookEvent", call.context.merchant_id, request, request.request_id),
            lambda posted: response(journal_ids=posted.journal_ids),
            response,
        )
        return done.reply

    async def _place(
        self, call: Call, request: ledger_service_pb2.PlaceHoldRequest
    ) -> ledger_service_pb2.PlaceHoldResponse:
        after = request.after
        named = request.HasField("after")
        command = PlaceHold(
            context=call.context,
            hold_id=request.hold_id,
            amount=money_of(request.amount),
            sources=sources_of(request.sources),
            reference=request.reference,
            after=journal_guard(after.event_type, after.business_key) if named else None,
            expires_at=time_asked(request, "expire_time"),
            payees=sources_of(request.payees),
        )
        response = ledger_service_pb2.PlaceHoldResponse
        return await self._hold("PlaceHold", command, call, request, response, advice=["payees"])

    async def _release(
        self, call: Call, request: ledger_service_pb2.ReleaseHoldRequest
    ) -> ledger_service_pb2.ReleaseHoldResponse:
        sources = sources_of(request.sources)
        command = ReleaseHold(request.hold_id, sources, request.currency_code)
        response = ledger_service_pb2.ReleaseHoldResponse
        return await self._hold("ReleaseHold", command, call, request, response)

    async def _hold(
        self,
        method: str,
        command: Any,
        call: Call,
        request: Any,
        response: type[M],
        advice: Sequence[str] = (),
    ) -> M:
        """The hold as it stands after the command, also when that was carried out before."""
        made: Callable[..., M] = response

        def reply(view: HoldView) -> M:
            assert view.hold is not None, "a hold stays for ever"
            return made(hold=hold_to(view.hold))

        owner = call.context.merchant_id
        request_claim = claim(method, owner, request, request.request_id, advice=advice)
        done = await run(
            self._books.submit, command, call, request_claim, reply, response, shows_state=True
        )
        return reply(done.state)
