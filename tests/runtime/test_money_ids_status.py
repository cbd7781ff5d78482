"""Values that must never lose anything: money, ids, refusals; each for all inputs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from hypothesis import example, given
from hypothesis import strategies as st
from payments.pay.v1.payment_service_pb2 import CreatePaymentRequest

from paymesh.context import Context, Traffic
from paymesh.errors import (
    Code,
    CurrencyMismatch,
    FieldViolation,
    InvalidField,
    InvalidFields,
    Refused,
    ShadowNotDeployed,
)
from paymesh.ids import (
    BUCKETS,
    body_of,
    bucket_of,
    derived_id,
    new_id,
    request_id_for,
    shard_of,
)
from paymesh.money import EXPONENTS, MINOR_UNITS_MAX, Money, known_currency, share, total
from paymesh.status import from_status, to_status
from paymesh.wire import context_of, context_to, money_of, money_to, time_asked, time_of, time_to

MINOR = st.integers(-MINOR_UNITS_MAX - 1, MINOR_UNITS_MAX)
CURRENCIES = st.sampled_from(sorted(EXPONENTS))
MONEY = st.builds(Money, CURRENCIES, MINOR)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


# Ids


@given(st.integers(0, BUCKETS - 1), st.sampled_from(["trd", "pay", "evt"]))
def test_an_id_carries_its_bucket(bucket: int, prefix: str) -> None:
    made = new_id(prefix, bucket=bucket)
    assert shard_of(made) == shard_of(body_of(made)) == bucket
    assert made.startswith(f"{prefix}_")
    assert len(body_of(made)) == 28
    assert set(body_of(made)) <= set("abcdefghijklmnopqrstuvwxyz234567")


@given(st.integers(0, BUCKETS - 1), TEXT)
def test_a_derived_id_always_follows_from_its_key(bucket: int, key: str) -> None:
    made = derived_id("ntf", bucket=bucket, key=key)
    assert made == derived_id("ntf", bucket=bucket, key=key)
    assert made != derived_id("ntf", bucket=bucket, key=key + "x")
    assert shard_of(made) == bucket


def test_later_ids_of_one_bucket_sort_after_earlier_ones() -> None:
    """As text, in C collation, as the database sorts them."""
    made = [new_id("trd", bucket=500) for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@given(TEXT)
def test_a_bucket_is_one_of_1024_and_stable(key: str) -> None:
    assert 0 <= bucket_of(key) == bucket_of(key) < BUCKETS
    assert bucket_of("mer_1") == 549


@given(TEXT, TEXT)
def test_one_act_on_one_thing_is_one_request(thing: str, act: str) -> None:
    assert request_id_for(thing, act=act) == request_id_for(thing, act=act)
    assert request_id_for(thing, act=act) != request_id_for(thing, act=f"{act}x")


@pytest.mark.parametrize("key", ["", "x", "trd_", "trd_!!", "TRD_AA"])
def test_what_is_no_id_has_no_shard(key: str) -> None:
    with pytest.raises(LookupError):
        shard_of(key)


# Money


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money("EUR", 1234), "EUR 12.34"),
        (Money("EUR", 5), "EUR 0.05"),
        (Money("EUR", -5), "EUR -0.05"),
        (Money("EUR", 0), "EUR 0.00"),
        (Money("JPY", 500), "JPY 500"),
        (Money("JPY", -1234567), "JPY -1,234,567"),
        (Money("KWD", 1234), "KWD 1.234"),
        (Money("CNY", MINOR_UNITS_MAX), "CNY 92,233,720,368,547,758.07"),
    ],
)
def test_money_is_written_for_people(money: Money, text: str) -> None:
    assert str(money) == text


@given(MONEY)
def test_the_text_of_money_names_its_exact_amount(money: Money) -> None:
    currency, amount = str(money).split(" ")
    units = Decimal(amount.replace(",", "")).scaleb(EXPONENTS[currency])
    assert (currency, units) == (money.currency, Decimal(money.minor))


@given(MONEY, MINOR)
def test_adding_and_taking_away_is_exact(money: Money, minor: int) -> None:
    other = Money(money.currency, minor)
    assert money + other - other == money
    assert total([money, other], currency=money.currency).minor == money.minor + minor


@given(MONEY, CURRENCIES)
def test_currencies_never_mix(money: Money, currency: str) -> None:
    if currency != money.currency:
        for mix in (money.__add__, money.__sub__):
            with pytest.raises(CurrencyMismatch):
                mix(Money(currency, 1))


@given(MONEY, st.decimals(0, 1, places=20))
@example(Money("CNY", MINOR_UNITS_MAX), Decimal("0.49999999999999999999999999999999"))
@example(Money("CNY", 5), Decimal("0.1"))
@example(Money("CNY", -5), Decimal("0.1"))
def test_a_share_is_exact_and_rounded_half_up(money: Money, rate: Decimal) -> None:
    """Half up means away from zero, once: compared with fractions, which never round."""
    exact = abs(Fraction(money.minor) * Fraction(rate))
    expected = floor(exact + Fraction(1, 2)) * (-1 if money.minor < 0 else 1)
    assert share(money, rate) == Money(money.currency, expected)


def test_only_currencies_with_a_minor_unit_are_known() -> None:
    assert known_currency("JPY", field="amount") == "JPY"
    for code in ("", "XXX", "eur", "EURO"):
        with pytest.raises(InvalidField) as refused:
            known_currency(code, field="amount.currency_code")
        assert refused.value.fields[0].field == "amount.currency_code"


# Refusals and messages


REFUSALS = st.builds(
    Refused,
    code=st.sampled_from(Code),
    reason=st.text("ABCDEFGHIJ_", min_size=1, max_size=20),
    message=TEXT,
    fields=st.lists(st.builds(FieldViolation, TEXT, TEXT, TEXT), max_size=4).map(tuple),
    metadata=st.dictionaries(TEXT, TEXT, max_size=6),
)


@given(REFUSALS)
def test_a_refusal_survives_its_way_as_a_status(refusal: Refused) -> None:
    """Through bytes too, as a stored answer."""
    assert from_status(to_status(refusal)) == refusal
    data = to_status(refusal).SerializeToString(deterministic=True)
    assert from_status(Status.FromString(data)) == refusal


@given(st.integers(-(2**31), 2**31 - 1))
def test_a_code_that_we_do_not_use_is_internal(number: int) -> None:
    found = from_status(Status(code=number, message="x"))
    known = number in list(Code)
    assert found.code == (number if known else Code.INTERNAL)
    assert found.reason == "INTERNAL"


@given(st.builds(Context, TEXT, TEXT, TEXT, TEXT, TEXT, st.just(Traffic.LIVE), TEXT), MONEY)
def test_context_and_money_survive_their_way_as_messages(context: Context, money: Money) -> None:
    """SHADOW never arrives."""
    assert context_of(context_to(context)) == context
    with pytest.raises(ShadowNotDeployed):
        context_of(context_to(replace(context, traffic=Traffic.SHADOW)))
    assert money_of(money_to(money)) == money


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_survives_its_way_as_a_message(at: datetime) -> None:
    stamp = time_to(at)
    assert stamp is not None
    assert time_of(stamp) == at
    assert time_to(None) is None


def test_a_refusal_of_many_fields_tells_the_first() -> None:
    """All of it goes into the 8 KiB of trailers that clients take."""
    refusal = InvalidFields(
        tuple(FieldViolation(f"items[{n}].request.entries[7]", "x" * 150) for n in range(1000))
    )
    assert len(refusal.fields) == 10
    assert refusal.message.endswith("; and 990 more")
    assert len(to_status(refusal).SerializeToString()) * 4 / 3 + len(refusal.message) < 8192
    strange = to_status(InvalidField("书" * 5000, "书" * 5000))
    assert len(strange.SerializeToString()) < 3000
    assert strange.message.endswith("书…")


@pytest.mark.parametrize("stamp", [(2**62, 0), (-(2**62), 0), (1, -1), (1, 2**31 - 1)])
def test_a_time_that_there_is_not_is_refused_with_the_field(stamp: tuple[int, int]) -> None:
    with pytest.raises(InvalidField) as refused:
        time_asked(
            CreatePaymentRequest(expire_time=Timestamp(seconds=stamp[0], nanos=stamp[1])),
            "expire_time",
        )
    assert refused.value.fields[0].field == "expire_time"
    assert time_asked(CreatePaymentRequest(), "expire_time") is None
