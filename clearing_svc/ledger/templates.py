"""Accounting templates: what is booked for a business event, as data.

A template belongs to an event type, and to a kind or a product where that matters. It may have
versions: an event is booked by the one that held when it occurred, however late it is heard. On
load each journal is checked, and proven to balance for all amounts (clearing_svc.ledger.amounts).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from itertools import pairwise

from clearing_svc.ledger import amounts
from clearing_svc.ledger.amounts import Linear
from clearing_svc.ledger.chart import Chart, Side
from clearing_svc.ledger.drafts import Draw, JournalDraft, Line, digest_of
from clearing_svc.ledger.facts import (
    EVENTS,
    FEE,
    HOLD_ID,
    OWNERS,
    BusinessEvent,
    Facts,
    NotBookable,
)
from clearing_svc.ledger.fees import Fees
from paymesh.money import Money

ANY = "*"
HOLD = "HOLD"
"""In place of a debit's subject: the accounts on which the event's hold lies."""
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_HOLD_ID = re.compile(r"hld_[a-z2-7]{28}")


class TemplateInvalid(ValueError):
    """A template that must not be used; says which and why."""


@dataclass(frozen=True, slots=True)
class EntryTemplate:
    side: Side
    subject: str
    """Or HOLD."""
    owner: str
    """A fact's name; of HOLD empty."""
    amount: Linear
    reference: str
    """A fact's name, or empty."""


Key = tuple[str, str, str]
"""Event, kind and product."""


@dataclass(frozen=True, slots=True)
class Template:
    """`kind` and `product` may be ANY. Journals by name.

    A version holds from `valid_from` (UTC) until the next one does, the first from the beginning.
    """

    event: str
    kind: str
    product: str
    journals: Mapping[str, tuple[EntryTemplate, ...]]
    nothing: bool = False
    """Whether it says that the event moves no money: then it has no journals."""
    version: int = 1
    valid_from: datetime | None = None

    @property
    def key(self) -> Key:
        return self.event, self.kind, self.product

    def __str__(self) -> str:
        return " ".join(self.key) + (f" version {self.version}" if self.version > 1 else "")


class Templates:
    """All templates, checked. Raises TemplateInvalid."""

    def __init__(self, templates: Sequence[Template], *, chart: Chart, fees: Fees) -> None:
        if HOLD in chart:
            raise TemplateInvalid(f"{HOLD} stands for a hold: no subject can have that name")
        self._fees = fees
        by_key: dict[Key, list[Template]] = {}
        for template in templates:
            _check(template, chart, fees)
        _require_booked(fees, templates)
        for template in templates:
            by_key.setdefault(template.key, []).append(template)
        self._by_key = {key: _in_order(versions) for key, versions in by_key.items()}

    def drafts(self, event: BusinessEvent) -> tuple[JournalDraft, ...]:
        """The journals that book the event: none only where a template says so.

        Raises NotBookable.
        """
        template = self._template(event)
        if template.nothing:
            return ()
        facts = self._amounts(event)
        found = [_draft(template, name, event, facts) for name in template.journals]
        drafts = tuple(draft for draft in found if draft is not None)
        if not drafts:
            raise NotBookable(f"{event.type} of {event.business_key} moves nothing")
        return drafts

    def _template(self, event: BusinessEvent) -> Template:
        """The template that fits most closely, in the version that held when it occurred."""
        for product in (event.product, ANY):
            for kind in (event.kind, ANY):
                for template in reversed(self._by_key.get((event.type, kind, product), ())):
                    if template.valid_from is None or template.valid_from <= event.occurred_at:
                        return template
        raise NotBookable(f"no template for {event.type} {event.kind} {event.product}")

    def _amounts(self, event: BusinessEvent) -> Mapping[str, Money]:
        """The event's amounts, and the fee where it has one."""
        if FEE not in EVENTS[event.type].amounts or event.product not in self._fees.rates:
            return event.amounts
        return {**event.amounts, FEE: self._fees.of(event.product, event.amounts["amount"])}


def _in_order(versions: Sequence[Template]) -> tuple[Template, ...]:
    """The versions of one template, from 1 on, each valid later than the one before."""
    ordered = sorted(versions, key=lambda template: template.version)
    if ordered[0].version != 1 or ordered[0].valid_from is not None:
        raise TemplateInvalid(f"{ordered[0]}: the first is version 1 and has no valid_from")
    names = set(ordered[0].journals)
    for older, newer in pairwise(ordered):
        if newer.version == older.version:
            raise TemplateInvalid(f"{newer}: there are two of it")
        if newer.version != older.version + 1:
            raise TemplateInvalid(f"{newer}: there is no version {older.version + 1}")
        if newer.valid_from is None:
            raise TemplateInvalid(f"{newer}: it needs a valid_from")
        if older.valid_from is not None and newer.valid_from <= older.valid_from:
            raise TemplateInvalid(f"{newer}: it must be valid later than version {older.version}")
        # A journal's name is its event_type. Should an event be told anew with a later time, only
        # the names that are taken keep another version from booking it a second time.
        lost = names - newer.journals.keys()
        if lost and not newer.nothing:
            raise TemplateInvalid(f"{newer}: it must keep the journals {sorted(lost)}")
        names |= newer.journals.keys()
    return tuple(ordered)


def _draft(
    template: Template, name: str, event: BusinessEvent, facts: Mapping[str, Money]
) -> JournalDraft | None:
    """The journal; None if all its amounts are zero."""
    entries = template.journals[name]
    lines, draw = [], None
    for entry in entries:
        amount = _amount(entry, event, facts)
        if amount.minor and entry.subject == HOLD:
            draw = _draw(amount, event)
        elif amount.minor:
            reference = event.name(entry.reference) if entry.reference else ""
            owner = event.name(entry.owner)
            lines.append(Line(entry.subject, owner, entry.side, amount, reference))
    if not lines:
        return None
    return JournalDraft(
        event_type=f"{event.type}/{name}",
        business_key=event.business_key,
        lines=tuple(lines),
        digest=_digest(entries, event),
        draw=draw,
        template_version=template.version,
    )


def _amount(entry: EntryTemplate, event: BusinessEvent, facts: Mapping[str, Money]) -> Money:
    used = [facts[name] for name in entry.amount]
    if len({money.currency for money in used}) > 1:
        raise NotBookable(f"{event.type} of {event.business_key}: currencies do not mix")
    minor = amounts.value(entry.amount, {name: facts[name].minor for name in entry.amount})
    if minor < 0:
        raise NotBookable(f"{event.type} of {event.business_key}: {entry.subject} gets {minor}")
    return Money(used[0].currency, minor)


def _draw(amount: Money, event: BusinessEvent) -> Draw:
    hold_id = event.name(HOLD_ID)
    if not _HOLD_ID.fullmatch(hold_id) or not event.hold_sources:
        raise NotBookable(f"{event.type} of {event.business_key}: {hold_id} cannot be found")
    return Draw(hold_id, amount, event.hold_sources)


def _digest(entries: Sequence[EntryTemplate], event: BusinessEvent) -> str:
    """Two events with one business key are the same to a journal if it would be made of the same
    facts: all the event's own amounts, and the names that the journal needs."""
    needed = {entry.owner for entry in entries} | {entry.reference for entry in entries}
    needed |= {HOLD_ID for entry in entries if entry.subject == HOLD}
    names = {name: event.names[name] for name in needed if name}
    money = {name: [m.currency, m.minor] for name, m in event.amounts.items()}
    return digest_of([event.kind, event.product, money, names])


def _check(template: Template, chart: Chart, fees: Fees) -> None:
    facts = EVENTS.get(template.event)
    if facts is None:
        known = _meant(template.event, EVENTS)
        raise TemplateInvalid(f"{template}: no such event is booked{known}")
    for what, value, known_values in (
        ("kind", template.kind, facts.kinds),
        ("product", template.product, facts.products),
    ):
        if value not in {ANY, *known_values}:
            meant = _meant(value, known_values)
            raise TemplateInvalid(f"{template}: {value} is no {what} of this event{meant}")
    if template.nothing == bool(template.journals):
        raise TemplateInvalid(f"{template}: it has journals or says `nothing: true`")
    for name, entries in template.journals.items():
        if not _EVENT_TYPE.fullmatch(f"{template.event}/{name}"):
            raise TemplateInvalid(f"{template}: {name!r} cannot name a journal")
        problem = _problem(entries, facts, chart)
        if problem:
            raise TemplateInvalid(f"{template} {name}: {problem}")
        if any(FEE in entry.amount for entry in entries) and template.product not in fees.rates:
            raise TemplateInvalid(f"{template} {name}: there is no fee of {template.product}")


def _require_booked(fees: Fees, templates: Sequence[Template]) -> None:
    """A rate that no template uses would be a fee that nobody takes."""
    booked = {
        template.product
        for template in templates
        for entries in template.journals.values()
        if any(FEE in entry.amount for entry in entries)
    }
    for product in sorted(fees.rates.keys() - booked):
        meant = _meant(product, booked)
        raise TemplateInvalid(f"no template books the fee of {product}{meant}")


def _meant(word: str, known: Iterable[str]) -> str:
    """The nearest right name, or all there are."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1)
    return f": is {near[0]} meant?" if near else f"; there are {', '.join(names) or 'none'}"


def _problem(entries: Sequence[EntryTemplate], facts: Facts, chart: Chart) -> str:
    """What is wrong with a journal's entries; empty when nothing is."""
    for entry in entries:
        unknown = entry.amount.keys() - facts.amounts
        if unknown:
            return f"{sorted(unknown)} are no amounts of this event"
        wrong = (_hold_problem if entry.subject == HOLD else _entry_problem)(entry, facts, chart)
        if wrong:
            return wrong
    if sum(entry.subject == HOLD for entry in entries) > 1:
        return f"{HOLD} comes twice"
    debits = [entry.amount for entry in entries if entry.side is Side.DEBIT]
    credits = [entry.amount for entry in entries if entry.side is Side.CREDIT]
    if not debits or not credits or not amounts.same(debits, credits):
        return "debits and credits are not always equal"
    return ""


def _hold_problem(entry: EntryTemplate, facts: Facts, chart: Chart) -> str:
    if HOLD_ID not in facts.names:
        return f"this event has no {HOLD_ID}"
    if entry.side is not Side.DEBIT:
        return f"{HOLD} is only debited"
    if entry.owner or entry.reference:
        return f"{HOLD} has neither owner nor reference: the hold itself knows"
    return ""


def _entry_problem(entry: EntryTemplate, facts: Facts, chart: Chart) -> str:
    subject = chart.get(entry.subject)
    if subject is None:
        return f"{entry.subject} is not in the chart of accounts"
    if entry.owner not in facts.names or entry.owner not in OWNERS:
        return f"{entry.owner!r} names no owner in this event"
    if OWNERS[entry.owner] is not subject.owner:
        return f"{entry.subject} belongs to a {subject.owner}, not to {entry.owner}"
    if entry.reference and entry.reference not in facts.names:
        return f"{entry.reference!r} is no fact of this event"
    if subject.needs_reference and not entry.reference:
        return f"{entry.subject} needs a reference"
    return ""
