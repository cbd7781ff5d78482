import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.type import date_pb2 as _date_pb2
from payments.clearing.v1 import ledger_pb2 as _ledger_pb2
from payments.type.v1 import account_pb2 as _account_pb2
from payments.type.v1 import context_pb2 as _context_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JournalView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOURNAL_VIEW_UNSPECIFIED: _ClassVar[JournalView]
    JOURNAL_VIEW_NAME: _ClassVar[JournalView]
    JOURNAL_VIEW_FULL: _ClassVar[JournalView]
JOURNAL_VIEW_UNSPECIFIED: JournalView
JOURNAL_VIEW_NAME: JournalView
JOURNAL_VIEW_FULL: JournalView

class PostJournalsRequest(_message.Message):
    __slots__ = ("items", "view")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[PostJournalsItem]
    view: JournalView
    def __init__(self, items: _Optional[_Iterable[_Union[PostJournalsItem, _Mapping]]] = ..., view: _Optional[_Union[JournalView, str]] = ...) -> None: ...

class PostJournalsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: PostJournal
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[PostJournal, _Mapping]] = ...) -> None: ...

class PostJournal(_message.Message):
    __slots__ = ("request_id", "event_type", "business_key", "entries", "accounting_date")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    event_type: str
    business_key: str
    entries: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Entry]
    accounting_date: _date_pb2.Date
    def __init__(self, request_id: _Optional[str] = ..., event_type: _Optional[str] = ..., business_key: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[_ledger_pb2.Entry, _Mapping]]] = ..., accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ...) -> None: ...

class PostJournalsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PostJournalsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[PostJournalsResult, _Mapping]]] = ...) -> None: ...

class PostJournalsResult(_message.Message):
    __slots__ = ("error", "journal", "replayed")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    journal: _ledger_pb2.Journal
    replayed: bool
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., journal: _Optional[_Union[_ledger_pb2.Journal, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("subject", "owner", "currency_code", "merchant_id")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    subject: str
    owner: str
    currency_code: str
    merchant_id: str
    def __init__(self, subject: _Optional[str] = ..., owner: _Optional[str] = ..., currency_code: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class GetAccountResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: _ledger_pb2.Account
    def __init__(self, account: _Optional[_Union[_ledger_pb2.Account, _Mapping]] = ...) -> None: ...

class ListJournalsRequest(_message.Message):
    __slots__ = ("business_id", "page_size", "page_token")
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    business_id: str
    page_size: int
    page_token: str
    def __init__(self, business_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJournalsResponse(_message.Message):
    __slots__ = ("journals", "next_page_token")
    JOURNALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    journals: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Journal]
    next_page_token: str
    def __init__(self, journals: _Optional[_Iterable[_Union[_ledger_pb2.Journal, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PlaceHoldRequest(_message.Message):
    __slots__ = ("request_id", "hold_id", "amount", "sources", "reference", "after", "expire_time", "payees")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    PAYEES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    hold_id: str
    amount: _money_pb2.Money
    sources: _containers.RepeatedCompositeFieldContainer[_account_pb2.AccountRef]
    reference: str
    after: JournalName
    expire_time: _timestamp_pb2.Timestamp
    payees: _containers.RepeatedCompositeFieldContainer[_account_pb2.AccountRef]
    def __init__(self, request_id: _Optional[str] = ..., hold_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., sources: _Optional[_Iterable[_Union[_account_pb2.AccountRef, _Mapping]]] = ..., reference: _Optional[str] = ..., after: _Optional[_Union[JournalName, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., payees: _Optional[_Iterable[_Union[_account_pb2.AccountRef, _Mapping]]] = ...) -> None: ...

class JournalName(_message.Message):
    __slots__ = ("event_type", "business_key")
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    event_type: str
    business_key: str
    def __init__(self, event_type: _Optional[str] = ..., business_key: _Optional[str] = ...) -> None: ...

class PlaceHoldResponse(_message.Message):
    __slots__ = ("hold",)
    HOLD_FIELD_NUMBER: _ClassVar[int]
    hold: _ledger_pb2.Hold
    def __init__(self, hold: _Optional[_Union[_ledger_pb2.Hold, _Mapping]] = ...) -> None: ...

class BatchPlaceHoldsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchPlaceHoldsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchPlaceHoldsItem, _Mapping]]] = ...) -> None: ...

class BatchPlaceHoldsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: PlaceHoldRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[PlaceHoldRequest, _Mapping]] = ...) -> None: ...

class BatchPlaceHoldsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchPlaceHoldsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchPlaceHoldsResult, _Mapping]]] = ...) -> None: ...

class BatchPlaceHoldsResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: PlaceHoldResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[PlaceHoldResponse, _Mapping]] = ...) -> None: ...

class ReleaseHoldRequest(_message.Message):
    __slots__ = ("request_id", "hold_id", "sources", "currency_code")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    hold_id: str
    sources: _containers.RepeatedCompositeFieldContainer[_account_pb2.AccountRef]
    currency_code: str
    def __init__(self, request_id: _Optional[str] = ..., hold_id: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[_account_pb2.AccountRef, _Mapping]]] = ..., currency_code: _Optional[str] = ...) -> None: ...

class ReleaseHoldResponse(_message.Message):
    __slots__ = ("hold",)
    HOLD_FIELD_NUMBER: _ClassVar[int]
    hold: _ledger_pb2.Hold
    def __init__(self, hold: _Optional[_Union[_ledger_pb2.Hold, _Mapping]] = ...) -> None: ...

class BatchReleaseHoldsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchReleaseHoldsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchReleaseHoldsItem, _Mapping]]] = ...) -> None: ...

class BatchReleaseHoldsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: ReleaseHoldRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[ReleaseHoldRequest, _Mapping]] = ...) -> None: ...

class BatchReleaseHoldsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchReleaseHoldsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchReleaseHoldsResult, _Mapping]]] = ...) -> None: ...

class BatchReleaseHoldsResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: ReleaseHoldResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[ReleaseHoldResponse, _Mapping]] = ...) -> None: ...

class BookEventRequest(_message.Message):
    __slots__ = ("request_id", "event_type", "occurred_time", "payload")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_TIME_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    event_type: str
    occurred_time: _timestamp_pb2.Timestamp
    payload: bytes
    def __init__(self, request_id: _Optional[str] = ..., event_type: _Optional[str] = ..., occurred_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class BookEventResponse(_message.Message):
    __slots__ = ("journal_ids",)
    JOURNAL_IDS_FIELD_NUMBER: _ClassVar[int]
    journal_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, journal_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchBookEventsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchBookEventsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchBookEventsItem, _Mapping]]] = ...) -> None: ...

class BatchBookEventsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: BookEventRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[BookEventRequest, _Mapping]] = ...) -> None: ...

class BatchBookEventsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchBookEventsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchBookEventsResult, _Mapping]]] = ...) -> None: ...

class BatchBookEventsResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: BookEventResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[BookEventResponse, _Mapping]] = ...) -> None: ...

class GetHoldRequest(_message.Message):
    __slots__ = ("hold_id",)
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    hold_id: str
    def __init__(self, hold_id: _Optional[str] = ...) -> None: ...

class GetHoldResponse(_message.Message):
    __slots__ = ("hold",)
    HOLD_FIELD_NUMBER: _ClassVar[int]
    hold: _ledger_pb2.Hold
    def __init__(self, hold: _Optional[_Union[_ledger_pb2.Hold, _Mapping]] = ...) -> None: ...

class CreateAccountRequest(_message.Message):
    __slots__ = ("request_id", "account", "currency_code", "minimum_minor_units", "maximum_minor_units", "mode")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account: _account_pb2.AccountRef
    currency_code: str
    minimum_minor_units: int
    maximum_minor_units: int
    mode: _ledger_pb2.AccountMode
    def __init__(self, request_id: _Optional[str] = ..., account: _Optional[_Union[_account_pb2.AccountRef, _Mapping]] = ..., currency_code: _Optional[str] = ..., minimum_minor_units: _Optional[int] = ..., maximum_minor_units: _Optional[int] = ..., mode: _Optional[_Union[_ledger_pb2.AccountMode, str]] = ...) -> None: ...

class CreateAccountResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: _ledger_pb2.Account
    def __init__(self, account: _Optional[_Union[_ledger_pb2.Account, _Mapping]] = ...) -> None: ...

class SetAccountStatusRequest(_message.Message):
    __slots__ = ("request_id", "account_id", "status", "why")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    status: _ledger_pb2.AccountStatus
    why: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ..., status: _Optional[_Union[_ledger_pb2.AccountStatus, str]] = ..., why: _Optional[str] = ...) -> None: ...

class SetAccountStatusResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: _ledger_pb2.Account
    def __init__(self, account: _Optional[_Union[_ledger_pb2.Account, _Mapping]] = ...) -> None: ...

class SetAccountModeRequest(_message.Message):
    __slots__ = ("request_id", "account_id", "mode")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    mode: _ledger_pb2.AccountMode
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ..., mode: _Optional[_Union[_ledger_pb2.AccountMode, str]] = ...) -> None: ...

class SetAccountModeResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: _ledger_pb2.Account
    def __init__(self, account: _Optional[_Union[_ledger_pb2.Account, _Mapping]] = ...) -> None: ...

class GetBalanceRequest(_message.Message):
    __slots__ = ("account", "currency_code", "accounting_date", "known_time", "merchant_id")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TIME_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.AccountRef
    currency_code: str
    accounting_date: _date_pb2.Date
    known_time: _timestamp_pb2.Timestamp
    merchant_id: str
    def __init__(self, account: _Optional[_Union[_account_pb2.AccountRef, _Mapping]] = ..., currency_code: _Optional[str] = ..., accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., known_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class GetBalanceResponse(_message.Message):
    __slots__ = ("balance", "block")
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    balance: _money_pb2.Money
    block: int
    def __init__(self, balance: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., block: _Optional[int] = ...) -> None: ...

class ListEntriesRequest(_message.Message):
    __slots__ = ("account", "currency_code", "from_date", "to_date", "page_size", "page_token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    FROM_DATE_FIELD_NUMBER: _ClassVar[int]
    TO_DATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.AccountRef
    currency_code: str
    from_date: _date_pb2.Date
    to_date: _date_pb2.Date
    page_size: int
    page_token: str
    def __init__(self, account: _Optional[_Union[_account_pb2.AccountRef, _Mapping]] = ..., currency_code: _Optional[str] = ..., from_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., to_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.BookedEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_ledger_pb2.BookedEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReverseJournalRequest(_message.Message):
    __slots__ = ("request_id", "journal_id", "why", "accounting_date")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    journal_id: str
    why: str
    accounting_date: _date_pb2.Date
    def __init__(self, request_id: _Optional[str] = ..., journal_id: _Optional[str] = ..., why: _Optional[str] = ..., accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ...) -> None: ...

class ReverseJournalResponse(_message.Message):
    __slots__ = ("journal",)
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    journal: _ledger_pb2.Journal
    def __init__(self, journal: _Optional[_Union[_ledger_pb2.Journal, _Mapping]] = ...) -> None: ...

class PostHoldRequest(_message.Message):
    __slots__ = ("request_id", "hold_id", "sources", "amount", "event_type", "business_key", "entries")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    hold_id: str
    sources: _containers.RepeatedCompositeFieldContainer[_account_pb2.AccountRef]
    amount: _money_pb2.Money
    event_type: str
    business_key: str
    entries: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Entry]
    def __init__(self, request_id: _Optional[str] = ..., hold_id: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[_account_pb2.AccountRef, _Mapping]]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., event_type: _Optional[str] = ..., business_key: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[_ledger_pb2.Entry, _Mapping]]] = ...) -> None: ...

class PostHoldResponse(_message.Message):
    __slots__ = ("journal", "hold")
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    journal: _ledger_pb2.Journal
    hold: _ledger_pb2.Hold
    def __init__(self, journal: _Optional[_Union[_ledger_pb2.Journal, _Mapping]] = ..., hold: _Optional[_Union[_ledger_pb2.Hold, _Mapping]] = ...) -> None: ...

class PostSplitJournalRequest(_message.Message):
    __slots__ = ("event_type", "business_key", "entries")
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    event_type: str
    business_key: str
    entries: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Entry]
    def __init__(self, event_type: _Optional[str] = ..., business_key: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[_ledger_pb2.Entry, _Mapping]]] = ...) -> None: ...

class PostSplitJournalResponse(_message.Message):
    __slots__ = ("split_journal",)
    SPLIT_JOURNAL_FIELD_NUMBER: _ClassVar[int]
    split_journal: _ledger_pb2.SplitJournal
    def __init__(self, split_journal: _Optional[_Union[_ledger_pb2.SplitJournal, _Mapping]] = ...) -> None: ...

class GetSplitJournalRequest(_message.Message):
    __slots__ = ("split_journal_id",)
    SPLIT_JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    split_journal_id: str
    def __init__(self, split_journal_id: _Optional[str] = ...) -> None: ...

class GetSplitJournalResponse(_message.Message):
    __slots__ = ("split_journal",)
    SPLIT_JOURNAL_FIELD_NUMBER: _ClassVar[int]
    split_journal: _ledger_pb2.SplitJournal
    def __init__(self, split_journal: _Optional[_Union[_ledger_pb2.SplitJournal, _Mapping]] = ...) -> None: ...
