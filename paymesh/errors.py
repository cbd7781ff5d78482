"""Refusals that know their gRPC status and reason; nothing else in the program names codes.

A PaymentError is an answer, not an accident: it tells the caller what to do. `decided` refusals
were made by a rule over the state and are stored under the request_id; the others (bad input,
overload, passed deadlines) store nothing and leave the request_id free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """The canonical gRPC status codes that we use (numbers as in google.rpc.Code)."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """Which field breaks which rule."""

    field: str
    description: str
    rule: str = ""


class PaymentError(Exception):
    """A refusal: status code, reason (payments.type.v1.ErrorReason), message, fields, metadata."""

    code: Code = Code.INTERNAL
    reason: str = "INTERNAL"
    decided: bool = True

    def __init__(
        self,
        message: str,
        *,
        fields: tuple[FieldViolation, ...] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        self.metadata = dict(metadata or {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PaymentError) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.code, self.reason, self.message))

    def _key(self) -> tuple[object, ...]:
        metadata = tuple(sorted(self.metadata.items()))
        return (self.code, self.reason, self.message, self.fields, metadata)


class InvalidField(PaymentError):
    """One or several fields break their rules. Nothing was written."""

    code, reason, decided = Code.INVALID_ARGUMENT, "INVALID_FIELD", False

    def __init__(self, field: str, description: str, *, rule: str = "") -> None:
        super().__init__(
            f"{field}: {description}", fields=(FieldViolation(field, description, rule),)
        )


FIELDS_TOLD_MAX = 10
"""A status travels in the trailers, of which clients take 8 KiB."""


class InvalidFields(PaymentError):
    """Several fields break their rules: the first are told, and how many more there are. Nothing
    was written."""

    code, reason, decided = Code.INVALID_ARGUMENT, "INVALID_FIELD", False

    def __init__(self, fields: tuple[FieldViolation, ...]) -> None:
        first = fields[:FIELDS_TOLD_MAX]
        words = [f"{field.field}: {field.description}" for field in first]
        if len(fields) > len(first):
            words.append(f"and {len(fields) - len(first)} more")
        super().__init__("; ".join(words), fields=first)


class RequestIdReused(PaymentError):
    code, reason, decided = Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", False

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id {request_id} was used for another request; choose a new one",
            fields=(FieldViolation("request_id", "was used for another request"),),
        )


class ContextMissing(PaymentError):
    code, reason, decided = Code.INVALID_ARGUMENT, "CONTEXT_MISSING", False


class TrafficMixed(PaymentError):
    code, reason, decided = Code.INVALID_ARGUMENT, "TRAFFIC_MIXED", False


class ShadowNotDeployed(PaymentError):
    """Load-test traffic, where nothing keeps it apart from live money."""

    code, reason, decided = Code.FAILED_PRECONDITION, "SHADOW_NOT_DEPLOYED", False


class NotFound(PaymentError):
    """The thing named does not exist (yet): not stored, so the same request may succeed later."""

    code, reason, decided = Code.NOT_FOUND, "NOT_FOUND", False


class IllegalMove(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "ILLEGAL_MOVE"


class CurrencyMismatch(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "CURRENCY_MISMATCH"


class AmountMismatch(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "AMOUNT_MISMATCH"


class Overloaded(PaymentError):
    code, reason, decided = Code.RESOURCE_EXHAUSTED, "OVERLOADED", False


class DeadlinePassed(PaymentError):
    code, reason, decided = Code.DEADLINE_EXCEEDED, "DEADLINE_PASSED", False


class Unavailable(PaymentError):
    code, reason, decided = Code.UNAVAILABLE, "UNAVAILABLE", False


class Internal(PaymentError):
    code, reason, decided = Code.INTERNAL, "INTERNAL", False


class Refused(PaymentError):
    """A refusal that came from elsewhere: a stored answer, or another service's status."""

    def __init__(
        self,
        *,
        code: Code,
        reason: str,
        message: str,
        fields: tuple[FieldViolation, ...] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, fields=fields, metadata=metadata)
        self.code, self.reason = code, reason

    @property
    def final(self) -> bool:
        """Whether the request was refused for good: only then did nothing happen, for sure."""
        return self.code not in TRANSIENT and self.reason not in NOT_A_VERDICT

    def verdict(self) -> str:
        """The reason, if it is final. Else it raises itself: whoever asked asks again."""
        if not self.final:
            raise self
        return self.reason


TRANSIENT = frozenset(
    {Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.INTERNAL, Code.UNAVAILABLE}
)
"""Codes that say nothing about whether the request was or will be carried out."""

NOT_A_VERDICT = frozenset(
    {
        "REQUEST_ID_REUSED",  # something was carried out under this id: look, don't give up
        "CONTEXT_MISSING",
        "TRAFFIC_MIXED",
        "SHADOW_NOT_DEPLOYED",  # of a chain from before: its money may have moved
        "UNAVAILABLE",  # also a method that a server of another version does not have
        "DEADLINE_PASSED",
        "INTERNAL",
    }
)
"""Reasons that judge the call, not the business: such a request is asked again, never failed."""
