"""Days, balances and booked entries as messages: translation, nothing more."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date

from google.type.date_pb2 import Date
from payments.clearing.v1 import books_service_pb2, ledger_pb2

from clearing_svc.books.balances import Booked, EntryPosition, Total
from clearing_svc.books.days import Day
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.finance import Finance
from clearing_svc.wire import entry_to
from paymesh.errors import InvalidField
from paymesh.money import Money
from paymesh.wire import money_to, time_to


def day_to(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def accounting_day_to(day: Day) -> books_service_pb2.AccountingDay:
    return books_service_pb2.AccountingDay(
        accounting_date=day_to(day.day), close_time=time_to(day.closed_at), block=day.block
    )


def total_to(total: Total, chart: Chart, finance: Finance) -> books_service_pb2.TrialBalanceRow:
    sums, currency = total.sums, total.currency
    side = chart[total.subject].normal_side
    return books_service_pb2.TrialBalanceRow(
        subject=total.subject,
        general_ledger_account=finance[total.subject].number,
        accounts=total.accounts,
        debits=money_to(Money(currency, sums.debits)),
        credits=money_to(Money(currency, sums.credits)),
        balance=money_to(Money(currency, sums.balance(side))),
    )


def booked_to(booked: Booked) -> ledger_pb2.BookedEntry:
    entry = booked.entry
    return ledger_pb2.BookedEntry(
        journal_id=entry.journal_id,
        line=entry.line,
        account_id=entry.account_id,
        entry=entry_to(entry),
        event_type=booked.event_type,
        business_key=booked.business_key,
        business_id=entry.context.business_id,
        accounting_date=day_to(booked.day),
        post_time=time_to(booked.posted_at),
    )


# Page tokens


def token_of(position: EntryPosition) -> str:
    text = f"{position.posting} {position.journal_id} {position.line}"
    return urlsafe_b64encode(text.encode()).decode()


def position_of(token: str) -> EntryPosition:
    """Where the last page ended. Raises InvalidField for a token that is not ours."""
    try:
        posting, journal_id, line = urlsafe_b64decode(token.encode()).decode().split(" ")
        position = EntryPosition(int(posting), journal_id, int(line))
    except (binascii.Error, ValueError) as error:
        raise InvalidField("page_token", "is not from a ListEntries response") from error
    if "\x00" in journal_id or max(abs(position.posting), abs(position.line)) >= 2**63:
        raise InvalidField("page_token", "is not from a ListEntries response")
    return position


def before_of(token: str) -> date:
    """The last day of the last page. Raises InvalidField for a token that is not ours."""
    try:
        return date.fromisoformat(token)
    except ValueError as error:
        raise InvalidField("page_token", "is not from a ListDays response") from error
