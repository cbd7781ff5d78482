import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from payments.type.v1 import account_pb2 as _account_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InstructionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTRUCTION_KIND_UNSPECIFIED: _ClassVar[InstructionKind]
    INSTRUCTION_KIND_CHANNEL_COLLECT: _ClassVar[InstructionKind]
    INSTRUCTION_KIND_CHANNEL_REFUND: _ClassVar[InstructionKind]
    INSTRUCTION_KIND_HOLD: _ClassVar[InstructionKind]
    INSTRUCTION_KIND_RELEASE: _ClassVar[InstructionKind]
    INSTRUCTION_KIND_TRANSFER: _ClassVar[InstructionKind]
    INSTRUCTION_KIND_CHANNEL_PAYOUT: _ClassVar[InstructionKind]

class InstructionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTRUCTION_STATE_UNSPECIFIED: _ClassVar[InstructionState]
    INSTRUCTION_STATE_PROCESSING: _ClassVar[InstructionState]
    INSTRUCTION_STATE_CLOSING: _ClassVar[InstructionState]
    INSTRUCTION_STATE_SUCCEEDED: _ClassVar[InstructionState]
    INSTRUCTION_STATE_FAILED: _ClassVar[InstructionState]
    INSTRUCTION_STATE_CLOSED: _ClassVar[InstructionState]
    INSTRUCTION_STATE_SUSPENDED: _ClassVar[InstructionState]
    INSTRUCTION_STATE_BOUNCED: _ClassVar[InstructionState]
INSTRUCTION_KIND_UNSPECIFIED: InstructionKind
INSTRUCTION_KIND_CHANNEL_COLLECT: InstructionKind
INSTRUCTION_KIND_CHANNEL_REFUND: InstructionKind
INSTRUCTION_KIND_HOLD: InstructionKind
INSTRUCTION_KIND_RELEASE: InstructionKind
INSTRUCTION_KIND_TRANSFER: InstructionKind
INSTRUCTION_KIND_CHANNEL_PAYOUT: InstructionKind
INSTRUCTION_STATE_UNSPECIFIED: InstructionState
INSTRUCTION_STATE_PROCESSING: InstructionState
INSTRUCTION_STATE_CLOSING: InstructionState
INSTRUCTION_STATE_SUCCEEDED: InstructionState
INSTRUCTION_STATE_FAILED: InstructionState
INSTRUCTION_STATE_CLOSED: InstructionState
INSTRUCTION_STATE_SUSPENDED: InstructionState
INSTRUCTION_STATE_BOUNCED: InstructionState

class Instruction(_message.Message):
    __slots__ = ("instruction_id", "payment_id", "kind", "state", "amount", "channel", "request_no", "compensates", "channel_txn_id", "success_time", "version", "observed_amount", "hold_id", "hold_sources", "failure_reason")
    INSTRUCTION_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    COMPENSATES_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_TXN_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_SOURCES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    instruction_id: str
    payment_id: str
    kind: InstructionKind
    state: InstructionState
    amount: _money_pb2.Money
    channel: str
    request_no: str
    compensates: str
    channel_txn_id: str
    success_time: _timestamp_pb2.Timestamp
    version: int
    observed_amount: _money_pb2.Money
    hold_id: str
    hold_sources: _containers.RepeatedCompositeFieldContainer[_account_pb2.AccountRef]
    failure_reason: str
    def __init__(self, instruction_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., kind: _Optional[_Union[InstructionKind, str]] = ..., state: _Optional[_Union[InstructionState, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., channel: _Optional[str] = ..., request_no: _Optional[str] = ..., compensates: _Optional[str] = ..., channel_txn_id: _Optional[str] = ..., success_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., observed_amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., hold_id: _Optional[str] = ..., hold_sources: _Optional[_Iterable[_Union[_account_pb2.AccountRef, _Mapping]]] = ..., failure_reason: _Optional[str] = ...) -> None: ...
