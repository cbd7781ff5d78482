"""Journals by the thousand: read from a message, decided and written a batch at a time."""
