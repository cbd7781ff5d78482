"""PostJournals as plain values: each journal of a message as one JournalRequest.

What is plainly right is taken as it is read; whatever is not is told by the rules themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

from payments.clearing.v1 import ledger_pb2

from clearing_svc.ledger import bulk
from clearing_svc.ledger.bulk import (
    AccountKey,
    EntryRequest,
    JournalRequest,
)
from clearing_svc.ledger.callers import is_reserved, problem_of_reference, require_callers_own
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.domain import ENTRIES_MAX, check
from clearing_svc.ledger.drafts import journal_id_of, lines_digest
from clearing_svc.wire import REFERENCE_CHARACTERS_MAX, day_of, lines_of
from paymesh.cards import card_numbers
from paymesh.context import Call, Traffic
from paymesh.errors import Internal
from paymesh.ids import shard_of
from paymesh.rpc import CALL_LIMIT_S, item_call
from paymesh.text import problem
from paymesh.wire import LIVE_TRAFFIC

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_DEBIT = ledger_pb2.ENTRY_SIDE_DEBIT
KEYS_MAX = 200_000
"""Names of accounts that are kept; then all are forgotten."""


def _plain_text(text: str) -> bool:
    return 0 < len(text) <= REFERENCE_CHARACTERS_MAX and not problem(text, names=False)


def _plain_reference(text: str) -> bool:
    return 0 < len(text) <= REFERENCE_CHARACTERS_MAX and not problem_of_reference(text)


def _plain_id(text: str) -> bool:
    return _ID(text) is not None and not card_numbers(text)


@lru_cache(maxsize=10_000)
def _plain_event_type(text: str) -> bool:
    known = re.fullmatch(r"[A-Za-z0-9_./-]{1,64}", text) is not None
    return known and not is_reserved(text) and not card_numbers(text)


@lru_cache(maxsize=10_000)
def _plain_middle(
    merchant_id: str, order_type: str, sub_type: str, pay_org_no: str, caller: str, traffic: Any,
    deadline_class: int,
) -> Sequence[str] | None:  # fmt: skip
    """The middle columns of a Context; None for what is not plain. Callers and business codes are
    few, so this is seldom asked twice."""
    names = (merchant_id, order_type, sub_type, pay_org_no)
    plain = all(re.fullmatch(r"[A-Za-z0-9_.-]{0,32}", name) for name in (*names, caller))
    if not plain or traffic not in LIVE_TRAFFIC or not 0 <= deadline_class <= 2:
        return None
    return (*names, Traffic.LIVE.value)


class Parser:
    """Reads journals, and remembers the names of accounts that it has met."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._keys: dict[tuple[str, str, str], AccountKey] = {}

    def parse(self, item: Any, outer: Call, now: float) -> JournalRequest:
        """The item as plain values. Raises PaymentError for what is wrong with it by itself."""
        request, call = item.request, item.call_context
        context = call.context
        entries = request.entries
        keys, parsed = self._keys, list[EntryRequest]()
        body: list[str | int] = ["", ""]
        debits = credits = 0
        exchanging = False
        first = entries[0].amount.currency_code if entries else ""
        business_id, parent = context.business_id, context.parent_business_id
        event_type, business_key = request.event_type, request.business_key
        middle = _plain_middle(
            context.merchant_id, context.order_type, context.sub_type, context.pay_org_no,
            context.caller, context.traffic, context.deadline_class,
        )  # fmt: skip
        plain = (
            2 <= len(entries) <= ENTRIES_MAX
            and middle is not None
            and _plain_id(business_id)
            and _plain_text(business_key)
            and _plain_event_type(event_type)
            and (not parent or _plain_id(parent))
            and len(call.traceparent) <= 64
            and len(call.origin) <= 64
            and call.remaining_ms >= 0
        )
        for entry in entries if plain else ():
            amount, side, reference = entry.amount, entry.side, entry.reference
            subject, owner, currency = entry.subject, entry.owner, amount.currency_code
            minor = amount.minor_units
            account = keys.get((subject, owner, currency)) or self._key_for(
                subject, owner, currency
            )
            if side == _DEBIT:
                debits += minor
            else:
                credits += minor
            if currency != first:
                exchanging = True
            plain = (
                account is not None
                and minor > 0
                and 1 <= side <= 2
                and (
                    _plain_reference(reference)
                    if reference
                    else not account.subject.needs_reference
                )
            )
            if not plain or account is None:
                break
            parsed.append((account, side == _DEBIT, minor, reference))
            body += subject, owner, side, currency, minor, reference
        if not plain or middle is None or debits != credits:
            self._refuse(item, outer)
        day = day_of(request)
        if day is not None:
            body[0] = str(day)
        if exchanging:
            check(lines_of(entries), self._chart)
        journal_id = journal_id_of(event_type, business_key)
        remaining = call.remaining_ms / 1000 if call.remaining_ms else CALL_LIMIT_S
        return JournalRequest(
            journal_id,
            shard_of(journal_id),
            event_type,
            business_key,
            lines_digest(body),
            parsed,
            (business_id, *middle, parent),
            day,
            now + min(remaining, CALL_LIMIT_S),
        )

    def _refuse(self, item: Any, outer: Call) -> NoReturn:
        """Raises what the rules say of an item that is not plainly right."""
        item_call(item, outer, edge=False)
        day_of(item.request)
        check(lines_of(item.request.entries), self._chart)
        request = item.request
        lines = lines_of(request.entries)
        require_callers_own(request.event_type, request.business_key, lines, self._chart)
        raise Internal("a defect of ours: the journal is right, and was not understood")

    def _key_for(self, subject: str, owner: str, currency: str) -> AccountKey | None:
        found = bulk.account_key(self._chart, subject, owner, currency)
        if found is None or found.subject.is_system:
            return None
        if _plain_text(owner):
            if len(self._keys) > KEYS_MAX:
                self._keys.clear()
            self._keys[subject, owner, currency] = found
            return found
        return None
