"""Adapters to payment channels: one port, one module per channel."""
