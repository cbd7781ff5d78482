"""Which account is meant, and what its entries say up to a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from sys import intern

from clearing_svc.ledger.chart import PLATFORM
from paymesh.ids import bucket_of, shard_of
from paymesh.money import Money
from paymesh_ops.check.ledger import BALANCES
from paymesh_ops.check.snapshots import Row, Snapshots
from paymesh_ops.explain.items import Line

LIKE_IT_MAX = 5
"""Accounts that are named when there is none of the name that was asked for."""

_COLUMNS = f"""
    SELECT id, subject, owner, normal_side, balance, balance_currency, held_minor
    FROM ({BALANCES}) a
"""
_BY_ID = _COLUMNS + "WHERE shard_key = %(shard)s AND id = %(id)s"
_BY_NAME = (
    _COLUMNS
    + """
    WHERE shard_key = %(shard)s AND subject = %(subject)s AND owner = %(owner)s
        AND balance_currency = %(currency)s
"""
)
_LIKE_IT = """
    SELECT subject, owner, balance_currency FROM account
    WHERE subject = %(subject)s ORDER BY opened_at LIMIT %(limit)s
"""
_HOLDS = """
    SELECT count(*) AS holds, min(h.created_at) AS since FROM hold h,
        jsonb_to_recordset(h.parts)
            AS p(account_id text, held bigint, posted bigint, released bigint)
    WHERE h.state = 'HELD' AND p.account_id = %(id)s AND p.held > p.posted + p.released
"""
_LINES = """
    SELECT side, amount_minor, amount_currency, reference, business_id, journal_id, event_type,
        business_key, posted_at
    FROM booking
    WHERE shard_key = %(shard)s AND account_id = %(id)s
        AND (%(at)s::timestamptz IS NULL OR posted_at <= %(at)s)
    ORDER BY posted_at NULLS LAST, journal_id, line
"""
_NEVER = datetime.max.replace(tzinfo=UTC)


class UnknownAccount(LookupError):
    """There is no such account; says how accounts are named, and which there are."""


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    subject: str
    owner: str
    normal_side: str
    balance: Money
    """As it is now with what is buffered, whatever its entries say."""
    held: Money

    @property
    def name(self) -> str:
        return f"{self.subject}:{self.owner}:{self.balance.currency}"


async def account_named(s: Snapshots, name: str) -> Account:
    """acc_…, SUBJECT:OWNER:CURRENCY, or SUBJECT:CURRENCY of the platform's own.

    An owner may have colons in its name, too. Raises UnknownAccount.
    """
    subject, _, rest = name.partition(":")
    owner, _, currency = rest.rpartition(":")
    if name.startswith("acc_"):
        rows = await s.rows("clearing", _BY_ID, shard=_shard_of(name), id=name)
    else:
        parts = {"subject": subject, "owner": owner or PLATFORM, "currency": currency}
        shard = bucket_of(parts["owner"])
        rows = await s.rows("clearing", _BY_NAME, shard=shard, **parts)
    if not rows:
        there = await s.rows("clearing", _LIKE_IT, subject=subject, limit=LIKE_IT_MAX)
        raise UnknownAccount(_unknown(name, there))
    [row] = rows
    currency = row["balance_currency"]
    return Account(
        row["id"],
        row["subject"],
        row["owner"],
        row["normal_side"],
        Money(currency, int(row["balance"])),
        Money(currency, row["held_minor"]),
    )


def _shard_of(id_: str) -> int:
    try:
        return shard_of(id_)
    except (KeyError, IndexError):
        return -1  # there is none


def _unknown(name: str, there: list[Row]) -> str:
    if there:
        names = ", ".join(f"{r['subject']}:{r['owner']}:{r['balance_currency']}" for r in there)
        return f"there is no account {name!r}. Of this subject there are: {names}"
    return (
        f"there is no account {name!r}. Name it by its id (acc_…), as SUBJECT:OWNER:CURRENCY "
        "(MERCHANT_PENDING:mer_…:EUR), or, if it is the platform's own, as SUBJECT:CURRENCY "
        "(SUSPENSE:EUR)."
    )


async def open_holds(s: Snapshots, account: Account) -> tuple[int, datetime | None]:
    """How many holds lie on it, and since when the oldest does."""
    [row] = await s.rows("clearing", _HOLDS, id=account.id)
    return row["holds"], row["since"]


async def lines_of(
    s: Snapshots, account: Account, at: datetime | None, progress: Callable[[str], None]
) -> AsyncIterator[Line]:
    """Its entries, as they were booked, up to `at`."""
    s.count_rows(lambda read, _: progress(f"{account.name}  {read:,} entries"))
    shard = shard_of(account.id)
    async for row in s.stream("clearing", _LINES, shard=shard, id=account.id, at=at):
        minor = row["amount_minor"]
        yield Line(
            minor=minor if row["side"] == account.normal_side else -minor,
            posted_at=row["posted_at"] or _NEVER,
            reference=row["reference"],
            journal_id=row["journal_id"],
            event_type=intern(row["event_type"] or ""),
            business_key=row["business_key"] or "",
            business_id=row["business_id"] or "",
        )
