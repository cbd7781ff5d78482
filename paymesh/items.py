"""What goes into a batch: items with all that their answers need. And what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from paymesh.context import Call
from paymesh.errors import PaymentError
from paymesh.store.port import CursorKey, MessageKey, RequestKey

S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RequestClaim:
    """The caller's request_id with the hash of the request's body."""

    key: RequestKey
    request_hash: bytes


class Mode(StrEnum):
    """How a consumer minds the order of an aggregate's events."""

    FACT = "FACT"
    """Every event counts once, in any order."""
    STATE = "STATE"
    """Only a newer version than the last counts; what was overtaken is dropped."""
    ORDERED = "ORDERED"
    """Only the next version counts; what comes too early is tried again. For aggregates that
    publish every version."""


@dataclass(frozen=True, slots=True)
class EventPosition:
    """An event's position among its aggregate's, for a consumer that minds it."""

    cursor: CursorKey
    sequence: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class Item:
    """One command with everything that its answer needs.

    `reply` turns the rule's answer into the response message; `response` is its type, by which a
    stored answer is read again. Both are absent where nobody waits (messages, due rows).
    """

    command: Any
    call: Call
    claim: RequestClaim | MessageKey | None = None
    reply: Callable[[Any], Message] | None = None
    response: type[Message] | None = None
    position: EventPosition | None = None
    shows_state: bool = False
    """Its answer shows what it created as it stands now, a replayed one too."""


@dataclass(frozen=True, slots=True)
class Done(Generic[S, R]):
    """An item's outcome: the reply (or the bare answer), the state after it, whether replayed."""

    reply: R
    state: S
    replayed: bool = False
    answer: Any = None
    """What the rule answered; of what was replayed only the reply was kept."""


Outcome = Done[Any, Any] | PaymentError


def keys_of(command: Any) -> tuple[str, ...]:
    """The aggregates that a command touches: its `keys` (also none), or its one `key`."""
    keys = getattr(command, "keys", None)
    return (command.key,) if keys is None else tuple(keys)
