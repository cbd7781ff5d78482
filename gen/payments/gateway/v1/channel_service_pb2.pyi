import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from payments.gateway.v1 import channel_pb2 as _channel_pb2
from payments.type.v1 import context_pb2 as _context_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PrepayRequest(_message.Message):
    __slots__ = ("request_id", "request_no", "channel", "amount", "subject", "expire_time", "reference")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    request_no: str
    channel: str
    amount: _money_pb2.Money
    subject: str
    expire_time: _timestamp_pb2.Timestamp
    reference: str
    def __init__(self, request_id: _Optional[str] = ..., request_no: _Optional[str] = ..., channel: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., subject: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reference: _Optional[str] = ...) -> None: ...

class PrepayResponse(_message.Message):
    __slots__ = ("credential", "channel_order")
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ORDER_FIELD_NUMBER: _ClassVar[int]
    credential: _channel_pb2.Credential
    channel_order: _channel_pb2.ChannelOrder
    def __init__(self, credential: _Optional[_Union[_channel_pb2.Credential, _Mapping]] = ..., channel_order: _Optional[_Union[_channel_pb2.ChannelOrder, _Mapping]] = ...) -> None: ...

class BatchPrepayRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchPrepayItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchPrepayItem, _Mapping]]] = ...) -> None: ...

class BatchPrepayItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: PrepayRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[PrepayRequest, _Mapping]] = ...) -> None: ...

class BatchPrepayResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchPrepayResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchPrepayResult, _Mapping]]] = ...) -> None: ...

class BatchPrepayResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: PrepayResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[PrepayResponse, _Mapping]] = ...) -> None: ...

class CloseChannelOrderRequest(_message.Message):
    __slots__ = ("request_id", "request_no")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    request_no: str
    def __init__(self, request_id: _Optional[str] = ..., request_no: _Optional[str] = ...) -> None: ...

class CloseChannelOrderResponse(_message.Message):
    __slots__ = ("channel_order",)
    CHANNEL_ORDER_FIELD_NUMBER: _ClassVar[int]
    channel_order: _channel_pb2.ChannelOrder
    def __init__(self, channel_order: _Optional[_Union[_channel_pb2.ChannelOrder, _Mapping]] = ...) -> None: ...

class BatchCloseChannelOrdersRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchCloseChannelOrdersItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchCloseChannelOrdersItem, _Mapping]]] = ...) -> None: ...

class BatchCloseChannelOrdersItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: CloseChannelOrderRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[CloseChannelOrderRequest, _Mapping]] = ...) -> None: ...

class BatchCloseChannelOrdersResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchCloseChannelOrdersResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchCloseChannelOrdersResult, _Mapping]]] = ...) -> None: ...

class BatchCloseChannelOrdersResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: CloseChannelOrderResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[CloseChannelOrderResponse, _Mapping]] = ...) -> None: ...

class RefundChannelOrderRequest(_message.Message):
    __slots__ = ("request_id", "request_no", "original_request_no", "amount", "reference")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    request_no: str
    original_request_no: str
    amount: _money_pb2.Money
    reference: str
    def __init__(self, request_id: _Optional[str] = ..., request_no: _Optional[str] = ..., original_request_no: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., reference: _Optional[str] = ...) -> None: ...

class RefundChannelOrderResponse(_message.Message):
    __slots__ = ("channel_order",)
    CHANNEL_ORDER_FIELD_NUMBER: _ClassVar[int]
    channel_order: _channel_pb2.ChannelOrder
    def __init__(self, channel_order: _Optional[_Union[_channel_pb2.ChannelOrder, _Mapping]] = ...) -> None: ...

class BatchRefundChannelOrdersRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchRefundChannelOrdersItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchRefundChannelOrdersItem, _Mapping]]] = ...) -> None: ...

class BatchRefundChannelOrdersItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: RefundChannelOrderRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[RefundChannelOrderRequest, _Mapping]] = ...) -> None: ...

class BatchRefundChannelOrdersResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchRefundChannelOrdersResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchRefundChannelOrdersResult, _Mapping]]] = ...) -> None: ...

class BatchRefundChannelOrdersResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: RefundChannelOrderResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[RefundChannelOrderResponse, _Mapping]] = ...) -> None: ...

class PayoutRequest(_message.Message):
    __slots__ = ("request_id", "request_no", "channel", "amount", "payee", "reference")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PAYEE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    request_no: str
    channel: str
    amount: _money_pb2.Money
    payee: Payee
    reference: str
    def __init__(self, request_id: _Optional[str] = ..., request_no: _Optional[str] = ..., channel: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., payee: _Optional[_Union[Payee, _Mapping]] = ..., reference: _Optional[str] = ...) -> None: ...

class Payee(_message.Message):
    __slots__ = ("account_no", "account_name")
    ACCOUNT_NO_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_NAME_FIELD_NUMBER: _ClassVar[int]
    account_no: str
    account_name: str
    def __init__(self, account_no: _Optional[str] = ..., account_name: _Optional[str] = ...) -> None: ...

class PayoutResponse(_message.Message):
    __slots__ = ("channel_order",)
    CHANNEL_ORDER_FIELD_NUMBER: _ClassVar[int]
    channel_order: _channel_pb2.ChannelOrder
    def __init__(self, channel_order: _Optional[_Union[_channel_pb2.ChannelOrder, _Mapping]] = ...) -> None: ...

class BatchPayoutsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchPayoutsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchPayoutsItem, _Mapping]]] = ...) -> None: ...

class BatchPayoutsItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: PayoutRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[PayoutRequest, _Mapping]] = ...) -> None: ...

class BatchPayoutsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchPayoutsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchPayoutsResult, _Mapping]]] = ...) -> None: ...

class BatchPayoutsResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: PayoutResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[PayoutResponse, _Mapping]] = ...) -> None: ...

class GetChannelOrderRequest(_message.Message):
    __slots__ = ("request_no",)
    REQUEST_NO_FIELD_NUMBER: _ClassVar[int]
    request_no: str
    def __init__(self, request_no: _Optional[str] = ...) -> None: ...

class GetChannelOrderResponse(_message.Message):
    __slots__ = ("channel_order",)
    CHANNEL_ORDER_FIELD_NUMBER: _ClassVar[int]
    channel_order: _channel_pb2.ChannelOrder
    def __init__(self, channel_order: _Optional[_Union[_channel_pb2.ChannelOrder, _Mapping]] = ...) -> None: ...

class BatchGetChannelOrdersRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchGetChannelOrdersItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BatchGetChannelOrdersItem, _Mapping]]] = ...) -> None: ...

class BatchGetChannelOrdersItem(_message.Message):
    __slots__ = ("call_context", "request")
    CALL_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    call_context: _context_pb2.CallContext
    request: GetChannelOrderRequest
    def __init__(self, call_context: _Optional[_Union[_context_pb2.CallContext, _Mapping]] = ..., request: _Optional[_Union[GetChannelOrderRequest, _Mapping]] = ...) -> None: ...

class BatchGetChannelOrdersResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchGetChannelOrdersResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchGetChannelOrdersResult, _Mapping]]] = ...) -> None: ...

class BatchGetChannelOrdersResult(_message.Message):
    __slots__ = ("error", "response")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    response: GetChannelOrderResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[GetChannelOrderResponse, _Mapping]] = ...) -> None: ...

class GetCredentialRequest(_message.Message):
    __slots__ = ("credential_id",)
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    credential_id: str
    def __init__(self, credential_id: _Optional[str] = ...) -> None: ...

class GetCredentialResponse(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: _channel_pb2.Credential
    def __init__(self, credential: _Optional[_Union[_channel_pb2.Credential, _Mapping]] = ...) -> None: ...

class WatchCredentialRequest(_message.Message):
    __slots__ = ("credential_id",)
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    credential_id: str
    def __init__(self, credential_id: _Optional[str] = ...) -> None: ...

class WatchCredentialResponse(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: _channel_pb2.Credential
    def __init__(self, credential: _Optional[_Union[_channel_pb2.Credential, _Mapping]] = ...) -> None: ...
