"""Journals of callers that take of a hold: the debits are the hold's, the credits are given."""

from __future__ import annotations

from collections.abc import Sequence

from clearing_svc.ledger.callers import require_callers_own
from clearing_svc.ledger.chart import RETURNS, Chart, Side
from clearing_svc.ledger.domain import check_lines
from clearing_svc.ledger.drafts import Draw, JournalDraft, Line, digest_of
from paymesh.errors import InvalidField
from paymesh.money import MINOR_UNITS_MAX


def drawn(
    event_type: str, business_key: str, draw: Draw, credits: Sequence[Line], *, chart: Chart
) -> JournalDraft:
    """The draft. What makes it the same one: the hold, how much of it, and the credits; the sources
    only say where to look. Raises InvalidField."""
    for index, source in enumerate(draw.sources):
        if source.subject in RETURNS.values():
            raise InvalidField(f"sources[{index}].subject", "is taken from by refunds only")
    if not 0 < draw.amount.minor <= MINOR_UNITS_MAX:
        raise InvalidField("amount.minor_units", "must be greater than zero")
    check_lines(credits, chart)
    require_callers_own(event_type, business_key, credits, chart)
    body: list[object] = [draw.hold_id, draw.amount.currency, draw.amount.minor]
    for index, (subject, owner, side, amount, reference) in enumerate(credits):
        if side is not Side.CREDIT:
            raise InvalidField(f"entries[{index}].side", "must be credit: the hold is debited")
        body += subject, owner, amount.currency, amount.minor, reference
    return JournalDraft(event_type, business_key, tuple(credits), digest_of(body), draw)
