import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChannelOrderKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_ORDER_KIND_UNSPECIFIED: _ClassVar[ChannelOrderKind]
    CHANNEL_ORDER_KIND_COLLECT: _ClassVar[ChannelOrderKind]
    CHANNEL_ORDER_KIND_REFUND: _ClassVar[ChannelOrderKind]
    CHANNEL_ORDER_KIND_PAYOUT: _ClassVar[ChannelOrderKind]

class ChannelOrderState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_ORDER_STATE_UNSPECIFIED: _ClassVar[ChannelOrderState]
    CHANNEL_ORDER_STATE_PENDING: _ClassVar[ChannelOrderState]
    CHANNEL_ORDER_STATE_AWAITING_PAYER: _ClassVar[ChannelOrderState]
    CHANNEL_ORDER_STATE_PROCESSING: _ClassVar[ChannelOrderState]
    CHANNEL_ORDER_STATE_CLOSING: _ClassVar[ChannelOrderState]
    CHANNEL_ORDER_STATE_SUCCEEDED: _ClassVar[ChannelOrderState]
    CHANNEL_ORDER_STATE_FAILED: _ClassVar[ChannelOrderState]
    CHANNEL_ORDER_STATE_CLOSED: _ClassVar[ChannelOrderState]
    CHANNEL_ORDER_STATE_BOUNCED: _ClassVar[ChannelOrderState]

class CredentialState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CREDENTIAL_STATE_UNSPECIFIED: _ClassVar[CredentialState]
    CREDENTIAL_STATE_PENDING: _ClassVar[CredentialState]
    CREDENTIAL_STATE_READY: _ClassVar[CredentialState]
    CREDENTIAL_STATE_FAILED: _ClassVar[CredentialState]
    CREDENTIAL_STATE_USED: _ClassVar[CredentialState]
CHANNEL_ORDER_KIND_UNSPECIFIED: ChannelOrderKind
CHANNEL_ORDER_KIND_COLLECT: ChannelOrderKind
CHANNEL_ORDER_KIND_REFUND: ChannelOrderKind
CHANNEL_ORDER_KIND_PAYOUT: ChannelOrderKind
CHANNEL_ORDER_STATE_UNSPECIFIED: ChannelOrderState
CHANNEL_ORDER_STATE_PENDING: ChannelOrderState
CHANNEL_ORDER_STATE_AWAITING_PAYER: ChannelOrderState
CHANNEL_ORDER_STATE_PROCESSING: ChannelOrderState
CHANNEL_ORDER_STATE_CLOSING: ChannelOrderState
CHANNEL_ORDER_STATE_SUCCEEDED: ChannelOrderState
CHANNEL_ORDER_STATE_FAILED: ChannelOrderState
CHANNEL_ORDER_STATE_CLOSED: ChannelOrderState
CHANNEL_ORDER_STATE_BOUNCED: ChannelOrderState
CREDENTIAL_STATE_UNSPECIFIED: CredentialState
CREDENTIAL_STATE_PENDING: CredentialState
CREDENTIAL_STATE_READY: CredentialState
CREDENTIAL_STATE_FAILED: CredentialState
CREDENTIAL_STATE_USED: CredentialState

class ChannelOrder(_message.Message):
    __slots__ = ("channel_order_id", "request_no", "business_id", "channel", "kind", "state", "amount", "moved_amount", "channel_txn_id", "success_time", "original_request_no", "failure_reason", "version", "reference")
    CHANNEL_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    MOVED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_TXN_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_TIME_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    channel_order_id: str
    request_no: str
    business_id: str
    channel: str
    kind: ChannelOrderKind
    state: ChannelOrderState
    amount: _money_pb2.Money
    moved_amount: _money_pb2.Money
    channel_txn_id: str
    success_time: _timestamp_pb2.Timestamp
    original_request_no: str
    failure_reason: str
    version: int
    reference: str
    def __init__(self, channel_order_id: _Optional[str] = ..., request_no: _Optional[str] = ..., business_id: _Optional[str] = ..., channel: _Optional[str] = ..., kind: _Optional[_Union[ChannelOrderKind, str]] = ..., state: _Optional[_Union[ChannelOrderState, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., moved_amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., channel_txn_id: _Optional[str] = ..., success_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., original_request_no: _Optional[str] = ..., failure_reason: _Optional[str] = ..., version: _Optional[int] = ..., reference: _Optional[str] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("credential_id", "state", "channel", "channel_fields", "expire_time")
    class ChannelFieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    credential_id: str
    state: CredentialState
    channel: str
    channel_fields: _containers.ScalarMap[str, str]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, credential_id: _Optional[str] = ..., state: _Optional[_Union[CredentialState, str]] = ..., channel: _Optional[str] = ..., channel_fields: _Optional[_Mapping[str, str]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
