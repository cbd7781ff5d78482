from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class AccountRef(_message.Message):
    __slots__ = ("subject", "owner")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    subject: str
    owner: str
    def __init__(self, subject: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...
