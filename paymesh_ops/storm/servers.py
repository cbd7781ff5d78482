"""PostgreSQL and RabbitMQ of the storm's own: killed, stopped, and brought back on their ports."""

from __future__ import annotations

from pathlib import Path

import psycopg

from paymesh.db.session import arguments
from paymesh_ops.launch.postgres import PostgresServer, start_postgres, stop_postgres
from paymesh_ops.launch.rabbitmq import RabbitServer, start_rabbitmq, stop_rabbitmq

SETTINGS = {"fsync": "off"}
"""No power is cut here: what is killed is processes, and the kernel keeps their writes."""


class Servers:
    """Blocking: call it in a thread. A server that runs already is taken as it is."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.postgres: PostgresServer = start_postgres(home / "postgres", settings=SETTINGS)
        self.rabbit: RabbitServer = start_rabbitmq(home / "rabbitmq", timeout_s=120)

    def kill_broker(self) -> None:
        """kill -9, the port mapper as well."""
        stop_rabbitmq(self.rabbit, kill=True)

    def start_broker(self) -> None:
        self.rabbit = start_rabbitmq(self._home / "rabbitmq", timeout_s=120)

    def stop_postgres(self) -> None:
        """As a crash: the next start recovers from the log."""
        stop_postgres(self.postgres, mode="immediate")

    def start_postgres(self) -> None:
        self.postgres = start_postgres(self._home / "postgres", settings=SETTINGS)

    def terminate_sessions(self) -> int:
        """Ends every session of the services; how many those were."""
        with psycopg.connect(**arguments(self.postgres.url), autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE usename LIKE 'paymesh_%_app'"
            ).fetchone()
        return int(row[0]) if row else 0

    def resend_events(self, databases: list[str], count: int) -> int:
        """Makes events due that were sent before: they arrive twice, and after younger ones."""
        sent = 0
        for database in databases:
            url = self.postgres.url.rsplit("/", 1)[0] + f"/{database}"
            with psycopg.connect(**arguments(url), autocommit=True) as connection:
                sent += connection.execute(
                    "INSERT INTO outbox_due (shard_key, event_id, occurred_at, due_at) "
                    "SELECT shard_key, event_id, occurred_at, occurred_at FROM outbox "
                    "WHERE published AND occurred_at > now() - interval '1 minute' "
                    "ORDER BY random() LIMIT %s ON CONFLICT DO NOTHING",
                    (count,),
                ).rowcount
        return sent

    def stop(self) -> None:
        try:
            stop_rabbitmq(self._home / "rabbitmq", kill=True)
        finally:
            stop_postgres(self.postgres)
