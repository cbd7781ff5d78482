"""Tables of the trade core."""

from __future__ import annotations

import sqlalchemy as sa

from paymesh.db.schema import runtime_tables
from paymesh.secretbox import SealedColumn
from paymesh.store.rowtypes import Aggregate, Json, RowType
from paymesh.tools import dump_tools, load_tools
from trade_svc.merchants.business_codes import BusinessCode, BusinessCodeView
from trade_svc.merchants.domain import Merchant, MerchantView
from trade_svc.notifications.domain import Notification, Stream, StreamView
from trade_svc.trades.model import Attempt, Refund, Trade, TradeView

TRADE: RowType[Trade] = RowType(
    "trade",
    Trade,
    changing=[
        "version",
        "state",
        "paid_at",
        "closed_at",
        "paid_payment_id",
        "next_action_at",
        "action_attempts",
        "refunded_minor",
        "refunding_minor",
    ],
    check=lambda t: (
        t.amount.minor > 0 and min(t.refunded_minor, t.refunding_minor, t.refundable_minor) >= 0
    ),
)
ATTEMPT: RowType[Attempt] = RowType(
    "attempt",
    Attempt,
    parent="trade_id",
    changing=["version", "state", "failure_reason"],
    json_fields={"tools": Json(dump_tools, load_tools)},
)
REFUND: RowType[Refund] = RowType(
    "refund",
    Refund,
    parent="trade_id",
    changing=["version", "state", "ended_at", "failure_reason", "returned_minor"],
    json_fields={"tools": Json(dump_tools, load_tools)},
    check=lambda r: r.amount.minor > 0 and 0 <= r.returned_minor <= r.amount.minor,
    unique=[("payment_id",)],
)
TRADES = Aggregate(
    "trade", TradeView, TRADE, {"attempts": ATTEMPT, "refunds": REFUND}, deadline="expires_at"
)

MERCHANTS = Aggregate(
    "merchant",
    MerchantView,
    RowType(
        "merchant",
        Merchant,
        changing=[
            "version",
            "state",
            "display_name",
            "notify_url",
            "sealed_notify_secret",
            "shut",
        ],
        json_fields={"shut": Json(list, tuple)},
    ),
)
SEALED = SealedColumn("merchant", "sealed_notify_secret")

BUSINESS_CODE: RowType[BusinessCode] = RowType(
    "business_code", BusinessCode, changing=["version", "description"]
)
BUSINESS_CODES = Aggregate("business_code", BusinessCodeView, BUSINESS_CODE)

STREAM: RowType[Stream] = RowType(
    "notification_stream", Stream, changing=["version", "next_action_at", "action_attempts"]
)
NOTIFICATION: RowType[Notification] = RowType(
    "notification",
    Notification,
    parent="stream_id",
    changing=["version", "state", "last_error"],
    unique=[("stream_id", "sequence")],
)
STREAMS = Aggregate("notification_stream", StreamView, STREAM, {"notifications": NOTIFICATION})

metadata = sa.MetaData()
runtime_tables(metadata)
TRADE_TABLE = TRADE.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="trade_amount_positive"),
    sa.CheckConstraint("version > 0", name="trade_version_positive"),
    # Paid means: exactly one payment is attributed to it. It stays so if the money comes back.
    sa.CheckConstraint(
        "(state IN ('BOOKING', 'PAID', 'RETURNED')) = (paid_payment_id <> '')",
        name="trade_paid_has_its_payment",
    ),
    sa.CheckConstraint(
        "refunded_minor >= 0 AND refunding_minor >= 0 "
        "AND refunded_minor + refunding_minor <= amount_minor",
        name="trade_refunds_fit",
    ),
    sa.Index("trade_by_business_id", "business_id"),
    sa.Index("trade_due", "next_action_at", postgresql_where=sa.text("next_action_at IS NOT NULL")),
)
ATTEMPT.sa_table(
    metadata,
    sa.Index("attempt_by_trade", "shard_key", "trade_id"),
    # One active attempt a trade; former ones are CLOSING.
    sa.Index(
        "attempt_one_active",
        "shard_key",
        "trade_id",
        unique=True,
        postgresql_where=sa.text("state = 'PROCESSING'"),
    ),
    sa.Index(
        "attempt_one_succeeded",
        "shard_key",
        "trade_id",
        unique=True,
        postgresql_where=sa.text("state = 'SUCCEEDED'"),
    ),
)
REFUND_TABLE = REFUND.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="refund_amount_positive"),
    sa.CheckConstraint(
        "returned_minor BETWEEN 0 AND amount_minor", name="refund_returned_within_amount"
    ),
    sa.UniqueConstraint("shard_key", "payment_id", name="refund_one_payment"),
    sa.Index("refund_by_trade", "shard_key", "trade_id"),
    sa.Index("refund_by_business_id", "business_id"),
)
MERCHANT_TABLE = MERCHANTS.root.sa_table(
    metadata, sa.Index("merchant_shut", "id", postgresql_where=sa.text("shut <> '[]'::jsonb"))
)
BUSINESS_CODE_TABLE = BUSINESS_CODE.sa_table(
    metadata,
    sa.UniqueConstraint(
        "shard_key",
        "merchant_id",
        "order_type",
        "sub_type",
        "pay_org_no",
        name="business_code_once",
    ),
)
STREAM.sa_table(
    metadata,
    sa.Index(
        "notification_stream_due",
        "next_action_at",
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    ),
)
NOTIFICATION.sa_table(
    metadata,
    sa.UniqueConstraint("shard_key", "stream_id", "sequence", name="notification_once"),
)
