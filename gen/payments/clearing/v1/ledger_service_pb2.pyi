from buf.validate import validate_pb2 as _validate_pb2
from google.rpc import status_pb2 as _status_pb2
from payments.clearing.v1 import ledger_pb2 as _ledger_pb2
from payments.type.v1 import account_pb2 as _account_pb2
from payments.type.v1 import context_pb2 as _context_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PostJournalsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[PostJournalsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[PostJournalsItem, _Mapping]]] = ...) -> None: ...

class PostJournalsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: PostJournal
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[PostJournal, _Mapping]] = ...) -> None: ...

class PostJournal(_message.Message):
    __slots__ = ("request_id", "event_type", "business_key", "entries")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    event_type: str
    business_key: str
    entries: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Entry]
    def __init__(self, request_id: _Optional[str] = ..., event_type: _Optional[str] = ..., business_key: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[_ledger_pb2.Entry, _Mapping]]] = ...) -> None: ...

class PostJournalsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PostJournalsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[PostJournalsResult, _Mapping]]] = ...) -> None: ...

class PostJournalsResult(_message.Message):
    __slots__ = ("error", "journal")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    journal: _ledger_pb2.Journal
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., journal: _Optional[_Union[_ledger_pb2.Journal, _Mapping]] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("subject", "owner", "currency_code")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    owner: str
    currency_code: str
    def __init__(self, subject: _Optional[str] = ..., owner: _Optional[str] = ..., currency_code: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("request_id", "hold_id", "amount", "sources", "reference", "after")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    hold_id: str
    amount: _money_pb2.Money
    sources: _containers.RepeatedCompositeFieldContainer[_account_pb2.AccountRef]
    reference: str
    after: JournalName
    def __init__(self, request_id: _Optional[str] = ..., hold_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., sources: _Optional[_Iterable[_Union[_account_pb2.AccountRef, _Mapping]]] = ..., reference: _Optional[str] = ..., after: _Optional[_Union[JournalName, _Mapping]] = ...) -> None: ...

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
