"""The runtime's own tables, in every service's database. Migrations: paymesh/db/versions."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, SMALLINT


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _shard() -> sa.Column[int]:
    return sa.Column("shard_key", SMALLINT, nullable=False)


def _created() -> sa.Column[object]:
    return sa.Column(
        "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
    )


def runtime_tables(metadata: sa.MetaData) -> None:
    """Adds the runtime's tables to a service's metadata."""
    sa.Table(
        "request_answer",  # (scope, request_id) → one request hash, one answer
        metadata,
        _shard(),
        _text("scope"),
        _text("request_id"),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("shard_key", "scope", "request_id"),
    )
    sa.Table(
        "inbox",  # a message counts once per consumer
        metadata,
        _shard(),
        _text("consumer"),
        _text("message_id"),
        _created(),
        sa.PrimaryKeyConstraint("shard_key", "consumer", "message_id"),
    )
    sa.Table(
        "inbox_cursor",  # how far a consumer that minds the order has come with an aggregate
        metadata,
        _shard(),
        _text("consumer"),
        _text("aggregate_id"),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("shard_key", "consumer", "aggregate_id"),
    )
    sa.Table(
        "dropped_letter",  # a dead letter that a person dropped; its events are in the inbox
        metadata,
        _shard(),
        _text("consumer"),
        _text("message_id"),
        _text("digest"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        _text("routing_key"),
        sa.Column("business_ids", ARRAY(sa.Text), nullable=False),
        _text("reason"),
        _text("why"),
        sa.Column(
            "dropped_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.CheckConstraint("why <> ''", name="dropped_letter_says_why"),
        sa.PrimaryKeyConstraint("shard_key", "consumer", "message_id", "digest"),
    )
    sa.Table(
        "guard",  # names that only one aggregate may hold
        metadata,
        _shard(),
        _text("kind"),
        _text("key"),
        _text("owner_id"),
        _created(),
        sa.PrimaryKeyConstraint("shard_key", "kind", "key"),
    )
    sa.Table(
        "outbox",  # an append-only log of every state move, a partition a day, kept 7 days
        metadata,
        _shard(),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        _text("event_id"),
        _text("type"),
        _text("aggregate_id"),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        _text("state"),
        _text("business_id"),
        _text("merchant_id"),
        _text("order_type"),
        _text("sub_type"),
        _text("pay_org_no"),
        _text("traffic"),
        _text("parent_business_id"),
        _text("traceparent"),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("shard_key", "occurred_at", "event_id"),
        sa.Index("outbox_by_aggregate", "aggregate_id", "sequence"),
        sa.Index("outbox_by_business_id", "business_id"),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    sa.Table(
        "outbox_due",  # what the bus has not confirmed yet
        metadata,
        _shard(),
        _text("event_id"),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shard_key", "event_id"),
        sa.Index("outbox_due_by_time", "due_at"),
    )
    sa.Table(
        "key_probe",  # one row: what a service's encryption keys must open
        metadata,
        sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.true()),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _created(),
        sa.CheckConstraint("one", name="key_probe_once"),
    )
