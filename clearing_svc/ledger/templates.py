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
from clearing_svc.ledger.drafts import JournalDraft, Line, digest_of
from clearing_svc.ledger.fees import Fees
from paymesh.money import Money

ANY = "*"
FEE = "fee"
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_./-]{1,64}")


class TemplateInvalid(ValueError):
    """A template that must not be used; says which and why."""


class NotBookable(ValueError):
    """There is no way to book this event: nothing was written, a person must look."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Which facts an event type has: amounts of money, and names (of owners, of references)."""

    amounts: frozenset[str]
    names: frozenset[str]


EVENTS: Mapping[str, Facts] = {
    "pay.instruction.succeeded": Facts(
        amounts=frozenset({"amount"}),
        names=frozenset({PLATFORM, "channel_account", "payment_id"}),
    ),
    "pay.instruction.suspended": Facts(
        amounts=frozenset({"amount", "observed_amount"}),
        names=frozenset({PLATFORM, "channel_account", "payment_id"}),
    ),
    "trade.trade.paid": Facts(
        amounts=frozenset({"amount", FEE}),  # the fee is ours to know: see Fees
        names=frozenset({PLATFORM, "merchant_id", "payment_id", "trade_id"}),
    ),
}
OWNERS: Mapping[str, OwnerKind] = {
    PLATFORM: OwnerKind.PLATFORM,
    "channel_account": OwnerKind.CHANNEL,
    "merchant_id": OwnerKind.MERCHANT,
}
"""Facts that name an owner."""


@dataclass(frozen=True, slots=True)
class BusinessEvent:
    """Something that happened and is to be booked. `amounts` and `names` are its facts."""

    type: str
    kind: str
    product: str
    business_key: str
    amounts: Mapping[str, Money]
    names: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Two events with one business key are the same if all their own facts are."""
        money = {name: [m.currency, m.minor] for name, m in self.amounts.items()}
        return digest_of([self.type, self.kind, self.product, money, dict(self.names)])


@dataclass(frozen=True, slots=True)
class EntryTemplate:
    side: Side
    subject: str
    owner: str
    """A fact's name."""
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


class Templates:
    """All templates, checked. Raises TemplateInvalid."""

    def __init__(self, templates: Sequence[Template], *, chart: Chart, fees: Fees) -> None:
        self._fees = fees
        self._by_key: dict[tuple[str, str, str], Template] = {}
        for template in templates:
            key = (template.event, template.kind, template.product)
            if key in self._by_key:
                raise TemplateInvalid(f"{' '.join(key)}: there are two of it")
            _check(template, chart, fees)
            self._by_key[key] = template

    def drafts(self, event: BusinessEvent) -> tuple[JournalDraft, ...]:
        """The journals that book the event: at least one. Raises NotBookable."""
        template = self._template(event)
        facts = self._amounts(event)
        drafts = []
        for name, entries in template.journals.items():
            lines = [line for entry in entries if (line := _line(entry, event, facts)) is not None]
            if lines:
                event_type = f"{event.type}/{name}"
                drafts.append(
                    JournalDraft(event_type, event.business_key, tuple(lines), event.digest)
                )
        if not drafts:
            raise NotBookable(f"{event.type} of {event.business_key} moves nothing")
        return tuple(drafts)

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


def _line(entry: EntryTemplate, event: BusinessEvent, facts: Mapping[str, Money]) -> Line | None:
    used = [facts[name] for name in entry.amount]
    if len({money.currency for money in used}) > 1:
        raise NotBookable(f"{event.type} of {event.business_key}: currencies do not mix")
    minor = amounts.value(entry.amount, {name: facts[name].minor for name in entry.amount})
    if minor < 0:
        raise NotBookable(f"{event.type} of {event.business_key}: {entry.subject} gets {minor}")
    if minor == 0:
        return None
    return Line(
        subject=entry.subject,
        owner=event.names[entry.owner],
        side=entry.side,
        amount=Money(used[0].currency, minor),
        reference=event.names[entry.reference] if entry.reference else "",
    )


def _check(template: Template, chart: Chart, fees: Fees) -> None:
    where = f"{template.event} {template.kind} {template.product}"
    facts = EVENTS.get(template.event)
    if facts is None:
        raise TemplateInvalid(f"{where}: no such event is booked")
    if not template.journals:
        raise TemplateInvalid(f"{where}: it books nothing")
    for name, entries in template.journals.items():
        if not _EVENT_TYPE.fullmatch(f"{template.event}/{name}"):
            raise TemplateInvalid(f"{where}: {name!r} cannot name a journal")
        for entry in entries:
            problem = _problem(entry, facts, chart)
            if problem:
                raise TemplateInvalid(f"{where} {name}: {problem}")
            if FEE in entry.amount and template.product not in fees.rates:
                raise TemplateInvalid(f"{where} {name}: there is no fee of {template.product}")
        debits = [entry.amount for entry in entries if entry.side is Side.DEBIT]
        credits = [entry.amount for entry in entries if entry.side is Side.CREDIT]
        if not debits or not credits or not amounts.same(debits, credits):
            raise TemplateInvalid(f"{where} {name}: debits and credits are not always equal")


def _problem(entry: EntryTemplate, facts: Facts, chart: Chart) -> str:
    """What is wrong with one entry; empty when nothing is."""
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
    unknown = entry.amount.keys() - facts.amounts
    if unknown:
        return f"{sorted(unknown)} are no amounts of this event"
    return ""
