from buf.validate import validate_pb2 as _validate_pb2
from payments.pay.v1 import beneficiary_pb2 as _beneficiary_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateBeneficiaryRequest(_message.Message):
    __slots__ = ("request_id", "owner_id", "channel", "account_no", "account_name", "merchant_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_NO_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_NAME_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    owner_id: str
    channel: str
    account_no: str
    account_name: str
    merchant_id: str
    def __init__(self, request_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., channel: _Optional[str] = ..., account_no: _Optional[str] = ..., account_name: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class CreateBeneficiaryResponse(_message.Message):
    __slots__ = ("beneficiary",)
    BENEFICIARY_FIELD_NUMBER: _ClassVar[int]
    beneficiary: _beneficiary_pb2.Beneficiary
    def __init__(self, beneficiary: _Optional[_Union[_beneficiary_pb2.Beneficiary, _Mapping]] = ...) -> None: ...

class GetBeneficiaryRequest(_message.Message):
    __slots__ = ("beneficiary_id", "merchant_id")
    BENEFICIARY_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    beneficiary_id: str
    merchant_id: str
    def __init__(self, beneficiary_id: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class GetBeneficiaryResponse(_message.Message):
    __slots__ = ("beneficiary",)
    BENEFICIARY_FIELD_NUMBER: _ClassVar[int]
    beneficiary: _beneficiary_pb2.Beneficiary
    def __init__(self, beneficiary: _Optional[_Union[_beneficiary_pb2.Beneficiary, _Mapping]] = ...) -> None: ...

class ListBeneficiariesRequest(_message.Message):
    __slots__ = ("owner_id", "page_size", "page_token", "merchant_id")
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    owner_id: str
    page_size: int
    page_token: str
    merchant_id: str
    def __init__(self, owner_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class ListBeneficiariesResponse(_message.Message):
    __slots__ = ("beneficiaries", "next_page_token")
    BENEFICIARIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    beneficiaries: _containers.RepeatedCompositeFieldContainer[_beneficiary_pb2.Beneficiary]
    next_page_token: str
    def __init__(self, beneficiaries: _Optional[_Iterable[_Union[_beneficiary_pb2.Beneficiary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteBeneficiaryRequest(_message.Message):
    __slots__ = ("request_id", "beneficiary_id", "merchant_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    BENEFICIARY_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    beneficiary_id: str
    merchant_id: str
    def __init__(self, request_id: _Optional[str] = ..., beneficiary_id: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class DeleteBeneficiaryResponse(_message.Message):
    __slots__ = ("beneficiary",)
    BENEFICIARY_FIELD_NUMBER: _ClassVar[int]
    beneficiary: _beneficiary_pb2.Beneficiary
    def __init__(self, beneficiary: _Optional[_Union[_beneficiary_pb2.Beneficiary, _Mapping]] = ...) -> None: ...
