"""Invariant 20: there is no card number in any database."""

from __future__ import annotations

import re

from paymesh.check.model import Finding, Findings, Options
from paymesh.check.snapshots import SERVICES, Row, Snapshots

_NUMBER = (
    "[0-9]{13,19}"
    "|[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{1,7}"  # as on the card
    "|[0-9]{4}[ -][0-9]{6}[ -][0-9]{5}"
)
_CANDIDATE = re.compile(rf"(?<!\w)(?:{_NUMBER})(?!\w)", re.ASCII)

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
_ORDER_IN_JSON = re.compile(r'"merchant_order_no": ?"(?:[^"\\]|\\.)*"')
"""In the notifications to their merchants."""

_ISSUERS = re.compile(
    r"4(?:.{12}|.{15}|.{18})"  # Visa
    r"|(?:5[1-5]..|222[1-9]|22[3-9].|2[3-6]..|27[01].|2720).{12}"  # Mastercard
    r"|3[47].{13}"  # American Express
    r"|(?:30[0-5]|309|36|38|39).{11,17}"  # Diners Club
    r"|35(?:2[89]|[3-8].).{12,15}"  # JCB
    r"|(?:6[0235]|64[4-9]|67|8[12]).{10,17}"  # Discover, UnionPay, Maestro, RuPay
    r"|5[06-8].{11,17}"  # Maestro
    r"|(?:220[0-4]|9792).{12,15}"  # Mir, Troy
)
"""First digits and lengths of 13 to 19."""


def is_card_number(digits: str) -> bool:
    """Whether the digits are a card number: of an issuer's range, with Luhn's check digit.

    Of any long numbers a tenth has a right check digit. The ranges leave out what merchants' order
    numbers often begin with: dates and times.
    """
    return _ISSUERS.fullmatch(digits) is not None and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[::-2])) % 10 == 0


async def no_card_numbers(s: Snapshots, o: Options) -> Findings:
    """20: no text and no JSON has a card number; of those found the last four digits are shown."""
    what = "Erase it there and in the backups; find out who sent it, and refuse it at the edge."
    for service in SERVICES:
        for table in await s.rows(service, _COLUMNS, ids=IDS, random=RANDOM, orders=ORDERS):
            o.say(f"{service}: {table['table']}")
            async for row in s.stream(service, _candidates(table)):
                for found in _cards(service, table, row):
                    chain = _masked(row["business_id"])
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
        WHERE concat_ws(' ; ', {", ".join(columns)}) ~ '\\m(?:{_NUMBER})\\M'
    """


def _cards(service: str, table: Row, row: Row) -> list[Row]:
    place = f"{service}: {table['table']}"
    return [
        {"table": place, "column": column, "id": _masked(row["id"]), "last_4": digits[-4:]}
        for column, text in zip(table["columns"], row["texts"], strict=True)
        for number in _CANDIDATE.findall(_ORDER_IN_JSON.sub("", text or ""))
        if is_card_number(digits := re.sub("[ -]", "", number))
    ]


def _masked(text: str) -> str:
    """The text with every such number hidden: what names a row may have one itself."""
    return _CANDIDATE.sub(lambda match: "*" * 9 + match[0][-4:], text)
