"""Tables of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from clearing_svc.ledger.accounts import Account, AccountView, InsufficientFunds
from clearing_svc.ledger.acts import Act
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.diverting import Part, Returns, ReturnsView
from clearing_svc.ledger.domain import Entry, Journal
from clearing_svc.ledger.holds import Hold, HoldPart, HoldView
from clearing_svc.ledger.splitting import Fate, Leg, SplitJournal, SplitView
from paymesh.db.schema import runtime_tables
from paymesh.errors import FieldViolation, PaymentError
from paymesh.money import MINOR_UNITS_MAX
from paymesh.shell import Refusals
from paymesh.store.rowtypes import Aggregate, AggregateSet, Json, RowType


def _account_allowed(account: Account) -> bool:
    least, greatest = account.span
    minimum, maximum = account.minimum_minor, account.maximum_minor
    return (
        least >= -MINOR_UNITS_MAX
        and greatest <= MINOR_UNITS_MAX
        and account.held_minor >= 0
        and (minimum is None or least >= minimum)
        and (maximum is None or greatest <= maximum)
    )


def _hold_allowed(hold: Hold) -> bool:
    return 0 < hold.amount.minor <= MINOR_UNITS_MAX and hold.version > 0


def _dump_parts(parts: Sequence[HoldPart]) -> list[dict[str, Any]]:
    return [asdict(part) for part in parts]


def _load_parts(data: Sequence[dict[str, Any]]) -> tuple[HoldPart, ...]:
    return tuple(HoldPart(**part) for part in data)


def _dump_legs(legs: Sequence[Leg]) -> list[dict[str, Any]]:
    return [asdict(leg) for leg in legs]


def _load_legs(data: Sequence[dict[str, Any]]) -> tuple[Leg, ...]:
    return tuple(
        Leg(
            **leg
            | {
                "side": Side(leg["side"]),
                "fate": leg["fate"] and Fate(leg["fate"]),
                "back": leg["back"] and Fate(leg["back"]),
            }
        )
        for leg in data
    )


def _dump_returns(parts: Sequence[Part]) -> list[dict[str, Any]]:
    return [asdict(part) for part in parts]


def _load_returns(data: Sequence[dict[str, Any]]) -> tuple[Part, ...]:
    return tuple(Part(**part) for part in data)


ACCOUNT: RowType[Account] = RowType(
    "account",
    Account,
    changing=["version", "status", "mode", "balance", "held_minor", "draining_since"],
    check=_account_allowed,
)
ACCOUNTS = Aggregate("account", AccountView, ACCOUNT, prelude="SELECT fold_accounts(%s::text[])")
HOLD: RowType[Hold] = RowType(
    "hold",
    Hold,
    changing=["version", "state", "parts", "next_action_at", "action_attempts"],
    json_fields={"parts": Json(_dump_parts, _load_parts)},
    check=_hold_allowed,
)
HOLDS = Aggregate("hold", HoldView, HOLD)
RETURNS: RowType[Returns] = RowType(
    "returns_payable",
    Returns,
    changing=["version", "parts", "next_action_at", "action_attempts"],
    json_fields={"parts": Json(_dump_returns, _load_returns)},
    check=lambda returns: all(part.minor > 0 for part in returns.parts),
)
RETURNS_PAYABLE = Aggregate("returns_payable", ReturnsView, RETURNS)
# Holds, and what lies on RETURNS_PAYABLE, are locked first: only their own chain or owner wants
# them, while everybody waits for a busy account. So nobody keeps such an account waiting while he
# himself waits for a hold.
LEDGER: AggregateSet[Any] = AggregateSet(
    "account",
    {"rtn": RETURNS_PAYABLE, "hld": HOLDS, "acc": ACCOUNTS},
    shared="SELECT last_closed_day()",
)
# The same, for who rather comes again than waits long for a lock.
LEGS: AggregateSet[Any] = AggregateSet(
    "leg",
    LEDGER.members,
    shared="SELECT CASE WHEN set_config('lock_timeout', '300ms', true) <> '' "
    "THEN last_closed_day() END",
)
SPLIT: RowType[SplitJournal] = RowType(
    "split_journal",
    SplitJournal,
    changing=["version", "state", "legs", "refusal", "next_action_at", "action_attempts"],
    json_fields={"legs": Json(_dump_legs, _load_legs)},
    check=lambda split: split.version > 0,
)
SPLITS = Aggregate("split_journal", SplitView, SPLIT)
# A journal's id follows from its name, so its primary key is what makes the name unique.
JOURNAL: RowType[Journal] = RowType(
    "journal",
    Journal,
    insert_only=True,
    unique=[("event_type", "business_key")],
    key=("id", "shard_key"),
    guard=("journal", "digest"),
)
ENTRY: RowType[Entry] = RowType(
    "entry",
    Entry,
    insert_only=True,
    key=("journal_id", "line", "shard_key"),
    derived=("id", "context", "subject", "owner"),
    check=lambda e: 0 < e.amount.minor <= MINOR_UNITS_MAX and e.line > 0,
)
ACT: RowType[Act] = RowType("ledger_act", Act, insert_only=True)


def _past_refused(why: str) -> PaymentError:
    return InsufficientFunds(why, fields=(FieldViolation("accounting_date", why),))


# What journals of the days since are there, only the database can say of them all.
REFUSALS: Refusals = {"journal_past_within_limits": _past_refused}


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


metadata = sa.MetaData()
runtime_tables(metadata)
ACCOUNT_TABLE = ACCOUNT.sa_table(
    metadata,
    # Invariant 3, whatever the code does. A hold reserves a debit: it lowers a credit-normal
    # balance and raises a debit-normal one.
    sa.CheckConstraint(
        "balance_minor - CASE normal_side WHEN 'CREDIT' THEN held_minor ELSE 0 END"
        " >= minimum_minor",
        name="account_above_minimum",
    ),
    sa.CheckConstraint(
        "balance_minor + CASE normal_side WHEN 'DEBIT' THEN held_minor ELSE 0 END <= maximum_minor",
        name="account_below_maximum",
    ),
    sa.CheckConstraint("held_minor >= 0", name="account_held_not_negative"),
    sa.CheckConstraint("version > 0", name="account_version_positive"),
    sa.CheckConstraint(
        "status IN ('OPEN', 'FROZEN_IN', 'FROZEN_OUT', 'CLOSED')", name="account_status_known"
    ),
    sa.CheckConstraint("mode IN ('DIRECT', 'BUFFERED', 'DRAINING')", name="account_mode_known"),
    sa.CheckConstraint("normal_side IN ('DEBIT', 'CREDIT')", name="account_side_known"),
    sa.CheckConstraint("balance_currency ~ '^[A-Z]{3}$'", name="account_currency_known"),
    sa.Index("account_not_direct", "id", postgresql_where=sa.text("mode <> 'DIRECT'")),
)
HOLD.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="hold_amount_positive"),
    sa.CheckConstraint("version > 0", name="hold_version_positive"),
    sa.CheckConstraint("state IN ('HELD', 'POSTED', 'RELEASED')", name="hold_state_known"),
    sa.CheckConstraint("amount_currency ~ '^[A-Z]{3}$'", name="hold_currency_known"),
    sa.CheckConstraint("jsonb_array_length(parts) > 0", name="hold_has_parts"),
    sa.CheckConstraint(
        "expires_at IS NULL OR (next_action_at IS NOT NULL) = (state = 'HELD')",
        name="hold_is_looked_after",
    ),
    sa.Index("hold_by_business_id", "business_id"),
    sa.Index("hold_due", "next_action_at", postgresql_where=sa.text("next_action_at IS NOT NULL")),
)
RETURNS.sa_table(
    metadata,
    sa.CheckConstraint("version > 0", name="returns_payable_version_positive"),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="returns_payable_currency_known"),
    # Nothing lies there without somebody who looks after it.
    sa.CheckConstraint(
        "(next_action_at IS NULL) = (parts = '[]'::jsonb)",
        name="returns_payable_is_looked_after",
    ),
    sa.Index(
        "returns_payable_due",
        "next_action_at",
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    ),
)
SPLIT.sa_table(
    metadata,
    sa.CheckConstraint("version > 0", name="split_journal_version_positive"),
    sa.CheckConstraint(
        "state IN ('DEBITING', 'CREDITING', 'POSTED', 'REVERSING', 'REFUSED')",
        name="split_journal_state_known",
    ),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="split_journal_currency_known"),
    # Nothing unfinished without somebody who looks after it.
    sa.CheckConstraint(
        "(next_action_at IS NULL) = (state IN ('POSTED', 'REFUSED'))",
        name="split_journal_is_looked_after",
    ),
    sa.CheckConstraint(
        "(refusal <> '') = (state IN ('REVERSING', 'REFUSED'))", name="split_journal_refusal_told"
    ),
    sa.CheckConstraint("jsonb_array_length(legs) > 1", name="split_journal_has_legs"),
    sa.Index("split_journal_by_business_id", "business_id"),
    sa.Index(
        "split_journal_due",
        "next_action_at",
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    ),
)
JOURNAL_TABLE = JOURNAL.sa_table(
    metadata,
    _big("posting"),  # the transaction's number, set by the database
    sa.Index("journal_by_business_id", "business_id"),
    sa.Index("journal_by_posting", "posting"),
    sa.Index(
        "journal_reversed_once",
        "shard_key",
        "reverses",
        unique=True,
        postgresql_where=sa.text("reverses <> ''"),
    ),
)
ENTRY_TABLE = ENTRY.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="entry_amount_positive"),
    sa.CheckConstraint("line > 0", name="entry_line_positive"),
    sa.CheckConstraint("side IN ('DEBIT', 'CREDIT')", name="entry_side_known"),
    sa.Index("entry_by_account", "account_id"),
)
ACT.sa_table(metadata, sa.Index("ledger_act_about", "about"))
# What a BUFFERED account is still to be given: one row per transaction, folded now and then.
DELTA_TABLE = sa.Table(
    "account_delta",
    metadata,
    sa.Column("shard_key", sa.SmallInteger, nullable=False),
    sa.Column("account_id", sa.Text, nullable=False),
    _big("posting"),
    _big("delta_minor"),
    sa.PrimaryKeyConstraint("account_id", "posting", "shard_key"),
)
# The hash chain: a block seals all journals of transactions below `up_to` that no other one has.
BLOCK_TABLE = sa.Table(
    "block",
    metadata,
    _big("number"),
    sa.Column("previous_hash", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    _big("up_to"),
    _big("journals"),
    _big("entries"),
    sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("number"),
    sa.UniqueConstraint("up_to", name="block_up_to"),
)
# One row.
BOOKS_TABLE = sa.Table(
    "books",
    metadata,
    sa.Column("number", sa.SmallInteger, autoincrement=False, nullable=False),
    sa.Column("first_day", sa.Date, nullable=False),
    sa.CheckConstraint("number = 1", name="books_once"),
    sa.PrimaryKeyConstraint("number"),
)
# Days that are closed, each with the last block that it can have entries in.
DAY_TABLE = sa.Table(
    "accounting_day",
    metadata,
    sa.Column("day", sa.Date, nullable=False),
    _big("block"),
    sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("day"),
)
# What accounts moved on days that are not in balance_snapshot yet, gathered journal by journal: of
# those posted below `up_to` and not below the last one. A work table, emptied when a day is done.
MOVEMENT_TABLE = sa.Table(
    "day_movement",
    metadata,
    sa.Column("shard_key", sa.SmallInteger, nullable=False),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    _big("up_to"),
    _big("debit_minor"),
    _big("credit_minor"),
    sa.PrimaryKeyConstraint("account_id", "day", "up_to", "shard_key"),
)
# All that was ever debited and credited by the end of closed days, for accounts that moved on them.
SNAPSHOT_TABLE = sa.Table(
    "balance_snapshot",
    metadata,
    sa.Column("shard_key", sa.SmallInteger, nullable=False),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    _big("debit_minor"),
    _big("credit_minor"),
    sa.PrimaryKeyConstraint("account_id", "day", "shard_key"),
)
# The same for all accounts of a subject. A day that is here has all of its snapshots.
TOTAL_TABLE = sa.Table(
    "day_total",
    metadata,
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    _big("accounts"),
    _big("debit_minor"),
    _big("credit_minor"),
    sa.PrimaryKeyConstraint("day", "subject", "currency"),
)
