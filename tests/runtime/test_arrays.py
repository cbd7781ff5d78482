"""Columns travel as array literals: PostgreSQL must read back exactly what went in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from paymesh.db.arrays import literal
from paymesh.db.engine import create_engine
from tests.runtime.world import Database

LIMITS = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
NASTY = st.sampled_from(["", "NULL", "null", '"', "\\", '","', '\\"', "{}", "{", " ", ",", "\n"])
MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)
)
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS | NASTY,
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "bytea": st.binary(),
    "timestamptz": MOMENTS,
    "date": st.dates(),
    "float8": st.floats(allow_nan=False),
}


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.app_url, pool=1)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("type_", COLUMNS)
@LIMITS
@given(data=st.data())
async def test_a_column_comes_back_as_it_went(
    type_: str, data: st.DataObject, engine: AsyncEngine
) -> None:
    column = data.draw(st.lists(st.none() | COLUMNS[type_]))
    async with engine.connect() as checked_out:
        raw: Any = (await checked_out.get_raw_connection()).driver_connection
        await raw.execute("SET timezone = 'UTC'")
        cursor = await raw.execute(f"SELECT %s::{type_}[]", [column])
        assert await cursor.fetchone() == (column,)


@pytest.mark.parametrize("column", [["a\x00b"], ["a", None, "\x00"], ['"\x00']])
def test_nul_is_refused_and_not_cut_off(column: list[str | None]) -> None:
    with pytest.raises(psycopg.DataError):
        literal(column)


def test_what_is_no_column_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        literal([object()])


def test_a_day_is_no_moment() -> None:
    assert literal([date(2026, 11, 23)]) == "{2026-11-23}"
    assert literal([datetime(2026, 11, 23, 1, tzinfo=UTC)]) == '{"2026-11-23T01:00:00+00:00"}'
