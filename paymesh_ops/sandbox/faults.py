"""The knobs: which faults the sandbox shows, how often, and which exactly next.

A document of knobs per verb; PUT /admin/faults replaces it whole, so PUT {} heals everything:

    {"seed": 7,
     "*":        {"latency_ms": 20, "error_rate": 0.05, "timeout_rate": 0.02},
     "callback": {"lost_rate": 0.1, "duplicate_times": 2, "reorder_rate": 0.5},
     "next":     {"prepay": {"timeout": 1}, "callback": {"wrong_amount": 2}}}

"*" is every HTTP verb, and a verb's own knob wins over it. `<fault>_rate` is a probability.
`next.<verb>.<fault>` = n makes the next n chances of that fault happen, whatever its rate. Each
fault has a random stream of its own from the seed, so one verb's traffic does not shift another's.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

DELAY_MS_MAX = 600_000
COPIES_MAX = 20
NEXT_MAX = 1_000_000

_HTTP: dict[str, float] = {
    "latency_ms": 0,  # before doing it
    "answer_latency_ms": 0,  # after doing it, so the callback can come before the answer
    "error_rate": 0,  # 500, nothing done
    "timeout_rate": 0,  # done, and never answered
    "lost_answer_rate": 0,  # done, and answered 500
}
_API = {**_HTTP, "bad_signature_rate": 0}  # done, and answered with a signature that is wrong

KNOBS: dict[str, dict[str, float]] = {
    "prepay": _API,
    "query": _API,
    "close": _API,
    "query_refund": _API,
    "query_payout": _API,
    "pay": {
        **_HTTP,
        "late_success_rate": 0,  # a closed order takes the money all the same
        "wrong_amount_rate": 0,  # the payer really pays one unit more than was asked
        "partial_rate": 0,  # the payer really pays half of what was asked
    },
    "refund": {
        **_API,
        "processing_ms": 50,  # PROCESSING lasts that long
        "bounce_ms": 200,  # from SUCCESS to FAILED, where the fate is BOUNCE
        "sync_rate": 0,  # already final in the answer
        "decline_rate": 0,
        "stuck_rate": 0,
        "bounce_rate": 0,
        "short_rate": 0,  # refused with NOT_ENOUGH, nothing kept
    },
    "payout": {
        **_API,
        "processing_ms": 50,
        "bounce_ms": 200,
        "sync_rate": 0,
        "decline_rate": 0,
        "stuck_rate": 0,
        "bounce_rate": 0,
        "short_rate": 0,
    },
    "callback": {
        "delay_ms": 0,
        "lost_rate": 0,  # never sent
        "duplicate_rate": 1,  # of all callbacks, if duplicate_times > 0
        "duplicate_times": 0,  # further copies, sent at the same time
        "reorder_rate": 0,  # held back for a random part of reorder_ms, so others overtake it
        "reorder_ms": 500,
        "wrong_amount_rate": 0,  # the callback says one unit more; the book and queries do not
        "bad_signature_rate": 0,  # one try is signed wrongly
        "stale_rate": 0,  # one try is signed as of an hour ago
    },
}
"""Every verb, its knobs and their defaults."""

ANY_VERB = "*"
_RATE = "_rate"


class UnknownKnob(ValueError):
    """The document has a verb, a knob or a value that does not exist."""


class Faults:
    """The knobs as they stand, and the dice. One event loop owns it."""

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()
        """How often each fault happened since the start, by "verb.fault"."""
        self.replace({})

    def replace(self, document: Mapping[str, Any]) -> None:
        """Turn all knobs to what the document says. Raises UnknownKnob and changes nothing."""
        seed = document.get("seed", 0)
        if type(seed) is not int:
            raise UnknownKnob("seed is an integer")
        common = _table(document, ANY_VERB)
        for knob, value in common.items():
            _check_knob(ANY_VERB, _HTTP, knob, value)
        for verb in document.keys() - KNOBS.keys() - {"seed", "next", ANY_VERB}:
            raise UnknownKnob(f"no verb {verb!r}; there are {', '.join(KNOBS)}")
        knobs: dict[str, dict[str, float]] = {}
        for verb, defaults in KNOBS.items():
            own = _table(document, verb)
            for knob, value in own.items():
                _check_knob(verb, defaults, knob, value)
            knobs[verb] = {**defaults, **(common if verb != "callback" else {}), **own}
        self._next = _one_shots(_table(document, "next"))
        self._knobs = knobs
        self._seed = seed
        self._dice: dict[tuple[str, str], random.Random] = {}

    def document(self) -> dict[str, Any]:
        """The knobs as they stand; may be given to `replace`."""
        left = {verb: {f: n for f, n in faults.items() if n} for verb, faults in self._next.items()}
        return {
            "seed": self._seed,
            **{verb: dict(knobs) for verb, knobs in self._knobs.items()},
            "next": {verb: faults for verb, faults in left.items() if faults},
        }

    def number(self, verb: str, knob: str) -> int:
        """A knob that is a count or a time in milliseconds."""
        return int(self._knobs[verb][knob])

    def seconds(self, verb: str, knob: str) -> float:
        """A knob in milliseconds, as seconds."""
        return self._knobs[verb][knob] / 1000

    def fires(self, verb: str, fault: str) -> bool:
        """Whether the fault happens this time."""
        left = self._next.get(verb, {}).get(fault, 0)
        if left > 0:
            self._next[verb][fault] = left - 1
        else:
            rate = self._knobs[verb][fault + _RATE]
            if rate <= 0 or self._die(verb, fault).random() >= rate:
                return False
        self.fired[f"{verb}.{fault}"] += 1
        return True

    def copies(self) -> int:
        """How many further copies of a callback are sent."""
        times = self.number("callback", "duplicate_times")
        asked = self._next.get("callback", {}).get("duplicate", 0) > 0
        if times == 0 and not asked:
            return 0
        return max(times, 1) if self.fires("callback", "duplicate") else 0

    def reorder_delay_s(self) -> float:
        """How long a callback is held back so that others overtake it."""
        if not self.fires("callback", "reorder"):
            return 0.0
        part = self._die("callback", "reorder_ms").random()
        return part * self.seconds("callback", "reorder_ms")

    def _die(self, verb: str, fault: str) -> random.Random:
        key = (verb, fault)
        if key not in self._dice:
            self._dice[key] = random.Random(f"{self._seed}:{verb}:{fault}")
        return self._dice[key]


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise UnknownKnob(f"{key!r} is an object")
    return value


def _check_knob(verb: str, known: Mapping[str, float], knob: str, value: object) -> None:
    if knob not in known:
        raise UnknownKnob(f"{verb} has no {knob!r}; it has {', '.join(known)}")
    if knob.endswith(_RATE):
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise UnknownKnob(f"{verb}.{knob} is a number from 0 to 1")
        return
    top = DELAY_MS_MAX if knob.endswith("_ms") else COPIES_MAX
    if type(value) is not int or not 0 <= value <= top:
        raise UnknownKnob(f"{verb}.{knob} is an integer from 0 to {top}")


def _one_shots(document: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    shots: dict[str, dict[str, int]] = {}
    for verb in document:
        if verb not in KNOBS:
            raise UnknownKnob(f"next: no verb {verb!r}; there are {', '.join(KNOBS)}")
        shots[verb] = {}
        for fault, times in _table(document, verb).items():
            if fault + _RATE not in KNOBS[verb]:
                raise UnknownKnob(f"next.{verb}: no fault {fault!r}")
            if type(times) is not int or not 0 <= times <= NEXT_MAX:
                raise UnknownKnob(f"next.{verb}.{fault} is an integer from 0 to {NEXT_MAX}")
            shots[verb][fault] = times
    return shots
