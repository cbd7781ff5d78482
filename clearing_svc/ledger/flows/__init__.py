"""Every flow of money with what can happen to it, as worked examples.

docs/ACCOUNTING.md is made of them, and the tests run each.
"""

from clearing_svc.ledger.flows import purchases, refunds, wallets
from clearing_svc.ledger.flows.steps import Flow

FLOWS: tuple[Flow, ...] = (
    purchases.CHANNEL,
    purchases.BALANCE,
    purchases.BOTH,
    wallets.TOP_UP,
    wallets.TRANSFER,
    wallets.WITHDRAWAL,
    refunds.FLOW,
)
