import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BeneficiaryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BENEFICIARY_STATE_UNSPECIFIED: _ClassVar[BeneficiaryState]
    BENEFICIARY_STATE_ACTIVE: _ClassVar[BeneficiaryState]
    BENEFICIARY_STATE_DELETED: _ClassVar[BeneficiaryState]
BENEFICIARY_STATE_UNSPECIFIED: BeneficiaryState
BENEFICIARY_STATE_ACTIVE: BeneficiaryState
BENEFICIARY_STATE_DELETED: BeneficiaryState

class Beneficiary(_message.Message):
    __slots__ = ("beneficiary_id", "owner_id", "channel", "masked_account_no", "account_name", "state", "usable_time", "create_time", "version", "merchant_id")
    BENEFICIARY_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    MASKED_ACCOUNT_NO_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    USABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    beneficiary_id: str
    owner_id: str
    channel: str
    masked_account_no: str
    account_name: str
    state: BeneficiaryState
    usable_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    version: int
    merchant_id: str
    def __init__(self, beneficiary_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., channel: _Optional[str] = ..., masked_account_no: _Optional[str] = ..., account_name: _Optional[str] = ..., state: _Optional[_Union[BeneficiaryState, str]] = ..., usable_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., merchant_id: _Optional[str] = ...) -> None: ...
