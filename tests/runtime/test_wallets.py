"""Whose balance a payer's is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymesh.wallets import SHARED, imitates, of_merchant, wallet_id

A, B = "mer_" + 28 * "a", "mer_" + 28 * "b"
PAYERS = st.one_of(st.text(min_size=1, max_size=8), st.sampled_from([A, f"{A}/tom", f"{B}/", "/"]))
SCOPES = st.sampled_from([SHARED, A, B])


@given(SCOPES, PAYERS, SCOPES, PAYERS)
def test_two_payers_have_one_wallet_only_if_they_are_one(
    scope: str, payer: str, other_scope: str, other: str
) -> None:
    """Among payers that are taken: whatever they are called, none is another scope's."""
    if imitates(scope, payer) or imitates(other_scope, other):
        return
    one = wallet_id(scope, payer) == wallet_id(other_scope, other)
    assert one == ((scope, payer) == (other_scope, other))


@pytest.mark.parametrize("payer", ["tom", "a/b", "mer_1/tom", "", f" {A}/tom"])
def test_wallets_of_before_keep_their_names(payer: str) -> None:
    assert wallet_id(SHARED, payer) == payer
    assert not imitates(SHARED, payer)


def test_only_the_shared_scope_can_be_imitated_from() -> None:
    assert imitates(SHARED, f"{A}/tom")
    assert not imitates(B, f"{A}/tom")
    assert wallet_id(B, f"{A}/tom") == f"{B}/{A}/tom"


def test_a_merchant_sees_its_own_accounts_and_those_in_its_scope() -> None:
    assert of_merchant(A, A)
    assert of_merchant(wallet_id(A, "tom"), A)
    assert not of_merchant(wallet_id(B, "tom"), A)
    assert not of_merchant("tom", A)
    assert not of_merchant(f"{A}x", A)
