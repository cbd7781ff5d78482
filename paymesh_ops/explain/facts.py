"""Whether what was booked has happened: asked of the service that owns the fact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from paymesh.ids import shard_of
from paymesh.money import Money
from paymesh_ops.check.ledger import on
from paymesh_ops.check.snapshots import Row, Snapshots
from paymesh_ops.explain.items import Item, Line

ASKED_AT_ONCE = 5_000

_JOURNALS = f"""
    SELECT journal_id, min(amount_currency) AS currency,
        coalesce(sum(amount_minor) FILTER (WHERE side = 'DEBIT'), 0) AS debits,
        coalesce(sum(amount_minor) FILTER (WHERE side = 'CREDIT'), 0) AS credits,
        max(reference) FILTER (WHERE {on("PAYER_TRANSIT")}) AS payment,
        count(DISTINCT amount_currency) AS currencies
    FROM entry WHERE journal_id = ANY(%(ids)s) GROUP BY 1
"""
_OF_KEYS = """
    FROM unnest(%(shards)s::smallint[], %(ids)s::text[]) AS key(shard_key, id)
    JOIN {table} USING (shard_key, id)
"""
_INSTRUCTIONS = """
    SELECT id, state, amount_minor AS minor, amount_currency AS currency, observed_minor,
        observed_currency
""" + _OF_KEYS.format(table="instruction")
_TRADES = """
    SELECT id, state, amount_minor AS minor, amount_currency AS currency, paid_payment_id
""" + _OF_KEYS.format(table="trade")
_STATES = {
    "succeeded": frozenset({"SUCCEEDED", "BOUNCED"}),
    "bounced": frozenset({"BOUNCED"}),
    "suspended": frozenset({"SUSPENDED"}),
}
"""Where an instruction may stand of which such an event was booked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of the fact behind an entry."""

    confirmed: bool
    said: str
    """For people: how it is confirmed, or why it is not."""


async def verdicts_on(items: Iterable[Item], s: Snapshots) -> dict[str, Verdict]:
    """By journal, on all that the items come from."""
    lines = iter({line.journal_id: line for item in items for line in item.lines}.values())
    result: dict[str, Verdict] = {}
    while some := list(islice(lines, ASKED_AT_ONCE)):
        result |= await _verdicts(some, s)
    return result


def verdict_on(item: Item, verdicts: Mapping[str, Verdict]) -> Verdict:
    """An item is confirmed if all that it comes from is."""
    all_ = [verdicts[line.journal_id] for line in item.lines]
    return next((verdict for verdict in all_ if not verdict.confirmed), all_[0])


async def _verdicts(lines: Sequence[Line], s: Snapshots) -> dict[str, Verdict]:
    ids = [line.journal_id for line in lines]
    journals = {row["journal_id"]: row for row in await s.rows("clearing", _JOURNALS, ids=ids)}
    instructions = await _owned("pay", _INSTRUCTIONS, "pay.instruction.", lines, s)
    trades = await _owned("trade", _TRADES, "trade.trade.paid/", lines, s)
    result = {}
    for line in lines:
        journal = journals.get(line.journal_id)
        if journal is None or not line.event_type:
            result[line.journal_id] = Verdict(False, "the entry has no journal")
        elif journal["debits"] != journal["credits"] or journal["currencies"] != 1:
            result[line.journal_id] = Verdict(False, "its journal does not balance")
        elif line.event_type.startswith("pay.instruction."):
            row = instructions.get(line.business_key)
            result[line.journal_id] = _by_instruction(line, journal, row)
        elif line.event_type.startswith("trade.trade.paid/"):
            result[line.journal_id] = _by_trade(line, journal, trades.get(line.business_key))
        else:
            result[line.journal_id] = Verdict(True, "posted by hand")
    return result


async def _owned(
    service: str, sql: str, prefix: str, lines: Sequence[Line], s: Snapshots
) -> dict[str, Row]:
    """The rows of a service whose facts these journals book, by their ids."""
    keys = {}
    for line in lines:
        if line.event_type.startswith(prefix):
            with suppress(KeyError, IndexError):  # no id: then nobody has it
                keys[line.business_key] = shard_of(line.business_key)
    rows = await s.rows(service, sql, ids=list(keys), shards=list(keys.values()))
    return {row["id"]: row for row in rows}


def _by_instruction(line: Line, journal: Row, instruction: Row | None) -> Verdict:
    if instruction is None:
        return Verdict(False, "pay has no such instruction")
    state = instruction["state"]
    happened = line.event_type.split("/")[0].rsplit(".", 1)[-1]
    if state not in _STATES.get(happened, ()):
        return Verdict(False, f"pay says {state}")
    kind = "observed_" if happened == "suspended" else ""
    return _same(f"pay says {state}", journal, instruction, kind)


def _by_trade(line: Line, journal: Row, trade: Row | None) -> Verdict:
    if trade is None:
        return Verdict(False, "trade has no such trade")
    said = f"trade says {trade['state']}"
    if trade["state"] not in {"BOOKING", "PAID", "RETURNED"}:
        return Verdict(False, said)
    if journal["payment"] not in {None, trade["paid_payment_id"]}:
        return Verdict(False, "trade says: by another payment")
    if line.event_type.endswith("/attribution"):
        return _same(said, journal, trade)
    return Verdict(True, said)


def _same(said: str, journal: Row, fact: Row, kind: str = "") -> Verdict:
    """Whether the journal has the fact's amount."""
    booked = (journal["currency"], int(journal["debits"]))
    happened = (fact[f"{kind}currency"], fact[f"{kind}minor"])
    if booked == happened:
        return Verdict(True, said)
    amount = "nothing" if None in happened else Money(str(happened[0]), int(happened[1]))
    return Verdict(False, f"{said} of {amount}")
