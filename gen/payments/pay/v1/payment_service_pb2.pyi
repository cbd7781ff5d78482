import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from payments.pay.v1 import payment_pb2 as _payment_pb2
from payments.type.v1 import context_pb2 as _context_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from payments.type.v1 import tool_pb2 as _tool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreatePaymentRequest(_message.Message):
    __slots__ = ("request_id", "payment_id", "trade_id", "purpose", "amount", "tools", "expire_time", "subject", "payer_id", "beneficiary_id", "original_payment_id", "payee_id", "beneficiary_owner_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PAYER_ID_FIELD_NUMBER: _ClassVar[int]
    BENEFICIARY_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PAYEE_ID_FIELD_NUMBER: _ClassVar[int]
    BENEFICIARY_OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    payment_id: str
    trade_id: str
    purpose: _payment_pb2.PaymentPurpose
    amount: _money_pb2.Money
    tools: _containers.RepeatedCompositeFieldContainer[_tool_pb2.PaymentTool]
    expire_time: _timestamp_pb2.Timestamp
    subject: str
    payer_id: str
    beneficiary_id: str
    original_payment_id: str
    payee_id: str
    beneficiary_owner_id: str
    def __init__(self, request_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., trade_id: _Optional[str] = ..., purpose: _Optional[_Union[_payment_pb2.PaymentPurpose, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[_tool_pb2.PaymentTool, _Mapping]]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subject: _Optional[str] = ..., payer_id: _Optional[str] = ..., beneficiary_id: _Optional[str] = ..., original_payment_id: _Optional[str] = ..., payee_id: _Optional[str] = ..., beneficiary_owner_id: _Optional[str] = ...) -> None: ...

class CreatePaymentResponse(_message.Message):
    __slots__ = ("payment", "credential_id")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    payment: _payment_pb2.Payment
    credential_id: str
    def __init__(self, payment: _Optional[_Union[_payment_pb2.Payment, _Mapping]] = ..., credential_id: _Optional[str] = ...) -> None: ...

class BatchCreatePaymentsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchCreatePaymentsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchCreatePaymentsItem, _Mapping]]] = ...) -> None: ...

class BatchCreatePaymentsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: CreatePaymentRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[CreatePaymentRequest, _Mapping]] = ...) -> None: ...

class BatchCreatePaymentsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchCreatePaymentsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchCreatePaymentsResult, _Mapping]]] = ...) -> None: ...

class BatchCreatePaymentsResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: CreatePaymentResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[CreatePaymentResponse, _Mapping]] = ...) -> None: ...

class CancelPaymentRequest(_message.Message):
    __slots__ = ("request_id", "payment_id", "reason", "return_if_succeeded")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETURN_IF_SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    payment_id: str
    reason: str
    return_if_succeeded: bool
    def __init__(self, request_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., reason: _Optional[str] = ..., return_if_succeeded: _Optional[bool] = ...) -> None: ...

class CancelPaymentResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: _payment_pb2.Payment
    def __init__(self, payment: _Optional[_Union[_payment_pb2.Payment, _Mapping]] = ...) -> None: ...

class BatchCancelPaymentsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchCancelPaymentsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchCancelPaymentsItem, _Mapping]]] = ...) -> None: ...

class BatchCancelPaymentsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: CancelPaymentRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[CancelPaymentRequest, _Mapping]] = ...) -> None: ...

class BatchCancelPaymentsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchCancelPaymentsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchCancelPaymentsResult, _Mapping]]] = ...) -> None: ...

class BatchCancelPaymentsResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: CancelPaymentResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[CancelPaymentResponse, _Mapping]] = ...) -> None: ...

class GetPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "merchant_id")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    merchant_id: str
    def __init__(self, payment_id: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class GetPaymentResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: _payment_pb2.Payment
    def __init__(self, payment: _Optional[_Union[_payment_pb2.Payment, _Mapping]] = ...) -> None: ...

class BatchGetPaymentsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchGetPaymentsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchGetPaymentsItem, _Mapping]]] = ...) -> None: ...

class BatchGetPaymentsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: GetPaymentRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[GetPaymentRequest, _Mapping]] = ...) -> None: ...

class BatchGetPaymentsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchGetPaymentsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchGetPaymentsResult, _Mapping]]] = ...) -> None: ...

class BatchGetPaymentsResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: GetPaymentResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[GetPaymentResponse, _Mapping]] = ...) -> None: ...
