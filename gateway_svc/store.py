"""Tables of the channel gateway."""

from __future__ import annotations

import sqlalchemy as sa

from gateway_svc.orders.model import Callback, ChannelOrder, OrderView
from paymesh.db.schema import runtime_tables
from paymesh.secretbox import SealedColumn
from paymesh.store.rowtypes import Aggregate, Json, RowType

ORDER: RowType[ChannelOrder] = RowType(
    "channel_order",
    ChannelOrder,
    changing=[
        "version",
        "state",
        "moved_amount",
        "channel_txn_id",
        "succeeded_at",
        "failure_reason",
        "credential",
        "next_action_at",
        "action_attempts",
    ],
    json_fields={"credential": Json(dict, dict)},
    check=lambda order: order.amount.minor > 0,
)
CALLBACK: RowType[Callback] = RowType("callback", Callback, insert_only=True)
ORDERS = Aggregate("channel_order", OrderView, ORDER, deadline="expires_at")
SEALED = SealedColumn("channel_order", "sealed_payee")

metadata = sa.MetaData()
runtime_tables(metadata)
ORDER.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="channel_order_amount_positive"),
    sa.CheckConstraint(
        "state IN ('SUCCEEDED', 'FAILED', 'CLOSED', 'BOUNCED') OR next_action_at IS NOT NULL",
        name="channel_order_is_looked_after",
    ),
    sa.CheckConstraint(
        "(state IN ('SUCCEEDED', 'BOUNCED')) = (moved_amount_minor IS NOT NULL)",
        name="channel_order_succeeded_has_amount",
    ),
    sa.CheckConstraint(
        "(kind = 'PAYOUT') = (sealed_payee <> '' AND payee_digest <> '')",
        name="channel_order_payout_has_payee",
    ),
    sa.Index("channel_order_request_no", "channel", "pay_org_no", "request_no", unique=True),
    sa.Index(
        "channel_order_txn",
        "channel",
        "pay_org_no",
        "kind",
        "channel_txn_id",
        unique=True,
        postgresql_where=sa.text("channel_txn_id <> ''"),
    ),
    sa.Index("channel_order_by_business_id", "business_id"),
    sa.Index(
        "channel_order_due",
        "next_action_at",
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    ),
)
CALLBACK.sa_table(
    metadata,
    sa.Index("callback_once", "channel", "callback_id", unique=True),
    sa.Index("callback_by_request_no", "request_no"),
)
