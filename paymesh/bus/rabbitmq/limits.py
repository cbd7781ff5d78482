"""Every bound of the RabbitMQ bus in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RabbitLimits:
    """Times in seconds. The defaults are meant for production; tests shorten them."""

    confirm_timeout_s: float = 10.0
    """A publish that is not confirmed by then closes the connection: the broker hangs."""
    admission_timeout_s: float = 5.0
    """How long a publish waits for a connection, an unblocked broker and room in flight."""
    in_flight_messages_max: int = 2000
    in_flight_bytes_max: int = 32 * 1024 * 1024
    """Bodies only. One message that is larger by itself goes alone."""
    hand_over_messages_max: int = 100
    """Messages written without letting other tasks run: about 1 ms."""

    step_timeout_s: float = 5.0
    """One question to the broker, such as opening a channel."""
    flush_timeout_s: float = 5.0
    """How long close() waits for confirms that are still out."""

    reconnect_min_s: float = 0.5
    reconnect_max_s: float = 5.0
    """A broker that was away is found soon; the jitter keeps many processes from coming at once."""
    stable_after_s: float = 10.0
    """A connection that lasted so long starts the next backoff anew."""

    linger_max_s: float = 0.020
    """How long a consumer waits at most for more deliveries before a batch begins."""

    reopen_min_s: float = 0.1
    reopen_max_s: float = 10.0
    """A consumer whose handler failed opens its channel again after so long. With the limit of
    100 deliveries, a handler that fails always parks a message after about a quarter of an hour."""


DEFAULT_LIMITS = RabbitLimits()
