"""Merchants, their business codes, and what trades read of them."""
