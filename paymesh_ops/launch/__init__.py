"""Launchers of the servers that Paymesh brings along: an embedded PostgreSQL, a private RabbitMQ.

Everything listens on loopback only, lives in a folder of its own and is stopped by process id.
The user's own servers (`PAYMESH_DATABASE_URL`, `PAYMESH_AMQP_URL`) are never started nor stopped.
"""
