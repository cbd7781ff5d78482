import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from payments.type.v1 import tool_pb2 as _tool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TradeType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRADE_TYPE_UNSPECIFIED: _ClassVar[TradeType]
    TRADE_TYPE_INSTANT: _ClassVar[TradeType]
    TRADE_TYPE_ESCROW: _ClassVar[TradeType]
    TRADE_TYPE_PREAUTH: _ClassVar[TradeType]
    TRADE_TYPE_TOP_UP: _ClassVar[TradeType]
    TRADE_TYPE_WITHDRAWAL: _ClassVar[TradeType]
    TRADE_TYPE_TRANSFER: _ClassVar[TradeType]
    TRADE_TYPE_REFUND: _ClassVar[TradeType]
    TRADE_TYPE_COMBINED: _ClassVar[TradeType]

class TradeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRADE_STATE_UNSPECIFIED: _ClassVar[TradeState]
    TRADE_STATE_PENDING: _ClassVar[TradeState]
    TRADE_STATE_PAYING: _ClassVar[TradeState]
    TRADE_STATE_PAID: _ClassVar[TradeState]
    TRADE_STATE_CLOSED: _ClassVar[TradeState]
    TRADE_STATE_RETURNED: _ClassVar[TradeState]
    TRADE_STATE_BOOKING: _ClassVar[TradeState]

class AttemptState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_STATE_UNSPECIFIED: _ClassVar[AttemptState]
    ATTEMPT_STATE_PROCESSING: _ClassVar[AttemptState]
    ATTEMPT_STATE_CLOSING: _ClassVar[AttemptState]
    ATTEMPT_STATE_SUCCEEDED: _ClassVar[AttemptState]
    ATTEMPT_STATE_FAILED: _ClassVar[AttemptState]
    ATTEMPT_STATE_CLOSED: _ClassVar[AttemptState]
    ATTEMPT_STATE_RETURNING: _ClassVar[AttemptState]
    ATTEMPT_STATE_RETURNED: _ClassVar[AttemptState]
    ATTEMPT_STATE_SUSPENDED: _ClassVar[AttemptState]

class RefundState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUND_STATE_UNSPECIFIED: _ClassVar[RefundState]
    REFUND_STATE_PROCESSING: _ClassVar[RefundState]
    REFUND_STATE_SUCCEEDED: _ClassVar[RefundState]
    REFUND_STATE_FAILED: _ClassVar[RefundState]
    REFUND_STATE_RETURNED: _ClassVar[RefundState]
TRADE_TYPE_UNSPECIFIED: TradeType
TRADE_TYPE_INSTANT: TradeType
TRADE_TYPE_ESCROW: TradeType
TRADE_TYPE_PREAUTH: TradeType
TRADE_TYPE_TOP_UP: TradeType
TRADE_TYPE_WITHDRAWAL: TradeType
TRADE_TYPE_TRANSFER: TradeType
TRADE_TYPE_REFUND: TradeType
TRADE_TYPE_COMBINED: TradeType
TRADE_STATE_UNSPECIFIED: TradeState
TRADE_STATE_PENDING: TradeState
TRADE_STATE_PAYING: TradeState
TRADE_STATE_PAID: TradeState
TRADE_STATE_CLOSED: TradeState
TRADE_STATE_RETURNED: TradeState
TRADE_STATE_BOOKING: TradeState
ATTEMPT_STATE_UNSPECIFIED: AttemptState
ATTEMPT_STATE_PROCESSING: AttemptState
ATTEMPT_STATE_CLOSING: AttemptState
ATTEMPT_STATE_SUCCEEDED: AttemptState
ATTEMPT_STATE_FAILED: AttemptState
ATTEMPT_STATE_CLOSED: AttemptState
ATTEMPT_STATE_RETURNING: AttemptState
ATTEMPT_STATE_RETURNED: AttemptState
ATTEMPT_STATE_SUSPENDED: AttemptState
REFUND_STATE_UNSPECIFIED: RefundState
REFUND_STATE_PROCESSING: RefundState
REFUND_STATE_SUCCEEDED: RefundState
REFUND_STATE_FAILED: RefundState
REFUND_STATE_RETURNED: RefundState

class Attempt(_message.Message):
    __slots__ = ("payment_id", "state", "tools", "create_time", "failure_reason")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    state: AttemptState
    tools: _containers.RepeatedCompositeFieldContainer[_tool_pb2.PaymentTool]
    create_time: _timestamp_pb2.Timestamp
    failure_reason: str
    def __init__(self, payment_id: _Optional[str] = ..., state: _Optional[_Union[AttemptState, str]] = ..., tools: _Optional[_Iterable[_Union[_tool_pb2.PaymentTool, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure_reason: _Optional[str] = ...) -> None: ...

class Trade(_message.Message):
    __slots__ = ("trade_id", "business_id", "merchant_id", "order_type", "sub_type", "pay_org_no", "merchant_order_no", "type", "state", "amount", "subject", "payer_id", "expire_time", "create_time", "pay_time", "close_time", "paid_payment_id", "attempts", "version", "payee_id", "beneficiary_id", "refunded_amount", "refunding_amount", "refunds")
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUB_TYPE_FIELD_NUMBER: _ClassVar[int]
    PAY_ORG_NO_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PAYER_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PAY_TIME_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_FIELD_NUMBER: _ClassVar[int]
    PAID_PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PAYEE_ID_FIELD_NUMBER: _ClassVar[int]
    BENEFICIARY_ID_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REFUNDING_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    trade_id: str
    business_id: str
    merchant_id: str
    order_type: str
    sub_type: str
    pay_org_no: str
    merchant_order_no: str
    type: TradeType
    state: TradeState
    amount: _money_pb2.Money
    subject: str
    payer_id: str
    expire_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    pay_time: _timestamp_pb2.Timestamp
    close_time: _timestamp_pb2.Timestamp
    paid_payment_id: str
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    version: int
    payee_id: str
    beneficiary_id: str
    refunded_amount: _money_pb2.Money
    refunding_amount: _money_pb2.Money
    refunds: _containers.RepeatedCompositeFieldContainer[Refund]
    def __init__(self, trade_id: _Optional[str] = ..., business_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., order_type: _Optional[str] = ..., sub_type: _Optional[str] = ..., pay_org_no: _Optional[str] = ..., merchant_order_no: _Optional[str] = ..., type: _Optional[_Union[TradeType, str]] = ..., state: _Optional[_Union[TradeState, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., subject: _Optional[str] = ..., payer_id: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pay_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., close_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paid_payment_id: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., version: _Optional[int] = ..., payee_id: _Optional[str] = ..., beneficiary_id: _Optional[str] = ..., refunded_amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., refunding_amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., refunds: _Optional[_Iterable[_Union[Refund, _Mapping]]] = ...) -> None: ...

class Refund(_message.Message):
    __slots__ = ("refund_id", "business_id", "payment_id", "state", "amount", "tools", "reason", "failure_reason", "create_time", "end_time", "returned_amount")
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    RETURNED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    refund_id: str
    business_id: str
    payment_id: str
    state: RefundState
    amount: _money_pb2.Money
    tools: _containers.RepeatedCompositeFieldContainer[_tool_pb2.PaymentTool]
    reason: str
    failure_reason: str
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    returned_amount: _money_pb2.Money
    def __init__(self, refund_id: _Optional[str] = ..., business_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., state: _Optional[_Union[RefundState, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[_tool_pb2.PaymentTool, _Mapping]]] = ..., reason: _Optional[str] = ..., failure_reason: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., returned_amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...
