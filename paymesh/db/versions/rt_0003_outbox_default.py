"""Rows that fell into the outbox's default partition go by age, too.

Revision ID: rt_0003
"""

from alembic import context, op

revision = "rt_0003"
down_revision = "rt_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # As outbox_partitions: what is still to be published stays, however old it is.
    op.execute("""
        CREATE FUNCTION outbox_default_pruned(days_kept int, rows_max int) RETURNS bigint
        LANGUAGE sql SECURITY DEFINER SET search_path = public AS $$
            WITH old AS (
                SELECT ctid FROM outbox_default o WHERE o.occurred_at
                    < ((now() AT TIME ZONE 'UTC')::date - days_kept)::timestamp AT TIME ZONE 'UTC'
                AND NOT EXISTS (SELECT FROM outbox_due d
                    WHERE (d.shard_key, d.event_id) = (o.shard_key, o.event_id))
                LIMIT rows_max),
            gone AS (DELETE FROM outbox_default USING old WHERE outbox_default.ctid = old.ctid
                RETURNING 1)
            SELECT count(*) FROM gone
        $$
    """)
    op.execute("REVOKE ALL ON FUNCTION outbox_default_pruned(int, int) FROM PUBLIC")
    app_role = context.config.attributes["app_role"]
    op.execute(f'GRANT EXECUTE ON FUNCTION outbox_default_pruned(int, int) TO "{app_role}"')
