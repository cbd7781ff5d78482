"""Accounts of the ledger that a payment names."""

from __future__ import annotations

USER_BALANCE = "USER_BALANCE"
PURCHASES = "MERCHANT_PENDING"
"""Where a merchant's purchases go."""
MERCHANT_SUBJECTS = (
    "MERCHANT_RETURNS_PAYABLE",
    PURCHASES,
    "MERCHANT_AVAILABLE",
    "MERCHANT_RECEIVABLE",
)
"""What a merchant's refunds are taken from, in this order: first what came to an account that took
nothing, last what it may owe us."""
