"""The message bus: one port, two adapters (RabbitMQ and in-process), one contract suite."""
