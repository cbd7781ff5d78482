"""The bus over RabbitMQ: bus.py is the port, publisher.py and consumer.py its two halves, each on
a connection of its own (link.py) whose channels have awaitable steps (channel.py)."""

from paymesh.bus.rabbitmq.bus import RabbitBus
from paymesh.bus.rabbitmq.limits import RabbitLimits

__all__ = ["RabbitBus", "RabbitLimits"]
