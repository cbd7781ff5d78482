"""Journals, accounts and holds as messages: translation, nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from google.type.date_pb2 import Date
from payments.clearing.v1 import account_events_pb2, ledger_pb2, ledger_service_pb2
from payments.type.v1 import account_pb2

from clearing_svc.ledger.accounts import Account, AccountMode, AccountStatus
from clearing_svc.ledger.administering import AccountStatusChanged
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.domain import Entry, Journal
from clearing_svc.ledger.drafts import AccountRef, Line
from clearing_svc.ledger.holds import Hold, HoldPart
from clearing_svc.ledger.splitting import SplitJournal
from paymesh.core import Event
from paymesh.errors import InvalidField
from paymesh.money import Money
from paymesh.wire import money_of, money_to, time_to

OWNER_CHARACTERS_MAX = 128
REFERENCE_CHARACTERS_MAX = 128

_SIDES = {
    Side.DEBIT: ledger_pb2.ENTRY_SIDE_DEBIT,
    Side.CREDIT: ledger_pb2.ENTRY_SIDE_CREDIT,
}
_SIDES_BACK = {number: side for side, number in _SIDES.items()}


def lines_of(entries: Sequence[ledger_pb2.Entry]) -> tuple[Line, ...]:
    """The entries that are asked for. Raises InvalidField for what no journal can have."""
    return tuple(_line_of(f"entries[{index}]", entry) for index, entry in enumerate(entries))


def _line_of(field: str, entry: ledger_pb2.Entry) -> Line:
    side = _SIDES_BACK.get(entry.side)
    if side is None:
        raise InvalidField(f"{field}.side", "must be debit or credit")
    _text(f"{field}.owner", entry.owner, OWNER_CHARACTERS_MAX)
    _text(f"{field}.reference", entry.reference, REFERENCE_CHARACTERS_MAX)
    return Line(
        subject=entry.subject,  # must be in the chart, so it needs no other rule
        owner=entry.owner,
        side=side,
        amount=money_of(entry.amount),
        reference=entry.reference,
    )


def _text(field: str, text: str, characters_max: int) -> None:
    if len(text) > characters_max:
        raise InvalidField(field, f"has more than {characters_max} characters")
    if "\x00" in text:  # PostgreSQL would refuse the whole batch for it
        raise InvalidField(field, "must not contain NUL")


def date_of(message: Date, *, field: str) -> date:
    """Raises InvalidField for what is no day."""
    try:
        return date(message.year, message.month, message.day)
    except ValueError as error:
        raise InvalidField(field, "is not a day of the calendar") from error


def day_of(
    request: ledger_service_pb2.PostJournal | ledger_service_pb2.ReverseJournalRequest,
) -> date | None:
    """The accounting date that a journal asks for, if any. Raises InvalidField."""
    if not request.HasField("accounting_date"):
        return None
    return date_of(request.accounting_date, field="accounting_date")


def journal_to(journal: Journal, entries: Sequence[Entry]) -> ledger_pb2.Journal:
    day = journal.accounting_date
    return ledger_pb2.Journal(
        journal_id=journal.id,
        event_type=journal.event_type,
        business_key=journal.business_key,
        business_id=journal.context.business_id,
        entries=[entry_to(entry) for entry in entries],
        accounting_date=Date(year=day.year, month=day.month, day=day.day),
        post_time=time_to(journal.posted_at),
        reverses_journal_id=journal.reverses,
        template_version=journal.template_version,
    )


def entry_to(entry: Entry) -> ledger_pb2.Entry:
    return ledger_pb2.Entry(
        subject=entry.subject,
        owner=entry.owner,
        side=_SIDES[entry.side],
        amount=money_to(entry.amount),
        reference=entry.reference,
    )


def account_to(account: Account) -> ledger_pb2.Account:
    currency, available = account.balance.currency, account.available_minor
    return ledger_pb2.Account(
        account_id=account.id,
        subject=account.subject,
        owner=account.owner,
        currency_code=currency,
        status=f"ACCOUNT_STATUS_{account.status}",
        balance=money_to(account.balance),
        version=account.version,
        held=money_to(Money(currency, account.held_minor)),
        available=None if available is None else money_to(Money(currency, available)),
        mode=f"ACCOUNT_MODE_{account.mode}",
        minimum_minor_units=account.minimum_minor,
        maximum_minor_units=account.maximum_minor,
    )


def account_status_of(number: int) -> AccountStatus:
    """Raises ValueError for what the contract does not let through."""
    return AccountStatus(ledger_pb2.AccountStatus.Name(number).removeprefix("ACCOUNT_STATUS_"))


def account_mode_of(number: int) -> AccountMode:
    """Unspecified: DIRECT."""
    name = ledger_pb2.AccountMode.Name(number or ledger_pb2.ACCOUNT_MODE_DIRECT)
    return AccountMode(name.removeprefix("ACCOUNT_MODE_"))


def sources_of(sources: Sequence[account_pb2.AccountRef]) -> tuple[AccountRef, ...]:
    return tuple(AccountRef(source.subject, source.owner) for source in sources)


def hold_to(hold: Hold) -> ledger_pb2.Hold:
    return ledger_pb2.Hold(
        hold_id=hold.id,
        business_id=hold.context.business_id,
        state=f"HOLD_STATE_{hold.state}",
        amount=money_to(hold.amount),
        parts=[_part_to(part, hold.amount.currency) for part in hold.parts],
        reference=hold.reference,
        version=hold.version,
        expire_time=time_to(hold.expires_at),
    )


def _part_to(part: HoldPart, currency: str) -> ledger_pb2.HoldPart:
    return ledger_pb2.HoldPart(
        account=account_pb2.AccountRef(subject=part.subject, owner=part.owner),
        held=money_to(Money(currency, part.held)),
        posted=money_to(Money(currency, part.posted)),
        released=money_to(Money(currency, part.released)),
    )


def split_to(split: SplitJournal) -> ledger_pb2.SplitJournal:
    return ledger_pb2.SplitJournal(
        split_journal_id=split.id,
        event_type=split.event_type,
        business_key=split.business_key,
        business_id=split.context.business_id,
        state=f"SPLIT_STATE_{split.state}",
        entries=[
            ledger_pb2.Entry(
                subject=leg.subject,
                owner=leg.owner,
                side=_SIDES[leg.side],
                amount=money_to(Money(split.currency, leg.minor)),
                reference=leg.reference,
            )
            for leg in split.legs
        ],
        journal_ids=split.journal_ids,
        refusal=split.refusal,
        version=split.version,
        suspended=[
            ledger_pb2.SuspendedEntry(line=leg.number, reason=leg.refusal, journal_id=journal_id)
            for leg, journal_id in split.suspended
        ],
    )


def encode(event: Event) -> bytes:
    """The payload of a published event."""
    payload = event.payload
    if isinstance(payload, AccountStatusChanged):
        message = account_events_pb2.AccountStatusChanged(account=account_to(payload.account))
        return message.SerializeToString()
    raise TypeError(f"no message for {event.type}")
