import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.type import date_pb2 as _date_pb2
from payments.clearing.v1 import ledger_pb2 as _ledger_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AccountingDay(_message.Message):
    __slots__ = ("accounting_date", "close_time", "block")
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    accounting_date: _date_pb2.Date
    close_time: _timestamp_pb2.Timestamp
    block: int
    def __init__(self, accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., close_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., block: _Optional[int] = ...) -> None: ...

class CloseDayRequest(_message.Message):
    __slots__ = ("accounting_date",)
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    accounting_date: _date_pb2.Date
    def __init__(self, accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ...) -> None: ...

class CloseDayResponse(_message.Message):
    __slots__ = ("day",)
    DAY_FIELD_NUMBER: _ClassVar[int]
    day: AccountingDay
    def __init__(self, day: _Optional[_Union[AccountingDay, _Mapping]] = ...) -> None: ...

class ListDaysRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDaysResponse(_message.Message):
    __slots__ = ("days", "next_page_token")
    DAYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    days: _containers.RepeatedCompositeFieldContainer[AccountingDay]
    next_page_token: str
    def __init__(self, days: _Optional[_Iterable[_Union[AccountingDay, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetTrialBalanceRequest(_message.Message):
    __slots__ = ("accounting_date",)
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    accounting_date: _date_pb2.Date
    def __init__(self, accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ...) -> None: ...

class GetTrialBalanceResponse(_message.Message):
    __slots__ = ("accounting_date", "closed", "rows")
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    accounting_date: _date_pb2.Date
    closed: bool
    rows: _containers.RepeatedCompositeFieldContainer[TrialBalanceRow]
    def __init__(self, accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., closed: _Optional[bool] = ..., rows: _Optional[_Iterable[_Union[TrialBalanceRow, _Mapping]]] = ...) -> None: ...

class TrialBalanceRow(_message.Message):
    __slots__ = ("subject", "general_ledger_account", "accounts", "debits", "credits", "balance")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    GENERAL_LEDGER_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    DEBITS_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    general_ledger_account: str
    accounts: int
    debits: _money_pb2.Money
    credits: _money_pb2.Money
    balance: _money_pb2.Money
    def __init__(self, subject: _Optional[str] = ..., general_ledger_account: _Optional[str] = ..., accounts: _Optional[int] = ..., debits: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., credits: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., balance: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class WatchEntriesRequest(_message.Message):
    __slots__ = ("cursor", "subjects")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    subjects: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cursor: _Optional[str] = ..., subjects: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchEntriesResponse(_message.Message):
    __slots__ = ("entries", "cursor")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.BookedEntry]
    cursor: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_ledger_pb2.BookedEntry, _Mapping]]] = ..., cursor: _Optional[str] = ...) -> None: ...
