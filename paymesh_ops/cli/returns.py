"""What came to accounts that took nothing in, and waits until they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.table import Table

from clearing_svc.books.balances import Connection, rows
from clearing_svc.ledger.drafts import account_id_of
from paymesh.ids import shard_of
from paymesh.money import Money
from paymesh.text import escape


@dataclass(frozen=True, slots=True)
class Kept:
    """What waits for one account."""

    account: str
    """SUBJECT:OWNER:CURRENCY."""
    reference: str
    amount: Money
    status: str
    """The account's, now."""
    held: Money
    """Of all that is kept for its owner in this currency: what holds lie on."""
    next_look: datetime


async def kept(connection: Connection, owner: str, limit: int) -> tuple[Sequence[Kept], int]:
    """What waits, of one owner or of all, the longest kept first; and of how many that is."""
    found = await rows(connection, _KEPT, owner=owner, limit=limit)
    ids = [account_id_of(row[0], row[1], row[2]) for row in found]
    shards = [shard_of(id_) for id_ in ids]
    statuses: dict[str, str] = dict(await rows(connection, _STATUSES, shards=shards, ids=ids))
    return [
        Kept(
            f"{subject}:{of}:{currency}",
            reference,
            Money(currency, minor),
            statuses.get(id_, "OPEN"),
            Money(currency, held),
            next_look,
        )
        for id_, (subject, of, currency, reference, minor, held, next_look, _) in zip(
            ids, found, strict=True
        )
    ], found[0][-1] if found else 0


def fill(table: Table, found: Sequence[Kept]) -> Table:
    """The table with its columns and rows."""
    table.add_column("kept for", overflow="fold")
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("held", justify="right", no_wrap=True)
    table.add_column("the account is")
    table.add_column("looked at again", no_wrap=True)
    for each in found:
        account = f"[cyan]{escape(each.account)}[/]"
        table.add_row(
            f"{account} [dim]{escape(each.reference)}[/]" if each.reference else account,
            str(each.amount),
            str(each.held) if each.held.minor else "",
            each.status,
            f"{each.next_look:%Y-%m-%d %H:%M:%S}",
        )
    return table


_KEPT = """
    SELECT p.subject, r.owner, r.currency, p.reference, p.minor, coalesce(a.held_minor, 0),
        r.next_action_at AT TIME ZONE 'UTC', count(*) OVER ()
    FROM returns_payable r
    CROSS JOIN LATERAL jsonb_to_recordset(r.parts) AS p(subject text, reference text, minor bigint)
    LEFT JOIN account a ON a.shard_key = r.shard_key AND a.id = 'acc_' || substr(r.id, 5)
    WHERE %(owner)s = '' OR r.owner = %(owner)s
    ORDER BY a.opened_at, r.id, p.subject, p.reference LIMIT %(limit)s
"""
_STATUSES = """
    SELECT a.id, a.status FROM account a
    JOIN unnest(%(shards)s::smallint[], %(ids)s::text[]) AS k(shard_key, id)
        ON a.shard_key = k.shard_key AND a.id = k.id
"""
