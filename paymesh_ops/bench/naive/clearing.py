"""The books: an event becomes journals of two entries, and the accounts' balances move with it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from paymesh_ops.bench.naive.bus import Body
from paymesh_ops.bench.naive.models import Account, Entry, Journal
from paymesh_ops.bench.naive.services import Event


async def on_collected(session: AsyncSession, body: Body) -> list[Event]:
    receivable = _account("CHANNEL_RECEIVABLE", f"{body['channel']}:{body['pay_org_no']}", body)
    await _post(session, _journal("COLLECTED", receivable, _transit(body), body["amount"], body))
    return []


async def on_paid(session: AsyncSession, body: Body) -> list[Event]:
    pending = _account("MERCHANT_PENDING", body["merchant_id"], body)
    journals = [_journal("PAID", _transit(body), pending, body["amount"], body)]
    if fee := fee_of(body["amount"]):
        income = _account("FEE_INCOME", "platform", body)
        journals.append(_journal("FEE", pending, income, fee, body))
    await _post(session, *journals)
    return []


def fee_of(amount: int) -> int:
    """0.6 %, rounded half up."""
    return (amount * 6 + 500) // 1000


def _account(subject: str, owner: str, body: Body) -> str:
    return f"{subject}:{owner}:{body['currency']}"


def _transit(body: Body) -> str:
    return _account("PAYER_TRANSIT", body["payment_id"], body)


def _journal(kind: str, debit: str, credit: str, amount: int, body: Body) -> Journal:
    entries = [Entry(account_id=debit, amount=amount), Entry(account_id=credit, amount=-amount)]
    payment_id = body["payment_id"]
    return Journal(id=f"{kind}:{payment_id}", kind=kind, payment_id=payment_id, entries=entries)


async def _post(session: AsyncSession, *journals: Journal) -> None:
    """Opens accounts that are not there, locks all in the order of their ids, books."""
    entries = [entry for journal in journals for entry in journal.entries]
    ids = sorted({entry.account_id for entry in entries})
    await session.execute(insert(Account).on_conflict_do_nothing(), [{"id": id_} for id_ in ids])
    locked = select(Account).where(Account.id.in_(ids)).order_by(Account.id).with_for_update()
    accounts = {account.id: account for account in await session.scalars(locked)}
    for entry in entries:
        accounts[entry.account_id].balance += entry.amount
    session.add_all(journals)
