"""Accounting templates: what is booked for a business event, as data.

A template belongs to an event type, and to a kind or a product where that matters. On load each of
its journals is checked, and proven to balance for all amounts (clearing_svc.ledger.amounts).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clearing_svc.ledger import amounts
from clearing_svc.ledger.amounts import Linear
from clearing_svc.ledger.chart import PLATFORM, Chart, OwnerKind, Side
from clearing_svc.ledger.drafts import AccountRef, Draw, JournalDraft, Line, digest_of
from clearing_svc.ledger.fees import Fees
from paymesh.money import Money

ANY = "*"
FEE = "fee"
HOLD = "HOLD"
"""In place of a debit's subject: the accounts on which the event's hold lies."""
HOLD_ID = "hold_id"
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_HOLD_ID = re.compile(r"hld_[a-z2-7]{28}")


class TemplateInvalid(ValueError):
    """A template that must not be used; says which and why."""


class NotBookable(ValueError):
    """There is no way to book this event: nothing was written, a person must look."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Which facts an event type has: amounts of money, and names (of owners, of references)."""

    amounts: frozenset[str]
    names: frozenset[str]


_INSTRUCTION = frozenset(
    {
        PLATFORM,
        "channel_account",
        "payment_id",
        "origin_payment_id",
        "payer_id",
        "merchant_id",
        HOLD_ID,
    }
)
EVENTS: Mapping[str, Facts] = {
    "pay.instruction.succeeded": Facts(frozenset({"amount"}), _INSTRUCTION),
    "pay.instruction.suspended": Facts(frozenset({"amount", "observed_amount"}), _INSTRUCTION),
    "pay.instruction.bounced": Facts(frozenset({"amount"}), _INSTRUCTION),
    "trade.trade.paid": Facts(
        amounts=frozenset({"amount", FEE}),  # the fee is ours to know: see Fees
        names=frozenset({PLATFORM, "merchant_id", "payment_id", "trade_id", "payee_id"}),
    ),
}
OWNERS: Mapping[str, OwnerKind] = {
    PLATFORM: OwnerKind.PLATFORM,
    "channel_account": OwnerKind.CHANNEL,
    "merchant_id": OwnerKind.MERCHANT,
    "payer_id": OwnerKind.USER,
    "payee_id": OwnerKind.USER,
}
"""Facts that name an owner."""


@dataclass(frozen=True, slots=True)
class BusinessEvent:
    """Something that happened and is to be booked. `amounts` and `names` are its facts.

    A name that it does not have is empty.
    """

    type: str
    kind: str
    product: str
    business_key: str
    amounts: Mapping[str, Money]
    names: Mapping[str, str]
    hold_sources: tuple[AccountRef, ...] = ()
    """The accounts on which the hold of its hold_id may lie."""

    def name(self, fact: str) -> str:
        """A name that is needed. Raises NotBookable where there is none."""
        if not self.names[fact]:
            raise NotBookable(f"{self.type} of {self.business_key} has no {fact}")
        return self.names[fact]


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


@dataclass(frozen=True, slots=True)
class Template:
    """`kind` and `product` may be ANY. Journals by name."""

    event: str
    kind: str
    product: str
    journals: Mapping[str, tuple[EntryTemplate, ...]]
    nothing: bool = False
    """Whether it says that the event moves no money: then it has no journals."""


class Templates:
    """All templates, checked. Raises TemplateInvalid."""

    def __init__(self, templates: Sequence[Template], *, chart: Chart, fees: Fees) -> None:
        if HOLD in chart:
            raise TemplateInvalid(f"{HOLD} stands for a hold: no subject can have that name")
        self._fees = fees
        self._by_key: dict[tuple[str, str, str], Template] = {}
        for template in templates:
            key = (template.event, template.kind, template.product)
            if key in self._by_key:
                raise TemplateInvalid(f"{' '.join(key)}: there are two of it")
            _check(template, chart, fees)
            self._by_key[key] = template

    def drafts(self, event: BusinessEvent) -> tuple[JournalDraft, ...]:
        """The journals that book the event: none only where a template says so.

        Raises NotBookable.
        """
        template = self._template(event)
        if template.nothing:
            return ()
        facts = self._amounts(event)
        found = [_draft(name, of, event, facts) for name, of in template.journals.items()]
        drafts = tuple(draft for draft in found if draft is not None)
        if not drafts:
            raise NotBookable(f"{event.type} of {event.business_key} moves nothing")
        return drafts

    def _template(self, event: BusinessEvent) -> Template:
        """The template that fits most closely."""
        for product in (event.product, ANY):
            for kind in (event.kind, ANY):
                found = self._by_key.get((event.type, kind, product))
                if found is not None:
                    return found
        raise NotBookable(f"no template for {event.type} {event.kind} {event.product}")

    def _amounts(self, event: BusinessEvent) -> Mapping[str, Money]:
        """The event's amounts, and the fee where it has one."""
        if FEE not in EVENTS[event.type].amounts or event.product not in self._fees.rates:
            return event.amounts
        return {**event.amounts, FEE: self._fees.of(event.product, event.amounts["amount"])}


def _draft(
    name: str, entries: Sequence[EntryTemplate], event: BusinessEvent, facts: Mapping[str, Money]
) -> JournalDraft | None:
    """The journal; None if all its amounts are zero."""
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
    event_type, key = f"{event.type}/{name}", event.business_key
    return JournalDraft(event_type, key, tuple(lines), _digest(entries, event), draw)


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
    where = f"{template.event} {template.kind} {template.product}"
    facts = EVENTS.get(template.event)
    if facts is None:
        raise TemplateInvalid(f"{where}: no such event is booked")
    if template.nothing == bool(template.journals):
        raise TemplateInvalid(f"{where}: it has journals or says `nothing: true`")
    for name, entries in template.journals.items():
        if not _EVENT_TYPE.fullmatch(f"{template.event}/{name}"):
            raise TemplateInvalid(f"{where}: {name!r} cannot name a journal")
        problem = _problem(entries, facts, chart)
        if problem:
            raise TemplateInvalid(f"{where} {name}: {problem}")
        if any(FEE in entry.amount for entry in entries) and template.product not in fees.rates:
            raise TemplateInvalid(f"{where} {name}: there is no fee of {template.product}")


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
