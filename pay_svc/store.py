"""Tables of the payment core."""

from __future__ import annotations

import sqlalchemy as sa

from pay_svc.beneficiaries.domain import Beneficiary, BeneficiaryView
from pay_svc.payments.model import Instruction, Payment, PaymentView, dump_sources, load_sources
from paymesh.db.schema import runtime_tables
from paymesh.secretbox import SealedColumn
from paymesh.store.rowtypes import Aggregate, Json, RowType
from paymesh.tools import dump_tools, load_tools

PAYMENT: RowType[Payment] = RowType(
    "payment",
    Payment,
    changing=[
        "version",
        "state",
        "succeeded_at",
        "owner",
        "next_action_at",
        "action_attempts",
        "failure_reason",
    ],
    json_fields={"tools": Json(dump_tools, load_tools)},
    check=lambda p: p.amount.minor > 0,
)
INSTRUCTION: RowType[Instruction] = RowType(
    "instruction",
    Instruction,
    parent="payment_id",
    changing=["version", "state", "channel_txn_id", "succeeded_at", "observed", "failure_reason"],
    json_fields={"hold_sources": Json(dump_sources, load_sources)},
    check=lambda i: i.amount.minor > 0,
)
PAYMENTS = Aggregate("payment", PaymentView, PAYMENT, {"instructions": INSTRUCTION})

BENEFICIARY: RowType[Beneficiary] = RowType(
    "beneficiary", Beneficiary, changing=["version", "state"]
)
BENEFICIARIES = Aggregate("beneficiary", BeneficiaryView, BENEFICIARY)
SEALED = SealedColumn("beneficiary", "sealed_account_no")

metadata = sa.MetaData()
runtime_tables(metadata)
PAYMENT_TABLE = PAYMENT.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="payment_amount_positive"),
    # Nothing unfinished without somebody who looks after it.
    sa.CheckConstraint(
        "state NOT IN ('PROCESSING', 'CLOSING', 'RETURNING', 'SUSPENDED') "
        "OR next_action_at IS NOT NULL OR owner <> ''",
        name="payment_is_looked_after",
    ),
    sa.CheckConstraint(
        "(purpose = 'WITHDRAWAL') = (beneficiary_id <> '')",
        name="payment_withdrawal_has_beneficiary",
    ),
    sa.CheckConstraint(
        "(purpose = 'REFUND') = (original_payment_id <> '')", name="payment_refund_has_original"
    ),
    sa.Index("payment_by_business_id", "business_id"),
    sa.Index("payment_by_trade", "trade_id"),
    sa.Index(
        "payment_due", "next_action_at", postgresql_where=sa.text("next_action_at IS NOT NULL")
    ),
)
INSTRUCTION.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="instruction_amount_positive"),
    sa.CheckConstraint(
        "kind NOT IN ('HOLD', 'RELEASE') OR hold_id <> ''", name="instruction_hold_has_id"
    ),
    sa.UniqueConstraint("shard_key", "request_no", name="instruction_request_no_once"),
    sa.Index("instruction_by_payment", "shard_key", "payment_id"),
    sa.Index("instruction_by_business_id", "business_id"),
)
BENEFICIARY_TABLE = BENEFICIARY.sa_table(
    metadata,
    sa.CheckConstraint("sealed_account_no <> ''", name="beneficiary_has_its_number"),
    # An owner's are in one shard, and listed in this order.
    sa.Index("beneficiary_by_owner", "shard_key", "owner_id", "created_at", "id"),
    sa.Index("beneficiary_by_business_id", "business_id"),
)
