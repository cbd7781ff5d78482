"""Trades with their attempts and refunds, as plain functions."""
