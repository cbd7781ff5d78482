"""The open items of an account sum to its balance, whatever was booked in whatever order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from paymesh_ops.explain.items import Item, Line, Netted, open_items

START = datetime(2026, 11, 23, tzinfo=UTC)

bookings = st.lists(
    st.tuples(
        st.integers(min_value=-20, max_value=20).filter(bool), st.sampled_from(["", "a", "b", "c"])
    ),
    max_size=30,
)


def booked(*bookings: tuple[int, str]) -> list[Line]:
    """A line a minute, each of a journal of its own."""
    return [
        Line(minor, START + timedelta(minutes=n), reference, f"jrn_{n}", "hand", f"key_{n}", "biz")
        for n, (minor, reference) in enumerate(bookings)
    ]


def items_of(lines: Sequence[Line], *, per_reference: bool = False) -> list[Item]:
    netted = Netted()
    for line in lines:
        netted.add(line)
    return open_items(netted, per_reference=per_reference)


def shown(items: Sequence[Item]) -> list[tuple[int, list[str]]]:
    return [(item.minor, [line.business_key for line in item.lines]) for item in items]


@given(bookings, st.booleans())
def test_open_items_sum_to_the_balance(rows: list[tuple[int, str]], per_reference: bool) -> None:
    """And none of them is nothing, or comes twice."""
    lines = booked(*rows)
    items = items_of(lines, per_reference=per_reference)
    assert sum(item.minor for item in items) == sum(line.minor for line in lines)
    assert all(item.minor for item in items)
    used = [line.journal_id for item in items for line in item.lines]
    assert len(used) == len(set(used))
    assert [item.since for item in items] == sorted(item.since for item in items)


@given(bookings)
def test_what_was_matched_leaves_one_side_only(rows: list[tuple[int, str]]) -> None:
    """Nothing is open in two directions: the balance's sign is that of each item."""
    total = sum(minor for minor, _ in rows)
    assert all(item.minor * total > 0 for item in items_of(booked(*rows)))


@given(bookings)
def test_references_that_must_come_out_even_are_items_of_their_own(
    rows: list[tuple[int, str]],
) -> None:
    lines = booked(*rows)
    left = {
        reference: sum(minor for minor, of in rows if of == reference)
        for reference in {"a", "b", "c"}
    }
    items = items_of(lines, per_reference=True)
    by_reference = {i.lines[0].reference: i.minor for i in items if i.lines[0].reference}
    assert by_reference == {reference: minor for reference, minor in left.items() if minor}


@given(bookings)
def test_no_item_is_more_than_it_comes_from(rows: list[tuple[int, str]]) -> None:
    for item in items_of(booked(*rows)):
        assert 0 < abs(item.minor) <= abs(sum(line.minor for line in item.lines))


def test_the_oldest_is_used_first() -> None:
    lines = booked((10, ""), (20, ""), (-15, ""), (5, ""))
    assert shown(items_of(lines)) == [(15, ["key_1"]), (5, ["key_3"])]


def test_entries_of_one_reference_are_one_item() -> None:
    """A purchase, its fee; another one that was given back."""
    lines = booked((100, "t1"), (-1, "t1"), (50, "t2"), (-50, "t2"))
    assert shown(items_of(lines)) == [(99, ["key_0", "key_1"])]


def test_a_reference_begins_anew_when_it_was_even() -> None:
    lines = booked((50, "t"), (-50, "t"), (7, "t"))
    assert shown(items_of(lines)) == [(7, ["key_2"])]


def test_what_a_reference_took_too_much_is_taken_from_the_oldest() -> None:
    """A hold's debit refers to the hold; the money came in under other references."""
    lines = booked((10, "t1"), (20, "t2"), (-15, "hold"))
    assert shown(items_of(lines)) == [(15, ["key_1"])]
    apart = items_of(lines, per_reference=True)
    assert shown(apart) == [(10, ["key_0"]), (20, ["key_1"]), (-15, ["key_2"])]
