"""What a channel would refuse for ever is fitted, or refused where it can still be corrected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymesh.channel_texts import CHANNEL_TEXTS, WITHOUT_SUBJECT, ChannelTexts
from paymesh_ops.sandbox.requests import _text

SANDBOX = CHANNEL_TEXTS["sandbox"]
NARROW = ChannelTexts(subject=40, account_no=10, account_name=5, subject_bytes=42)

SUBJECTS = st.builds(str.__mul__, st.text(max_size=20), st.integers(1, 20))
"""Long ones, too."""


@given(SUBJECTS)
def test_any_subject_fits(subject: str) -> None:
    """As the sandbox reads it; fitted again it stays."""
    fitted = SANDBOX.fitted(subject)
    assert _text({"subject": fitted}, "subject", chars_max=127) == fitted
    assert SANDBOX.fitted(fitted) == fitted


@given(SUBJECTS)
def test_where_bytes_count_no_character_is_cut_in_two(subject: str) -> None:
    fitted = NARROW.fitted(subject)
    assert 0 < len(fitted) <= 40
    assert len(fitted.encode()) <= 42
    assert fitted.isprintable()


@pytest.mark.parametrize(
    ("subject", "fitted"),
    [
        ("Books", "Books"),
        ("", WITHOUT_SUBJECT),
        (" \n ", WITHOUT_SUBJECT),
        ("two\nlines", "two lines"),
        ("a" * 127, "a" * 127),
        ("a" * 128, "a" * 126 + "…"),
    ],
)
def test_as_little_as_possible_is_changed(subject: str, fitted: str) -> None:
    assert SANDBOX.fitted(subject) == fitted


@pytest.mark.parametrize(
    ("account_no", "account_name", "fields"),
    [
        ("DE00", "Ann", []),
        ("1" * 34, "a" * 64, []),
        ("1" * 35, "a" * 65, ["account_no", "account_name"]),
        ("DE00", "Ann\u3000Lee", ["account_name"]),
    ],
)
def test_whom_it_would_not_pay_is_told_by_field(
    account_no: str, account_name: str, fields: list[str]
) -> None:
    found = SANDBOX.refusals(account_no=account_no, account_name=account_name)
    assert [violation.field for violation in found] == fields
