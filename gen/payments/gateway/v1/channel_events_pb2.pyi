from payments.gateway.v1 import channel_pb2 as _channel_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChannelResult(_message.Message):
    __slots__ = ("channel_order",)
    CHANNEL_ORDER_FIELD_NUMBER: _ClassVar[int]
    channel_order: _channel_pb2.ChannelOrder
    def __init__(self, channel_order: _Optional[_Union[_channel_pb2.ChannelOrder, _Mapping]] = ...) -> None: ...
