"""How we connect to RabbitMQ: the one place that holds the client's time limits."""

from __future__ import annotations

import pika

HEARTBEAT_S = 30
BLOCKED_CONNECTION_TIMEOUT_S = 15
SOCKET_TIMEOUT_S = 5
STACK_TIMEOUT_S = 10


def parameters(amqp_url: str, connection_name: str) -> pika.URLParameters:
    """The URL's host, user and vhost with our limits; the name is what the broker's lists show."""
    found = pika.URLParameters(amqp_url)
    found.heartbeat = HEARTBEAT_S
    found.blocked_connection_timeout = BLOCKED_CONNECTION_TIMEOUT_S
    found.socket_timeout = SOCKET_TIMEOUT_S
    found.stack_timeout = STACK_TIMEOUT_S
    found.connection_attempts = 1  # pika's own retries know no jitter: we reconnect ourselves
    found.client_properties = {"connection_name": connection_name}
    return found


def address(found: pika.URLParameters) -> str:
    """Where that is, in words that may be logged (no password)."""
    return f"{found.host}:{found.port} vhost {found.virtual_host}"
