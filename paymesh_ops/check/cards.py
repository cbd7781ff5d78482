"""Invariant 20: there is no card number in any database."""

from __future__ import annotations

import re

from paymesh.cards import NUMBER, card_numbers, masked
from paymesh_ops.check.model import Finding, Findings, Options
from paymesh_ops.check.snapshots import SERVICES, Row, Snapshots

_COLUMNS = """
    SELECT format('%%I.%%I', c.table_schema, c.table_name) AS table,
        array_agg(c.column_name::text ORDER BY c.ordinal_position) AS columns,
        (SELECT array_agg(k.column_name::text ORDER BY k.ordinal_position)
            FROM information_schema.columns k
            WHERE (k.table_schema, k.table_name) = (c.table_schema, c.table_name)
                AND k.column_name = ANY(%(ids)s)) AS ids,
        bool_or(c.column_name = 'business_id') AS in_chain
    FROM information_schema.columns c
    JOIN pg_class t ON t.oid = format('%%I.%%I', c.table_schema, c.table_name)::regclass
    WHERE c.table_schema NOT IN ('pg_catalog', 'information_schema')
        AND t.relkind IN ('r', 'p') AND NOT t.relispartition
        AND (c.data_type IN ('text', 'character varying', 'character', 'json', 'jsonb', 'name')
            OR c.udt_name IN ('_text', '_varchar'))
        AND c.column_name <> ALL(%(random)s)
        AND c.table_name || '.' || c.column_name <> ALL(%(orders)s)
        AND has_table_privilege(t.oid, 'SELECT')
    GROUP BY c.table_schema, c.table_name ORDER BY 1
"""
IDS = ["id", "event_id", "message_id", "request_id", "key", "journal_id", "line"]
"""Columns that name a row."""
RANDOM = ["traceparent"]
"""Columns of random hexadecimal words: one in 2000 of them has nothing but decimal digits."""

ORDERS = ["trade.merchant_order_no", "guard.key"]
"""Columns of merchants' order numbers: a tenth of those that look like a card's have its check
digit. Who sends card numbers as order numbers is not found here."""
_NONE_IN_JSON = re.compile(
    r'"merchant_order_no": ?"(?:[^"\\]|\\.)*"'  # in the notifications to their merchants
    r'|"minor(?:_units)?": ?\d+'
)
"""Order numbers, and amounts: of those of sixteen digits some look like a card's, too."""


async def no_card_numbers(s: Snapshots, o: Options) -> Findings:
    """20: no text and no JSON has a card number; of those found the last four digits are shown."""
    what = "Erase it there and in the backups, and find out who sent it, and by what way."
    for service in SERVICES:
        for table in await s.rows(service, _COLUMNS, ids=IDS, random=RANDOM, orders=ORDERS):
            o.say(f"{service}: {table['table']}")
            async for row in s.stream(service, _candidates(table)):
                for found in _cards(service, table, row):
                    chain = masked(row["business_id"])
                    yield [Finding(20, "a card number", (found,), chain, what, exact=True)]


def _candidates(table: Row) -> str:
    """The rows of a table that have a number of 13 to 19 digits in any of these columns."""
    columns = [f'"{name}"::text' for name in table["columns"]]
    ids = [f'"{name}"::text' for name in table["ids"] or []] or ["''"]
    business_id = "business_id" if table["in_chain"] else "''"
    return f"""
        SELECT {business_id} AS business_id, concat_ws(' ', {", ".join(ids)}) AS id,
            ARRAY[{", ".join(columns)}] AS texts
        FROM {table["table"]}
        WHERE concat_ws(' ; ', {", ".join(columns)}) ~ '\\m(?:{NUMBER})\\M'
    """


def _cards(service: str, table: Row, row: Row) -> list[Row]:
    place = f"{service}: {table['table']}"
    return [
        {"table": place, "column": column, "id": masked(row["id"]), "last_4": digits[-4:]}
        for column, text in zip(table["columns"], row["texts"], strict=True)
        for digits in card_numbers(_NONE_IN_JSON.sub("", text or ""))
    ]
