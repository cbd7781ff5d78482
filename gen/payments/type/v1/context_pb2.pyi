from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Traffic(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAFFIC_UNSPECIFIED: _ClassVar[Traffic]
    TRAFFIC_LIVE: _ClassVar[Traffic]
    TRAFFIC_SHADOW: _ClassVar[Traffic]

class DeadlineClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEADLINE_CLASS_UNSPECIFIED: _ClassVar[DeadlineClass]
    DEADLINE_CLASS_INTERACTIVE: _ClassVar[DeadlineClass]
    DEADLINE_CLASS_BACKGROUND: _ClassVar[DeadlineClass]
TRAFFIC_UNSPECIFIED: Traffic
TRAFFIC_LIVE: Traffic
TRAFFIC_SHADOW: Traffic
DEADLINE_CLASS_UNSPECIFIED: DeadlineClass
DEADLINE_CLASS_INTERACTIVE: DeadlineClass
DEADLINE_CLASS_BACKGROUND: DeadlineClass

class Context(_message.Message):
    __slots__ = ("business_id", "parent_business_id", "merchant_id", "order_type", "sub_type", "pay_org_no", "traffic", "caller", "deadline_class")
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUB_TYPE_FIELD_NUMBER: _ClassVar[int]
    PAY_ORG_NO_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_CLASS_FIELD_NUMBER: _ClassVar[int]
    business_id: str
    parent_business_id: str
    merchant_id: str
    order_type: str
    sub_type: str
    pay_org_no: str
    traffic: Traffic
    caller: str
    deadline_class: DeadlineClass
    def __init__(self, business_id: _Optional[str] = ..., parent_business_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., order_type: _Optional[str] = ..., sub_type: _Optional[str] = ..., pay_org_no: _Optional[str] = ..., traffic: _Optional[_Union[Traffic, str]] = ..., caller: _Optional[str] = ..., deadline_class: _Optional[_Union[DeadlineClass, str]] = ...) -> None: ...

class CallContext(_message.Message):
    __slots__ = ("context", "traceparent", "remaining_ms", "origin")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    context: Context
    traceparent: str
    remaining_ms: int
    origin: str
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., traceparent: _Optional[str] = ..., remaining_ms: _Optional[int] = ..., origin: _Optional[str] = ...) -> None: ...
