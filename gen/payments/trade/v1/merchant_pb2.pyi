import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MerchantState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERCHANT_STATE_UNSPECIFIED: _ClassVar[MerchantState]
    MERCHANT_STATE_ACTIVE: _ClassVar[MerchantState]
MERCHANT_STATE_UNSPECIFIED: MerchantState
MERCHANT_STATE_ACTIVE: MerchantState

class Merchant(_message.Message):
    __slots__ = ("merchant_id", "display_name", "notify_url", "state", "create_time", "version", "wallet_scope")
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_URL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WALLET_SCOPE_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    display_name: str
    notify_url: str
    state: MerchantState
    create_time: _timestamp_pb2.Timestamp
    version: int
    wallet_scope: str
    def __init__(self, merchant_id: _Optional[str] = ..., display_name: _Optional[str] = ..., notify_url: _Optional[str] = ..., state: _Optional[_Union[MerchantState, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., wallet_scope: _Optional[str] = ...) -> None: ...

class BusinessCode(_message.Message):
    __slots__ = ("merchant_id", "order_type", "sub_type", "pay_org_no", "description", "create_time")
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUB_TYPE_FIELD_NUMBER: _ClassVar[int]
    PAY_ORG_NO_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    order_type: str
    sub_type: str
    pay_org_no: str
    description: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, merchant_id: _Optional[str] = ..., order_type: _Optional[str] = ..., sub_type: _Optional[str] = ..., pay_org_no: _Optional[str] = ..., description: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
