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
    ACCOUNT_STATUS_FROZEN_IN: _ClassVar[AccountStatus]
    ACCOUNT_STATUS_FROZEN_OUT: _ClassVar[AccountStatus]

class AccountMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCOUNT_MODE_UNSPECIFIED: _ClassVar[AccountMode]
    ACCOUNT_MODE_DIRECT: _ClassVar[AccountMode]
    ACCOUNT_MODE_BUFFERED: _ClassVar[AccountMode]
    ACCOUNT_MODE_DRAINING: _ClassVar[AccountMode]

class HoldState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOLD_STATE_UNSPECIFIED: _ClassVar[HoldState]
    HOLD_STATE_HELD: _ClassVar[HoldState]
    HOLD_STATE_POSTED: _ClassVar[HoldState]
    HOLD_STATE_RELEASED: _ClassVar[HoldState]

class SplitState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPLIT_STATE_UNSPECIFIED: _ClassVar[SplitState]
    SPLIT_STATE_DEBITING: _ClassVar[SplitState]
    SPLIT_STATE_CREDITING: _ClassVar[SplitState]
    SPLIT_STATE_POSTED: _ClassVar[SplitState]
    SPLIT_STATE_REVERSING: _ClassVar[SplitState]
    SPLIT_STATE_REFUSED: _ClassVar[SplitState]
ENTRY_SIDE_UNSPECIFIED: EntrySide
ENTRY_SIDE_DEBIT: EntrySide
ENTRY_SIDE_CREDIT: EntrySide
ACCOUNT_STATUS_UNSPECIFIED: AccountStatus
ACCOUNT_STATUS_OPEN: AccountStatus
ACCOUNT_STATUS_CLOSED: AccountStatus
ACCOUNT_STATUS_FROZEN_IN: AccountStatus
ACCOUNT_STATUS_FROZEN_OUT: AccountStatus
ACCOUNT_MODE_UNSPECIFIED: AccountMode
ACCOUNT_MODE_DIRECT: AccountMode
ACCOUNT_MODE_BUFFERED: AccountMode
ACCOUNT_MODE_DRAINING: AccountMode
HOLD_STATE_UNSPECIFIED: HoldState
HOLD_STATE_HELD: HoldState
HOLD_STATE_POSTED: HoldState
HOLD_STATE_RELEASED: HoldState
SPLIT_STATE_UNSPECIFIED: SplitState
SPLIT_STATE_DEBITING: SplitState
SPLIT_STATE_CREDITING: SplitState
SPLIT_STATE_POSTED: SplitState
SPLIT_STATE_REVERSING: SplitState
SPLIT_STATE_REFUSED: SplitState

class Account(_message.Message):
    __slots__ = ("account_id", "subject", "owner", "currency_code", "status", "balance", "version", "held", "available", "mode", "minimum_minor_units", "maximum_minor_units")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    subject: str
    owner: str
    currency_code: str
    status: AccountStatus
    balance: _money_pb2.Money
    version: int
    held: _money_pb2.Money
    available: _money_pb2.Money
    mode: AccountMode
    minimum_minor_units: int
    maximum_minor_units: int
    def __init__(self, account_id: _Optional[str] = ..., subject: _Optional[str] = ..., owner: _Optional[str] = ..., currency_code: _Optional[str] = ..., status: _Optional[_Union[AccountStatus, str]] = ..., balance: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., version: _Optional[int] = ..., held: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., available: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., mode: _Optional[_Union[AccountMode, str]] = ..., minimum_minor_units: _Optional[int] = ..., maximum_minor_units: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("journal_id", "event_type", "business_key", "business_id", "entries", "accounting_date", "post_time", "reverses_journal_id", "template_version")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    POST_TIME_FIELD_NUMBER: _ClassVar[int]
    REVERSES_JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    event_type: str
    business_key: str
    business_id: str
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    accounting_date: _date_pb2.Date
    post_time: _timestamp_pb2.Timestamp
    reverses_journal_id: str
    template_version: int
    def __init__(self, journal_id: _Optional[str] = ..., event_type: _Optional[str] = ..., business_key: _Optional[str] = ..., business_id: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., post_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reverses_journal_id: _Optional[str] = ..., template_version: _Optional[int] = ...) -> None: ...

class Hold(_message.Message):
    __slots__ = ("hold_id", "business_id", "state", "amount", "parts", "reference", "version", "expire_time")
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    hold_id: str
    business_id: str
    state: HoldState
    amount: _money_pb2.Money
    parts: _containers.RepeatedCompositeFieldContainer[HoldPart]
    reference: str
    version: int
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, hold_id: _Optional[str] = ..., business_id: _Optional[str] = ..., state: _Optional[_Union[HoldState, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[HoldPart, _Mapping]]] = ..., reference: _Optional[str] = ..., version: _Optional[int] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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

class BookedEntry(_message.Message):
    __slots__ = ("journal_id", "line", "account_id", "entry", "event_type", "business_key", "business_id", "accounting_date", "post_time")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTING_DATE_FIELD_NUMBER: _ClassVar[int]
    POST_TIME_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    line: int
    account_id: str
    entry: Entry
    event_type: str
    business_key: str
    business_id: str
    accounting_date: _date_pb2.Date
    post_time: _timestamp_pb2.Timestamp
    def __init__(self, journal_id: _Optional[str] = ..., line: _Optional[int] = ..., account_id: _Optional[str] = ..., entry: _Optional[_Union[Entry, _Mapping]] = ..., event_type: _Optional[str] = ..., business_key: _Optional[str] = ..., business_id: _Optional[str] = ..., accounting_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., post_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SplitJournal(_message.Message):
    __slots__ = ("split_journal_id", "event_type", "business_key", "business_id", "state", "entries", "journal_ids", "refusal", "version", "suspended")
    SPLIT_JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_IDS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    split_journal_id: str
    event_type: str
    business_key: str
    business_id: str
    state: SplitState
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    journal_ids: _containers.RepeatedScalarFieldContainer[str]
    refusal: str
    version: int
    suspended: _containers.RepeatedCompositeFieldContainer[SuspendedEntry]
    def __init__(self, split_journal_id: _Optional[str] = ..., event_type: _Optional[str] = ..., business_key: _Optional[str] = ..., business_id: _Optional[str] = ..., state: _Optional[_Union[SplitState, str]] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., journal_ids: _Optional[_Iterable[str]] = ..., refusal: _Optional[str] = ..., version: _Optional[int] = ..., suspended: _Optional[_Iterable[_Union[SuspendedEntry, _Mapping]]] = ...) -> None: ...

class SuspendedEntry(_message.Message):
    __slots__ = ("line", "reason", "journal_id")
    LINE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    line: int
    reason: str
    journal_id: str
    def __init__(self, line: _Optional[int] = ..., reason: _Optional[str] = ..., journal_id: _Optional[str] = ...) -> None: ...
