from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_FIELD: _ClassVar[ErrorReason]
    ERROR_REASON_REQUEST_ID_REUSED: _ClassVar[ErrorReason]
    ERROR_REASON_CONTEXT_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_ILLEGAL_MOVE: _ClassVar[ErrorReason]
    ERROR_REASON_ORDER_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_CURRENCY_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_AMOUNT_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_TRADE_EXPIRED: _ClassVar[ErrorReason]
    ERROR_REASON_TRADE_TYPE_NOT_OFFERED: _ClassVar[ErrorReason]
    ERROR_REASON_CHANNEL_NOT_OFFERED: _ClassVar[ErrorReason]
    ERROR_REASON_OVERLOADED: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE_PASSED: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_ACCOUNT_NOT_OPEN: _ClassVar[ErrorReason]
    ERROR_REASON_INSUFFICIENT_FUNDS: _ClassVar[ErrorReason]
    ERROR_REASON_UNBALANCED: _ClassVar[ErrorReason]
    ERROR_REASON_JOURNAL_KEY_REUSED: _ClassVar[ErrorReason]
    ERROR_REASON_TRAFFIC_MIXED: _ClassVar[ErrorReason]
    ERROR_REASON_MERCHANT_NOT_ACTIVE: _ClassVar[ErrorReason]
    ERROR_REASON_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_MESSAGE_TOO_LARGE: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_INVALID_FIELD: ErrorReason
ERROR_REASON_REQUEST_ID_REUSED: ErrorReason
ERROR_REASON_CONTEXT_MISSING: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_ILLEGAL_MOVE: ErrorReason
ERROR_REASON_ORDER_EXISTS: ErrorReason
ERROR_REASON_CURRENCY_MISMATCH: ErrorReason
ERROR_REASON_AMOUNT_MISMATCH: ErrorReason
ERROR_REASON_TRADE_EXPIRED: ErrorReason
ERROR_REASON_TRADE_TYPE_NOT_OFFERED: ErrorReason
ERROR_REASON_CHANNEL_NOT_OFFERED: ErrorReason
ERROR_REASON_OVERLOADED: ErrorReason
ERROR_REASON_DEADLINE_PASSED: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_ACCOUNT_NOT_OPEN: ErrorReason
ERROR_REASON_INSUFFICIENT_FUNDS: ErrorReason
ERROR_REASON_UNBALANCED: ErrorReason
ERROR_REASON_JOURNAL_KEY_REUSED: ErrorReason
ERROR_REASON_TRAFFIC_MIXED: ErrorReason
ERROR_REASON_MERCHANT_NOT_ACTIVE: ErrorReason
ERROR_REASON_UNAVAILABLE: ErrorReason
ERROR_REASON_MESSAGE_TOO_LARGE: ErrorReason
