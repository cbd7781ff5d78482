"""Messages for every RPC, made of descriptors, their validation rules, and rows that there are.

Most are valid, some are wrong in one place, a few are wrong everywhere. What a message of a kind
needs to mean something (amounts that add up, parties of a trade's type) is said once a kind, in
SHAPES; everything else follows from the contract.
"""

from __future__ import annotations

import re
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from payments.trade.v1 import trade_pb2

F = FieldDescriptor
ID = re.compile(r"^([a-z]{3})_[a-z2-7]{28}$")
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
FIRST_DAY = date(2020, 1, 1)
"""Of the books."""
KEPT = 3000
"""Ids of a kind that are remembered, the newest."""
HOSTILE_TEXTS = (
    "", " ", "\x00", "\n", "\x1b[31mred", "abc\u202ecba", "e\u0301", "😀" * 40, "a" * 70,
    "b" * 5000,
    "' OR 1=1 --", "../../etc/passwd", "{{7*7}}", "null", "NaN", "4111111111111111", "\ufeffx",
)  # fmt: skip
INTEGERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**53, 2**63 - 1, -(2**63), 10**16, 10**16 + 1)
SECONDS = (0, -62135596800, 253402300799, 253402300800, -62135596801, 2**62, -(2**62))


@dataclass
class Pool:
    """What is there: ids by their prefix, and what belongs together."""

    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    codes: list[tuple[str, str, str, str]] = field(default_factory=list)
    """merchant_id, order_type, sub_type, pay_org_no: registered together."""
    users: list[str] = field(default_factory=lambda: [f"fuzz-{n}" for n in range(20)])
    owners: list[str] = field(default_factory=lambda: [f"fuzz-{n}" for n in range(20)])
    """What the ledger calls users."""
    beneficiaries: dict[str, Any] = field(default_factory=dict)
    merchants: dict[str, str] = field(default_factory=dict)
    """Whose a trade or a beneficiary is."""
    pending: dict[str, Any] = field(default_factory=dict)
    """Trades that nobody has paid or closed, as far as we know."""
    undoable: list[str] = field(default_factory=list)
    """Callers' journals."""
    holds: dict[str, Any] = field(default_factory=dict)
    closed: date = FIRST_DAY - timedelta(days=1)
    """The last one."""

    def learn(self, message: Any) -> None:
        """Remembers the ids in an answer."""
        name = message.DESCRIPTOR.full_name
        if name == "payments.trade.v1.Trade":
            if message.state == trade_pb2.TRADE_STATE_PENDING and not message.attempts:
                self.pending[message.trade_id] = message
            else:
                self.pending.pop(message.trade_id, None)
            self.merchants[message.trade_id] = message.merchant_id
        if name == "payments.pay.v1.Beneficiary":
            self.merchants[message.beneficiary_id] = message.merchant_id
            self.beneficiaries[message.beneficiary_id] = message
        if name == "payments.clearing.v1.Hold":
            self.holds[message.hold_id] = message
        if name == "payments.clearing.v1.Account" and message.owner.startswith("fuzz-own-"):
            self.ids["own"].append(message.account_id)
        if name == "payments.clearing.v1.Journal" and not message.reverses_journal_id:
            self.undoable.append(message.journal_id)
        if name == "payments.clearing.v1.CloseDayResponse":
            day = message.day.accounting_date
            self.closed = max(self.closed, date(day.year, day.month, day.day))
        for descriptor, value in message.ListFields():
            values = list(value)[-20:] if descriptor.is_repeated else (value,)
            if descriptor.type == F.TYPE_STRING:
                for text in values:
                    found = ID.match(text)
                    if found or descriptor.name == "request_no":
                        known = self.ids[found[1] if found else descriptor.name]
                        known.append(text)
                        del known[:-KEPT]
            elif descriptor.message_type is not None:
                for inner in values:
                    if isinstance(inner, Message):  # of maps we get the keys
                        self.learn(inner)


def rules_of(of: Any) -> Any:
    options: Any = of.GetOptions()
    return options.Extensions[validate_pb2.field]


Shape = Callable[["Maker", Any], None]


@dataclass
class Maker:
    dice: Random
    pool: Pool
    shapes: dict[str, Shape] = field(default_factory=dict)
    """By the name of the message, for those that mean something only as a whole."""

    def make(self, descriptor: Any) -> Message:
        """A valid one in 7 of 10, wrong in a place in 2, wrong wherever that can be in 1."""
        message = self.valid(descriptor)
        kind = self.dice.choices(("valid", "near", "hostile"), weights=(7, 2, 1))[0]
        places = list(_places(message))
        if kind == "near" and places:
            self._spoil(*self.dice.choice(places))
        if kind == "hostile":
            for place in places:
                if self.dice.random() < 0.3:
                    self._spoil(*place)
        return message

    def valid(self, descriptor: Any) -> Message:
        message: Any = GetMessageClass(descriptor)()
        oneofs = {
            o.name: self.dice.choice(o.fields).name
            for o in descriptor.oneofs
            if not o.fields[0].has_presence or len(o.fields) > 1
        }
        for of in descriptor.fields:
            one = of.containing_oneof
            if one is not None and oneofs.get(one.name, of.name) != of.name:
                continue
            rules = rules_of(of)
            needed = rules.required or one is not None or of.name in {"call_context", "request"}
            if of.message_type is not None and not needed and self.dice.random() < 0.5:
                continue
            if of.is_repeated:
                low = rules.repeated.min_items or 0
                high = min(rules.repeated.max_items or 3, low + 5)
                for _ in range(self.dice.randint(low, max(low, high))):
                    self._add(message, of)
            elif of.message_type is not None:
                getattr(message, of.name).CopyFrom(self.valid(of.message_type))
            else:
                setattr(message, of.name, self.scalar(of, rules))
        shape = self.shapes.get(descriptor.full_name.rpartition(".")[2])
        if shape is not None and self.dice.random() < 0.8:
            shape(self, message)
        return message

    def _add(self, message: Any, of: Any) -> None:
        if of.message_type is not None:
            getattr(message, of.name).append(self.valid(of.message_type))
        else:
            rules = rules_of(of).repeated.items
            getattr(message, of.name).append(self.scalar(of, rules))

    def scalar(self, of: Any, rules: Any) -> Any:
        """A value that its own rules let through."""
        dice = self.dice
        if of.type == F.TYPE_STRING:
            return self._text(of.name, rules.string)
        if of.type == F.TYPE_BYTES:
            return dice.randbytes(rules.bytes.len or rules.bytes.min_len or dice.choice((0, 32)))
        if of.type == F.TYPE_ENUM:
            numbers = [v.number for v in of.enum_type.values]
            return dice.choice([n for n in numbers if n not in rules.enum.not_in] or numbers)
        if of.type == F.TYPE_BOOL:
            return dice.random() < 0.5
        if of.name == "minor_units":
            return dice.choice((1, 2, 99, 100, dice.randint(1, 5000), 10**9))
        if of.name in {"seconds"}:
            return int(time.time()) + dice.choice((-3600, 60, 600, 3600, 86400))
        if of.name in {"year", "month", "day"}:
            now = time.gmtime(time.time() - 86400 * dice.choice((0, 0, 1, 2, 40)))
            return {"year": now.tm_year, "month": now.tm_mon, "day": now.tm_mday}[of.name]
        if of.name in {"nanos", "remaining_ms"}:
            return 0 if of.name == "nanos" else dice.choice((0, 5000))
        return dice.choice((0, 1, 2, 10))

    def _text(self, name: str, rules: Any) -> str:
        dice, pool = self.dice, self.pool
        if rules.uuid:
            return str(uuid.UUID(int=dice.getrandbits(128), version=4))
        prefixes = re.match(r"^\^\(?\(?([a-z]{3}(?:\|[a-z]{3})*)\)?_", rules.pattern)
        if prefixes:
            prefix = dice.choice(prefixes[1].split("|"))
            optional = rules.pattern.endswith(")?$")
            if optional and dice.random() < 0.7:
                return ""
            known = pool.ids[prefix]
            return dice.choice(known) if known and dice.random() < 0.9 else self.new_id(prefix)
        if name == "request_no":
            return dice.choice([*pool.ids[name], self.new_id("xxx")[4:]])
        if rules.pattern == "^[A-Z]{3}$":
            return dice.choice(("EUR", "EUR", "EUR", "USD", "JPY", "KWD"))
        if name in {"payer_id", "payee_id", "owner_id"}:
            return dice.choice(pool.users)
        if name == "owner":
            return dice.choice(pool.owners)
        if name == "channel":
            return "sandbox"
        if name in {"page_token", "cursor", "traceparent", "origin"}:
            return ""
        if name == "notify_url":
            return dice.choice(("", "http://127.0.0.1:9/hook"))
        if name == "event_type":
            return dice.choice(("shop/sale", "shop/bonus"))
        if name in {"merchant_id", "order_type", "sub_type", "pay_org_no"} and pool.codes:
            at = ("merchant_id", "order_type", "sub_type", "pay_org_no").index(name)
            return dice.choice(pool.codes)[at]
        if name == "subject" and "A-Z_" in rules.pattern:
            return dice.choice(("USER_BALANCE", "BANK", "MERCHANT_PENDING"))
        letters = re.match(r"\^(\[[^]]*\])", rules.pattern)
        alphabet = [c for c in "abcXYZ019_- äß书" if not letters or re.match(letters[1], c)]
        length = dice.randint(max(1, rules.min_len), min(rules.max_len or 20, 20))
        return "".join(dice.choices(alphabet, k=length)).strip() or "xxxx"

    def new_id(self, prefix: str) -> str:
        """In a shard that there is."""
        shard = self.dice.choice("ab") + self.dice.choice(_BASE32)
        return f"{prefix}_{shard}" + "".join(self.dice.choice(_BASE32) for _ in range(26))

    def _spoil(self, message: Any, of: Any) -> None:
        dice = self.dice
        if of.is_repeated:
            kept = list(getattr(message, of.name))
            message.ClearField(of.name)
            if dice.random() < 0.5:
                getattr(message, of.name).extend(kept * dice.choice((2, 30)))
        elif of.message_type is not None:
            message.ClearField(of.name)
        elif of.type == F.TYPE_STRING:
            known = [i for ids in self.pool.ids.values() for i in ids[-3:]]
            setattr(message, of.name, dice.choice((*HOSTILE_TEXTS, *known)))
        elif of.type == F.TYPE_BYTES:
            setattr(message, of.name, dice.choice((b"", b"\xff" * 40, dice.randbytes(5000))))
        elif of.type == F.TYPE_ENUM:
            setattr(message, of.name, dice.choice((0, 1, 77, -1, 2**31 - 1)))
        elif of.type == F.TYPE_BOOL:
            setattr(message, of.name, not getattr(message, of.name))
        else:
            wide = of.type in {F.TYPE_INT64, F.TYPE_SINT64}
            values = SECONDS if of.name == "seconds" else INTEGERS
            small = [v for v in values if wide or -(2**31) <= v < 2**31]
            setattr(message, of.name, dice.choice(small))


def _places(message: Message) -> Iterator[tuple[Message, Any]]:
    """Every field of the message and of those in it."""
    for of in message.DESCRIPTOR.fields:
        yield message, of
    for of, value in message.ListFields():
        if of.message_type is not None:
            for inner in value if of.is_repeated else (value,):
                yield from _places(inner)
