from buf.validate import validate_pb2 as _validate_pb2
from payments.trade.v1 import merchant_pb2 as _merchant_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateMerchantRequest(_message.Message):
    __slots__ = ("request_id", "display_name", "notify_url", "notify_secret", "wallet_scope")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_URL_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_SECRET_FIELD_NUMBER: _ClassVar[int]
    WALLET_SCOPE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    display_name: str
    notify_url: str
    notify_secret: bytes
    wallet_scope: str
    def __init__(self, request_id: _Optional[str] = ..., display_name: _Optional[str] = ..., notify_url: _Optional[str] = ..., notify_secret: _Optional[bytes] = ..., wallet_scope: _Optional[str] = ...) -> None: ...

class CreateMerchantResponse(_message.Message):
    __slots__ = ("merchant",)
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    merchant: _merchant_pb2.Merchant
    def __init__(self, merchant: _Optional[_Union[_merchant_pb2.Merchant, _Mapping]] = ...) -> None: ...

class GetMerchantRequest(_message.Message):
    __slots__ = ("merchant_id",)
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    def __init__(self, merchant_id: _Optional[str] = ...) -> None: ...

class GetMerchantResponse(_message.Message):
    __slots__ = ("merchant",)
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    merchant: _merchant_pb2.Merchant
    def __init__(self, merchant: _Optional[_Union[_merchant_pb2.Merchant, _Mapping]] = ...) -> None: ...

class UpdateMerchantRequest(_message.Message):
    __slots__ = ("request_id", "merchant_id", "display_name", "notify_url")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_URL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    merchant_id: str
    display_name: str
    notify_url: str
    def __init__(self, request_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., display_name: _Optional[str] = ..., notify_url: _Optional[str] = ...) -> None: ...

class UpdateMerchantResponse(_message.Message):
    __slots__ = ("merchant",)
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    merchant: _merchant_pb2.Merchant
    def __init__(self, merchant: _Optional[_Union[_merchant_pb2.Merchant, _Mapping]] = ...) -> None: ...

class RotateSecretRequest(_message.Message):
    __slots__ = ("request_id", "merchant_id", "notify_secret")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_SECRET_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    merchant_id: str
    notify_secret: bytes
    def __init__(self, request_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., notify_secret: _Optional[bytes] = ...) -> None: ...

class RotateSecretResponse(_message.Message):
    __slots__ = ("merchant",)
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    merchant: _merchant_pb2.Merchant
    def __init__(self, merchant: _Optional[_Union[_merchant_pb2.Merchant, _Mapping]] = ...) -> None: ...

class RegisterBusinessCodeRequest(_message.Message):
    __slots__ = ("request_id", "merchant_id", "order_type", "sub_type", "pay_org_no", "description")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUB_TYPE_FIELD_NUMBER: _ClassVar[int]
    PAY_ORG_NO_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    merchant_id: str
    order_type: str
    sub_type: str
    pay_org_no: str
    description: str
    def __init__(self, request_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., order_type: _Optional[str] = ..., sub_type: _Optional[str] = ..., pay_org_no: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class RegisterBusinessCodeResponse(_message.Message):
    __slots__ = ("business_code",)
    BUSINESS_CODE_FIELD_NUMBER: _ClassVar[int]
    business_code: _merchant_pb2.BusinessCode
    def __init__(self, business_code: _Optional[_Union[_merchant_pb2.BusinessCode, _Mapping]] = ...) -> None: ...

class ListBusinessCodesRequest(_message.Message):
    __slots__ = ("merchant_id", "page_size", "page_token")
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    page_size: int
    page_token: str
    def __init__(self, merchant_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBusinessCodesResponse(_message.Message):
    __slots__ = ("business_codes", "next_page_token")
    BUSINESS_CODES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    business_codes: _containers.RepeatedCompositeFieldContainer[_merchant_pb2.BusinessCode]
    next_page_token: str
    def __init__(self, business_codes: _Optional[_Iterable[_Union[_merchant_pb2.BusinessCode, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
