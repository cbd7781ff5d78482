"""Only a verdict on the business ends an effect; whatever judges the call is asked again."""

from __future__ import annotations

import pytest

from paymesh.errors import Code, Refused

VERDICTS = [
    (Code.FAILED_PRECONDITION, "CHANNEL_NOT_OFFERED"),
    (Code.FAILED_PRECONDITION, "AMOUNT_MISMATCH"),
    (Code.INVALID_ARGUMENT, "INVALID_FIELD"),
]
NO_VERDICTS = [
    (Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED"),
    (Code.INVALID_ARGUMENT, "CONTEXT_MISSING"),
    (Code.INVALID_ARGUMENT, "TRAFFIC_MIXED"),
    (Code.FAILED_PRECONDITION, "SHADOW_NOT_DEPLOYED"),
    (Code.UNIMPLEMENTED, "UNAVAILABLE"),
    (Code.UNAVAILABLE, "UNAVAILABLE"),
    (Code.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
    (Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    (Code.INTERNAL, "INTERNAL"),
]


@pytest.mark.parametrize(("code", "reason"), VERDICTS)
def test_a_verdict_is_final(code: Code, reason: str) -> None:
    assert Refused(code=code, reason=reason, message="").final


@pytest.mark.parametrize(("code", "reason"), NO_VERDICTS)
def test_what_says_nothing_of_the_business_never_fails_a_payment(code: Code, reason: str) -> None:
    """A request_id that was used means that a payment exists; a missing method, an old server."""
    assert not Refused(code=code, reason=reason, message="").final
