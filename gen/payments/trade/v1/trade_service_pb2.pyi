import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from payments.trade.v1 import trade_pb2 as _trade_pb2
from payments.type.v1 import context_pb2 as _context_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from payments.type.v1 import tool_pb2 as _tool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateTradeRequest(_message.Message):
    __slots__ = ("request_id", "merchant_id", "order_type", "sub_type", "pay_org_no", "merchant_order_no", "type", "amount", "subject", "payer_id", "expire_time", "payee_id", "beneficiary_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUB_TYPE_FIELD_NUMBER: _ClassVar[int]
    PAY_ORG_NO_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PAYER_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    PAYEE_ID_FIELD_NUMBER: _ClassVar[int]
    BENEFICIARY_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    merchant_id: str
    order_type: str
    sub_type: str
    pay_org_no: str
    merchant_order_no: str
    type: _trade_pb2.TradeType
    amount: _money_pb2.Money
    subject: str
    payer_id: str
    expire_time: _timestamp_pb2.Timestamp
    payee_id: str
    beneficiary_id: str
    def __init__(self, request_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., order_type: _Optional[str] = ..., sub_type: _Optional[str] = ..., pay_org_no: _Optional[str] = ..., merchant_order_no: _Optional[str] = ..., type: _Optional[_Union[_trade_pb2.TradeType, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., subject: _Optional[str] = ..., payer_id: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., payee_id: _Optional[str] = ..., beneficiary_id: _Optional[str] = ...) -> None: ...

class CreateTradeResponse(_message.Message):
    __slots__ = ("trade",)
    TRADE_FIELD_NUMBER: _ClassVar[int]
    trade: _trade_pb2.Trade
    def __init__(self, trade: _Optional[_Union[_trade_pb2.Trade, _Mapping]] = ...) -> None: ...

class BatchCreateTradesRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchCreateTradesItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchCreateTradesItem, _Mapping]]] = ...) -> None: ...

class BatchCreateTradesItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: CreateTradeRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[CreateTradeRequest, _Mapping]] = ...) -> None: ...

class BatchCreateTradesResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchCreateTradesResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchCreateTradesResult, _Mapping]]] = ...) -> None: ...

class BatchCreateTradesResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: CreateTradeResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[CreateTradeResponse, _Mapping]] = ...) -> None: ...

class PayTradeRequest(_message.Message):
    __slots__ = ("request_id", "trade_id", "tools", "merchant_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    trade_id: str
    tools: _containers.RepeatedCompositeFieldContainer[_tool_pb2.PaymentTool]
    merchant_id: str
    def __init__(self, request_id: _Optional[str] = ..., trade_id: _Optional[str] = ..., tools: _Optional[_Iterable[_Union[_tool_pb2.PaymentTool, _Mapping]]] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class PayTradeResponse(_message.Message):
    __slots__ = ("trade", "payment_id", "credential_id")
    TRADE_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    trade: _trade_pb2.Trade
    payment_id: str
    credential_id: str
    def __init__(self, trade: _Optional[_Union[_trade_pb2.Trade, _Mapping]] = ..., payment_id: _Optional[str] = ..., credential_id: _Optional[str] = ...) -> None: ...

class BatchPayTradesRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchPayTradesItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchPayTradesItem, _Mapping]]] = ...) -> None: ...

class BatchPayTradesItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: PayTradeRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[PayTradeRequest, _Mapping]] = ...) -> None: ...

class BatchPayTradesResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchPayTradesResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchPayTradesResult, _Mapping]]] = ...) -> None: ...

class BatchPayTradesResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: PayTradeResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[PayTradeResponse, _Mapping]] = ...) -> None: ...

class CloseTradeRequest(_message.Message):
    __slots__ = ("request_id", "trade_id", "merchant_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    trade_id: str
    merchant_id: str
    def __init__(self, request_id: _Optional[str] = ..., trade_id: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class CloseTradeResponse(_message.Message):
    __slots__ = ("trade",)
    TRADE_FIELD_NUMBER: _ClassVar[int]
    trade: _trade_pb2.Trade
    def __init__(self, trade: _Optional[_Union[_trade_pb2.Trade, _Mapping]] = ...) -> None: ...

class GetTradeRequest(_message.Message):
    __slots__ = ("trade_id", "merchant_id")
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    trade_id: str
    merchant_id: str
    def __init__(self, trade_id: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class GetTradeResponse(_message.Message):
    __slots__ = ("trade",)
    TRADE_FIELD_NUMBER: _ClassVar[int]
    trade: _trade_pb2.Trade
    def __init__(self, trade: _Optional[_Union[_trade_pb2.Trade, _Mapping]] = ...) -> None: ...

class RefundTradeRequest(_message.Message):
    __slots__ = ("request_id", "trade_id", "amount", "reason", "merchant_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    trade_id: str
    amount: _money_pb2.Money
    reason: str
    merchant_id: str
    def __init__(self, request_id: _Optional[str] = ..., trade_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., reason: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class RefundTradeResponse(_message.Message):
    __slots__ = ("trade", "refund")
    TRADE_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    trade: _trade_pb2.Trade
    refund: _trade_pb2.Refund
    def __init__(self, trade: _Optional[_Union[_trade_pb2.Trade, _Mapping]] = ..., refund: _Optional[_Union[_trade_pb2.Refund, _Mapping]] = ...) -> None: ...
