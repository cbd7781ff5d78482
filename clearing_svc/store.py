"""Tables of the ledger."""

from __future__ import annotations

import sqlalchemy as sa

from clearing_svc.ledger.domain import Account, AccountView, Entry, Journal
from paymesh.db.schema import runtime_tables
from paymesh.money import MINOR_UNITS_MAX
from paymesh.store.kinds import Aggregate, Kind


def _allowed(account: Account) -> bool:
    minimum, minor = account.minimum_minor, account.balance.minor
    return abs(minor) <= MINOR_UNITS_MAX and (minimum is None or minor >= minimum)


ACCOUNT: Kind[Account] = Kind("account", Account, check=_allowed)
ACCOUNTS = Aggregate("account", AccountView, ACCOUNT)
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
    # Invariant 3, whatever the code does.
    sa.CheckConstraint("balance_minor >= minimum_minor", name="account_above_minimum"),
    sa.CheckConstraint("version > 0", name="account_version_positive"),
    sa.CheckConstraint("status IN ('OPEN', 'CLOSED')", name="account_status_known"),
    sa.CheckConstraint("normal_side IN ('DEBIT', 'CREDIT')", name="account_side_known"),
    sa.CheckConstraint("balance_currency ~ '^[A-Z]{3}$'", name="account_currency_known"),
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
