"""Tables of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from clearing_svc.ledger.accounts import Account, AccountView
from clearing_svc.ledger.domain import Entry, Journal
from clearing_svc.ledger.holds import Hold, HoldPart, HoldView
from paymesh.db.schema import runtime_tables
from paymesh.money import MINOR_UNITS_MAX
from paymesh.store.kinds import Aggregate, Family, Json, Kind


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


ACCOUNT: Kind[Account] = Kind("account", Account, check=_account_allowed)
ACCOUNTS = Aggregate("account", AccountView, ACCOUNT)
HOLD: Kind[Hold] = Kind(
    "hold", Hold, json_fields={"parts": Json(_dump_parts, _load_parts)}, check=_hold_allowed
)
HOLDS = Aggregate("hold", HoldView, HOLD)
# Holds are locked first: only their own chain wants them, while everybody waits for a busy
# account. So nobody keeps such an account waiting while he himself waits for a hold.
LEDGER: Family[Any] = Family("account", {"hld": HOLDS, "acc": ACCOUNTS})
JOURNAL: Kind[Journal] = Kind(
    "journal", Journal, insert_only=True, unique=[("event_type", "business_key")]
)
ENTRY: Kind[Entry] = Kind(
    "entry",
    Entry,
    insert_only=True,
    unique=[("journal_id", "line")],
    check=lambda e: 0 < e.amount.minor <= MINOR_UNITS_MAX and e.line > 0,
)

metadata = sa.MetaData()
runtime_tables(metadata)
ACCOUNT.sa_table(
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
    sa.CheckConstraint("status IN ('OPEN', 'CLOSED')", name="account_status_known"),
    sa.CheckConstraint("normal_side IN ('DEBIT', 'CREDIT')", name="account_side_known"),
    sa.CheckConstraint("balance_currency ~ '^[A-Z]{3}$'", name="account_currency_known"),
)
HOLD.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="hold_amount_positive"),
    sa.CheckConstraint("version > 0", name="hold_version_positive"),
    sa.CheckConstraint("state IN ('HELD', 'POSTED', 'RELEASED')", name="hold_state_known"),
    sa.CheckConstraint("amount_currency ~ '^[A-Z]{3}$'", name="hold_currency_known"),
    sa.CheckConstraint("jsonb_array_length(parts) > 0", name="hold_has_parts"),
    sa.Index("hold_by_business_id", "business_id"),
)
JOURNAL_TABLE = JOURNAL.sa_table(
    metadata,
    # The shard follows from just these two columns: unique in a shard is unique everywhere.
    sa.UniqueConstraint("shard_key", "event_type", "business_key", name="journal_once"),
    sa.Index("journal_by_business_id", "business_id", "posted_at", "id"),
)
ENTRY_TABLE = ENTRY.sa_table(
    metadata,
    sa.CheckConstraint("amount_minor > 0", name="entry_amount_positive"),
    sa.CheckConstraint("line > 0", name="entry_line_positive"),
    sa.CheckConstraint("side IN ('DEBIT', 'CREDIT')", name="entry_side_known"),
    sa.Index("entry_by_account", "shard_key", "account_id"),
    sa.Index("entry_by_journal", "journal_id"),
)
