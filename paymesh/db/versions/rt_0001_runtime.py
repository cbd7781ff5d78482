"""The runtime's tables: answers, inbox, guards, outbox.

Revision ID: rt_0001
"""

from alembic import context, op

revision = "rt_0001"
down_revision = None
branch_labels = ("runtime",)
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE request_answer (
            shard_key smallint NOT NULL, scope text NOT NULL, request_id text NOT NULL,
            request_hash bytea NOT NULL, ok boolean NOT NULL, answer bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (shard_key, scope, request_id))
    """)
    op.execute("""
        CREATE TABLE inbox (
            shard_key smallint NOT NULL, consumer text NOT NULL, message_id text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (shard_key, consumer, message_id))
    """)
    op.execute("""
        CREATE TABLE inbox_cursor (
            shard_key smallint NOT NULL, consumer text NOT NULL, aggregate_id text NOT NULL,
            sequence bigint NOT NULL, PRIMARY KEY (shard_key, consumer, aggregate_id))
    """)
    op.execute("""
        CREATE TABLE guard (
            shard_key smallint NOT NULL, kind text NOT NULL, key text NOT NULL,
            owner_id text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (shard_key, kind, key))
    """)
    op.execute("""
        CREATE TABLE outbox (
            shard_key smallint NOT NULL, occurred_at timestamptz NOT NULL, event_id text NOT NULL,
            type text NOT NULL, aggregate_id text NOT NULL, sequence bigint NOT NULL,
            state text NOT NULL, business_id text NOT NULL, merchant_id text NOT NULL,
            order_type text NOT NULL, sub_type text NOT NULL, pay_org_no text NOT NULL,
            traffic text NOT NULL, parent_business_id text NOT NULL, traceparent text NOT NULL,
            payload bytea NOT NULL, published boolean NOT NULL,
            PRIMARY KEY (shard_key, occurred_at, event_id)
        ) PARTITION BY RANGE (occurred_at)
    """)
    op.execute("CREATE INDEX outbox_by_aggregate ON outbox (aggregate_id, sequence)")
    op.execute("CREATE INDEX outbox_by_business_id ON outbox (business_id)")
    # Rows of a day without a partition of its own: never lost, and `work` keeps it empty.
    op.execute("CREATE TABLE outbox_default PARTITION OF outbox DEFAULT")
    # The application role may not create tables; this function, the owner's, does it for `work`.
    # A day whose rows already lie in the default partition keeps them there.
    op.execute("""
        CREATE FUNCTION outbox_partitions(days_ahead int, days_kept int) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
        DECLARE
            today date := (now() AT TIME ZONE 'UTC')::date;
            day date;
            part text;
        BEGIN
            PERFORM pg_advisory_xact_lock(7234017283807667300);
            FOR day IN SELECT generate_series(today, today + days_ahead, '1 day')::date LOOP
                part := 'outbox_' || to_char(day, 'YYYYMMDD');
                IF to_regclass(part) IS NULL THEN
                    BEGIN
                        EXECUTE format(
                            'CREATE TABLE %I PARTITION OF outbox FOR VALUES FROM (%L) TO (%L)',
                            part, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
                    EXCEPTION WHEN check_violation THEN
                        RAISE WARNING 'outbox rows of % lie in the default partition', day;
                    END;
                END IF;
            END LOOP;
            FOR part IN
                SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'outbox'::regclass AND c.relname ~ '^outbox_[0-9]{8}$'
                AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - days_kept
                AND NOT EXISTS (SELECT FROM outbox_due d WHERE d.occurred_at
                    < (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC')
            LOOP
                EXECUTE format('DROP TABLE %I', part);
            END LOOP;
        END $$
    """)
    op.execute("REVOKE ALL ON FUNCTION outbox_partitions(int, int) FROM PUBLIC")
    app_role = context.config.attributes["app_role"]
    op.execute(f'GRANT EXECUTE ON FUNCTION outbox_partitions(int, int) TO "{app_role}"')
    op.execute("""
        CREATE TABLE outbox_due (
            shard_key smallint NOT NULL, event_id text NOT NULL, occurred_at timestamptz NOT NULL,
            due_at timestamptz NOT NULL, PRIMARY KEY (shard_key, event_id))
    """)
    op.execute("CREATE INDEX outbox_due_by_time ON outbox_due (due_at)")
    # The rows of a few seconds churn through these: vacuum them by count, not by share.
    op.execute("ALTER TABLE outbox_due SET (autovacuum_vacuum_scale_factor = 0, "
               "autovacuum_vacuum_threshold = 5000)")  # fmt: skip
    op.execute("SELECT outbox_partitions(3, 7)")
