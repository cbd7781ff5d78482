import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from payments.trade.v1 import trade_pb2 as _trade_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TradePaid(_message.Message):
    __slots__ = ("trade_id", "merchant_id", "merchant_order_no", "product_code", "payment_id", "amount", "pay_time", "payer_id", "payee_id")
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PAY_TIME_FIELD_NUMBER: _ClassVar[int]
    PAYER_ID_FIELD_NUMBER: _ClassVar[int]
    PAYEE_ID_FIELD_NUMBER: _ClassVar[int]
    trade_id: str
    merchant_id: str
    merchant_order_no: str
    product_code: str
    payment_id: str
    amount: _money_pb2.Money
    pay_time: _timestamp_pb2.Timestamp
    payer_id: str
    payee_id: str
    def __init__(self, trade_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., merchant_order_no: _Optional[str] = ..., product_code: _Optional[str] = ..., payment_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., pay_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., payer_id: _Optional[str] = ..., payee_id: _Optional[str] = ...) -> None: ...

class TradeClosed(_message.Message):
    __slots__ = ("trade_id", "merchant_id", "merchant_order_no", "reason", "close_time")
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_FIELD_NUMBER: _ClassVar[int]
    trade_id: str
    merchant_id: str
    merchant_order_no: str
    reason: str
    close_time: _timestamp_pb2.Timestamp
    def __init__(self, trade_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., merchant_order_no: _Optional[str] = ..., reason: _Optional[str] = ..., close_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TradeRefundEnded(_message.Message):
    __slots__ = ("trade_id", "merchant_id", "merchant_order_no", "refund", "refunded_amount")
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    trade_id: str
    merchant_id: str
    merchant_order_no: str
    refund: _trade_pb2.Refund
    refunded_amount: _money_pb2.Money
    def __init__(self, trade_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., merchant_order_no: _Optional[str] = ..., refund: _Optional[_Union[_trade_pb2.Refund, _Mapping]] = ..., refunded_amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class TradeReturned(_message.Message):
    __slots__ = ("trade_id", "merchant_id", "merchant_order_no", "payment_id", "amount")
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    trade_id: str
    merchant_id: str
    merchant_order_no: str
    payment_id: str
    amount: _money_pb2.Money
    def __init__(self, trade_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., merchant_order_no: _Optional[str] = ..., payment_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...
