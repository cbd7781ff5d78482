"""Every bound of the in-process bus in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InProcessLimits:
    publish_timeout_s: float = 10.0
    """A message that its handlers have not acknowledged by then is reported as failed."""
    consumer_wait_s: float = 1.0
    """The same where no bound queue that it waits for has a consumer: at start-up one is about
    to come, later there is nobody to wait for."""
    queue_messages_max: int = 100_000
    """In one queue; for the ladder's queues, in all of them together."""
    reopen_min_s: float = 0.05
    reopen_max_s: float = 5.0
    """The pause after a handler failed."""


DEFAULT_LIMITS = InProcessLimits()
