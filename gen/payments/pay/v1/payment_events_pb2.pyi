from payments.pay.v1 import payment_pb2 as _payment_pb2
from payments.type.v1 import instruction_pb2 as _instruction_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PaymentMoved(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: _payment_pb2.Payment
    def __init__(self, payment: _Optional[_Union[_payment_pb2.Payment, _Mapping]] = ...) -> None: ...

class InstructionMoved(_message.Message):
    __slots__ = ("instruction", "trade_id", "payment_state", "purpose", "payer_id", "original_payment_id")
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_STATE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PAYER_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    instruction: _instruction_pb2.Instruction
    trade_id: str
    payment_state: _payment_pb2.PaymentState
    purpose: _payment_pb2.PaymentPurpose
    payer_id: str
    original_payment_id: str
    def __init__(self, instruction: _Optional[_Union[_instruction_pb2.Instruction, _Mapping]] = ..., trade_id: _Optional[str] = ..., payment_state: _Optional[_Union[_payment_pb2.PaymentState, str]] = ..., purpose: _Optional[_Union[_payment_pb2.PaymentPurpose, str]] = ..., payer_id: _Optional[str] = ..., original_payment_id: _Optional[str] = ...) -> None: ...
