"""Accounts outside that payers withdraw to."""
