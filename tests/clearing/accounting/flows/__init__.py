"""Every flow of money with what can happen to it, as worked examples.

docs/ACCOUNTING.md is made of them, and the tests run each.
"""

from tests.clearing.accounting.flows import purchases, refunds, wallets
from tests.clearing.accounting.flows.steps import Flow

FLOWS: tuple[Flow, ...] = (
    purchases.CHANNEL,
    purchases.BALANCE,
    purchases.BOTH,
    wallets.TOP_UP,
    wallets.TRANSFER,
    wallets.WITHDRAWAL,
    refunds.FLOW,
)
