"""Clearing: the double-entry ledger; fees, settlement and reconciliation come beside it."""
