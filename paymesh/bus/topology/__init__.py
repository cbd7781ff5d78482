"""What the bus is made of: model.py reads it from a file, broker.py brings a broker in line."""

from paymesh.bus.topology.broker import apply, depths, verify
from paymesh.bus.topology.model import (
    DEAD_EXCHANGE,
    DEAD_QUEUE_PREFIX,
    EVENTS_EXCHANGE,
    LADDER,
    REDELIVER_EXCHANGE,
    Binding,
    Exchange,
    Queue,
    Rung,
    Topology,
    TopologyError,
    topic_matches,
)

__all__ = [
    "DEAD_EXCHANGE",
    "DEAD_QUEUE_PREFIX",
    "EVENTS_EXCHANGE",
    "LADDER",
    "REDELIVER_EXCHANGE",
    "Binding",
    "Exchange",
    "Queue",
    "Rung",
    "Topology",
    "TopologyError",
    "apply",
    "depths",
    "topic_matches",
    "verify",
]
