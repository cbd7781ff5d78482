"""Payments as plans of instructions, as plain functions."""
