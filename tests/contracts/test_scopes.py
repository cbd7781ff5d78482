"""Whose RPC each one is: a new one must say so, and a merchant's names its merchant."""

from __future__ import annotations

import pytest
from payments.clearing.v1 import books_service_pb2, ledger_service_pb2
from payments.gateway.v1 import channel_service_pb2
from payments.pay.v1 import beneficiary_service_pb2, payment_service_pb2
from payments.trade.v1 import merchant_service_pb2, trade_service_pb2

MODULES = (
    merchant_service_pb2, trade_service_pb2, beneficiary_service_pb2, payment_service_pb2,
    channel_service_pb2, ledger_service_pb2, books_service_pb2,
)  # fmt: skip
RPCS = {
    f"{service.name}.{method.name}": method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

MERCHANTS = {
    "MerchantService": "GetMerchant UpdateMerchant RotateSecret RegisterBusinessCode "
    "ListBusinessCodes",
    "TradeService": "CreateTrade BatchCreateTrades PayTrade BatchPayTrades CloseTrade RefundTrade "
    "GetTrade",
}
"""Each names the merchant for whom it is asked; what is another's is NOT_FOUND."""
PAYERS = {
    "BeneficiaryService": "CreateBeneficiary GetBeneficiary ListBeneficiaries DeleteBeneficiary",
    "ChannelService": "GetCredential WatchCredential",
}
"""Asked for a payer, or by his device: who knows the id, asks."""
MESH = {
    "PaymentService": "CreatePayment BatchCreatePayments CancelPayment BatchCancelPayments "
    "GetPayment BatchGetPayments",
    "ChannelService": "Prepay BatchPrepay CloseChannelOrder BatchCloseChannelOrders "
    "RefundChannelOrder BatchRefundChannelOrders Payout BatchPayouts GetChannelOrder "
    "BatchGetChannelOrders",
    "LedgerService": "PlaceHold BatchPlaceHolds ReleaseHold BatchReleaseHolds GetHold PostHold "
    "BookEvent BatchBookEvents",
}
"""Asked by our own services only."""
OPERATORS = {
    "MerchantService": "CreateMerchant",
    "LedgerService": "PostJournals PostSplitJournal GetSplitJournal ReverseJournal CreateAccount "
    "GetAccount SetAccountStatus SetAccountMode GetBalance ListEntries ListJournals",
    "BooksService": "CloseDay ListDays GetTrialBalance WatchEntries",
}
"""Of who runs the mesh, and of his other systems."""


def named(scope: dict[str, str]) -> list[str]:
    return [f"{service}.{name}" for service, names in scope.items() for name in names.split()]


def test_every_rpc_is_of_one_scope() -> None:
    scoped = [rpc for scope in (MERCHANTS, PAYERS, MESH, OPERATORS) for rpc in named(scope)]
    assert sorted(scoped) == sorted(RPCS)


@pytest.mark.parametrize("rpc", named(MERCHANTS))
def test_a_merchants_rpc_names_its_merchant(rpc: str) -> None:
    asked = RPCS[rpc].input_type
    if "items" in asked.fields_by_name:
        item = asked.fields_by_name["items"].message_type
        asked = item.fields_by_name["request"].message_type
    assert "merchant_id" in asked.fields_by_name
