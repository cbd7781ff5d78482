"""Why the trade core refuses: each with its status and reason."""

from __future__ import annotations

from paymesh.errors import Code, PaymentError


class TradeTypeNotOffered(PaymentError):
    code, reason, decided = Code.FAILED_PRECONDITION, "TRADE_TYPE_NOT_OFFERED", False


class BusinessCodeNotRegistered(PaymentError):
    """Not stored: the same request succeeds once the code is registered."""

    code, reason, decided = Code.FAILED_PRECONDITION, "BUSINESS_CODE_NOT_REGISTERED", False


class BeneficiaryNotUsable(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "BENEFICIARY_NOT_USABLE"


class MerchantShut(PaymentError):
    """Not stored: the same request succeeds once its account is open again."""

    code, reason, decided = Code.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN", False


class OrderExists(PaymentError):
    code, reason = Code.ALREADY_EXISTS, "ORDER_EXISTS"


class TradeExpired(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "TRADE_EXPIRED"


class ToolsNotOffered(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "TOOLS_NOT_OFFERED"


class NotRefundable(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "NOT_REFUNDABLE"


class RefundExceeds(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "REFUND_EXCEEDS"
