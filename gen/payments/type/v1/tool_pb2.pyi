from buf.validate import validate_pb2 as _validate_pb2
from payments.type.v1 import money_pb2 as _money_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PaymentTool(_message.Message):
    __slots__ = ("amount", "channel", "balance")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    amount: _money_pb2.Money
    channel: ChannelTool
    balance: BalanceTool
    def __init__(self, amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., channel: _Optional[_Union[ChannelTool, _Mapping]] = ..., balance: _Optional[_Union[BalanceTool, _Mapping]] = ...) -> None: ...

class ChannelTool(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: _Optional[str] = ...) -> None: ...

class BalanceTool(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
