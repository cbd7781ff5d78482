import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from payments.type.v1 import instruction_pb2 as _instruction_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from payments.type.v1 import tool_pb2 as _tool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PaymentPurpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYMENT_PURPOSE_UNSPECIFIED: _ClassVar[PaymentPurpose]
    PAYMENT_PURPOSE_PURCHASE: _ClassVar[PaymentPurpose]
    PAYMENT_PURPOSE_TOP_UP: _ClassVar[PaymentPurpose]
    PAYMENT_PURPOSE_TRANSFER: _ClassVar[PaymentPurpose]
    PAYMENT_PURPOSE_WITHDRAWAL: _ClassVar[PaymentPurpose]
    PAYMENT_PURPOSE_REFUND: _ClassVar[PaymentPurpose]

class PaymentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYMENT_STATE_UNSPECIFIED: _ClassVar[PaymentState]
    PAYMENT_STATE_PROCESSING: _ClassVar[PaymentState]
    PAYMENT_STATE_CLOSING: _ClassVar[PaymentState]
    PAYMENT_STATE_SUCCEEDED: _ClassVar[PaymentState]
    PAYMENT_STATE_FAILED: _ClassVar[PaymentState]
    PAYMENT_STATE_CLOSED: _ClassVar[PaymentState]
    PAYMENT_STATE_RETURNING: _ClassVar[PaymentState]
    PAYMENT_STATE_RETURNED: _ClassVar[PaymentState]
    PAYMENT_STATE_SUSPENDED: _ClassVar[PaymentState]
PAYMENT_PURPOSE_UNSPECIFIED: PaymentPurpose
PAYMENT_PURPOSE_PURCHASE: PaymentPurpose
PAYMENT_PURPOSE_TOP_UP: PaymentPurpose
PAYMENT_PURPOSE_TRANSFER: PaymentPurpose
PAYMENT_PURPOSE_WITHDRAWAL: PaymentPurpose
PAYMENT_PURPOSE_REFUND: PaymentPurpose
PAYMENT_STATE_UNSPECIFIED: PaymentState
PAYMENT_STATE_PROCESSING: PaymentState
PAYMENT_STATE_CLOSING: PaymentState
PAYMENT_STATE_SUCCEEDED: PaymentState
PAYMENT_STATE_FAILED: PaymentState
PAYMENT_STATE_CLOSED: PaymentState
PAYMENT_STATE_RETURNING: PaymentState
PAYMENT_STATE_RETURNED: PaymentState
PAYMENT_STATE_SUSPENDED: PaymentState

class Payment(_message.Message):
    __slots__ = ("payment_id", "business_id", "trade_id", "purpose", "state", "amount", "tools", "instructions", "expire_time", "create_time", "success_time", "version", "payer_id", "beneficiary_id", "original_payment_id", "failure_reason")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PAYER_ID_FIELD_NUMBER: _ClassVar[int]
    BENEFICIARY_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    business_id: str
    trade_id: str
    purpose: PaymentPurpose
    state: PaymentState
    amount: _money_pb2.Money
    tools: _containers.RepeatedCompositeFieldContainer[_tool_pb2.PaymentTool]
    instructions: _containers.RepeatedCompositeFieldContainer[_instruction_pb2.Instruction]
    expire_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    success_time: _timestamp_pb2.Timestamp
    version: int
    payer_id: str
    beneficiary_id: str
    original_payment_id: str
    failure_reason: str
    def __init__(self, payment_id: _Optional[str] = ..., business_id: _Optional[str] = ..., trade_id: _Optional[str] = ..., purpose: _Optional[_Union[PaymentPurpose, str]] = ..., state: _Optional[_Union[PaymentState, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[_tool_pb2.PaymentTool, _Mapping]]] = ..., instructions: _Optional[_Iterable[_Union[_instruction_pb2.Instruction, _Mapping]]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., success_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., payer_id: _Optional[str] = ..., beneficiary_id: _Optional[str] = ..., original_payment_id: _Optional[str] = ..., failure_reason: _Optional[str] = ...) -> None: ...
