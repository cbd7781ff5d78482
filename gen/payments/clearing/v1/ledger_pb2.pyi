import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.type import date_pb2 as _date_pb2
from payments.type.v1 import account_pb2 as _account_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EntrySide(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTRY_SIDE_UNSPECIFIED: _ClassVar[EntrySide]
    ENTRY_SIDE_DEBIT: _ClassVar[EntrySide]
    ENTRY_SIDE_CREDIT: _ClassVar[EntrySide]

class AccountStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCOUNT_STATUS_UNSPECIFIED: _ClassVar[AccountStatus]
    ACCOUNT_STATUS_OPEN: _ClassVar[AccountStatus]
    ACCOUNT_STATUS_CLOSED: _ClassVar[AccountStatus]

class HoldState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOLD_STATE_UNSPECIFIED: _ClassVar[HoldState]
    HOLD_STATE_HELD: _ClassVar[HoldState]
    HOLD_STATE_POSTED: _ClassVar[HoldState]
    HOLD_STATE_RELEASED: _ClassVar[HoldState]
ENTRY_SIDE_UNSPECIFIED: EntrySide
ENTRY_SIDE_DEBIT: EntrySide
ENTRY_SIDE_CREDIT: EntrySide
ACCOUNT_STATUS_UNSPECIFIED: AccountStatus
ACCOUNT_STATUS_OPEN: AccountStatus
ACCOUNT_STATUS_CLOSED: AccountStatus
HOLD_STATE_UNSPECIFIED: HoldState
HOLD_STATE_HELD: HoldState
HOLD_STATE_POSTED: HoldState
HOLD_STATE_RELEASED: HoldState

class Account(_message.Message):
    __slots__ = ("account_id", "subject", "owner", "currency_code", "status", "balance", "version", "held", "available")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    subject: str
    owner: str
    currency_code: str
    status: AccountStatus
    balance: _money_pb2.Money
    version: int
    held: _money_pb2.Money
    available: _money_pb2.Money
    def __init__(self, account_id: _Optional[str] = ..., subject: _Optional[str] = ..., owner: _Optional[str] = ..., currency_code: _Optional[str] = ..., status: _Optional[_Union[AccountStatus, str]] = ..., balance: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., version: _Optional[int] = ..., held: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., available: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("subject", "owner", "side", "amount", "reference")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    owner: str
    side: EntrySide
    amount: _money_pb2.Money
    reference: str
    def __init__(self, subject: _Optional[str] = ..., owner: _Optional[str] = ..., side: _Optional[_Union[EntrySide, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., reference: _Optional[str] = ...) -> None: ...

class Journal(_message.Message):
    __slots__ = ("journal_id", "event_type", "business_key", "business_id", "entries", "accounting_date", "post_time")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    POST_TIME_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    event_type: str
    business_key: str
    business_id: str
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    accounting_date: _date_pb2.Date
    post_time: _timestamp_pb2.Timestamp
    def __init__(self, journal_id: _Optional[str] = ..., event_type: _Optional[str] = ..., business_key: _Optional[str] = ..., business_id: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., post_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Hold(_message.Message):
    __slots__ = ("hold_id", "business_id", "state", "amount", "parts", "reference", "version")
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    hold_id: str
    business_id: str
    state: HoldState
    amount: _money_pb2.Money
    parts: _containers.RepeatedCompositeFieldContainer[HoldPart]
    reference: str
    version: int
    def __init__(self, hold_id: _Optional[str] = ..., business_id: _Optional[str] = ..., state: _Optional[_Union[HoldState, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[HoldPart, _Mapping]]] = ..., reference: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class HoldPart(_message.Message):
    __slots__ = ("account", "held", "posted", "released")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    POSTED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    account: _account_pb2.AccountRef
    held: _money_pb2.Money
    posted: _money_pb2.Money
    released: _money_pb2.Money
    def __init__(self, account: _Optional[_Union[_account_pb2.AccountRef, _Mapping]] = ..., held: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., posted: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., released: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...
