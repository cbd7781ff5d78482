"""Wallets: whose balance a payer's is. Two merchants may both have a customer "tom": theirs are two
wallets, unless the merchants share a wallet scope."""

from __future__ import annotations

import re

SHARED = ""
"""The one scope of all merchants that are older than wallet scopes; every other is named by the
merchant that was the first in it."""

_SCOPED = re.compile(r"mer_[a-z2-7]{28}/")


def wallet_id(scope: str, payer_id: str) -> str:
    """The owner of a payer's accounts in the ledger; up to 97 characters for a payer_id of 64."""
    return payer_id if scope == SHARED or not payer_id else f"{scope}/{payer_id}"


def imitates(scope: str, payer_id: str) -> bool:
    """Whether a payer_id would be another scope's wallet."""
    return scope == SHARED and _SCOPED.match(payer_id) is not None


def of_merchant(owner: str, merchant_id: str) -> bool:
    """Whether an account's owner is this merchant, or a payer in the scope of its name."""
    return owner == merchant_id or owner.startswith(f"{merchant_id}/")
