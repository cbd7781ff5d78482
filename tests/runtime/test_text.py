"""What people type: what is taken, and how it is shown."""

from __future__ import annotations

import pytest
from payments.pay.v1 import beneficiary_service_pb2
from payments.trade.v1 import trade_service_pb2
from rich.text import Text

from paymesh.errors import InvalidFields
from paymesh.rpc import require_texts
from paymesh.text import escape, plain, problem

FINE = [
    "", "One book", "Bücher & Töne", "一本书", "كتاب", "क्षत्रिय", "👩\u200d🚀 trip", "½ €",
    "a/b_c-d.e:f",
]  # fmt: skip
WRONG = {
    "a\x00b": "U+0000", "two\nlines": "U+000A", "tab\t": "U+0009", "\x1b[31mred": "U+001B",
    "\x9b31m": "U+009B", "abc\u202edcba": "U+202E", "\u2066x": "U+2066", "x\u200e": "U+200E",
    "\ufeffx": "U+FEFF", "a\u2028b": "U+2028", "\ue000": "U+E000", "\uffff": "U+FFFF",
    "e\u0301": "normal form C",
}  # fmt: skip


@pytest.mark.parametrize("text", FINE)
def test_what_people_write_is_taken(text: str) -> None:
    assert problem(text, names=True) == ""
    assert plain(text) == text


@pytest.mark.parametrize("text", WRONG)
def test_what_acts_or_cannot_be_seen_is_not(text: str) -> None:
    assert WRONG[text] in problem(text, names=False)


@pytest.mark.parametrize("text", ["tom ", " tom", "\u3000tom", "tom\u00a0"])
def test_a_name_has_no_blanks_around_it(text: str) -> None:
    assert "blank" in problem(text, names=True)
    assert problem(text, names=False) == ""
    assert problem("tom jones", names=True) == ""


def test_fields_are_told_wherever_they_stand() -> None:
    """In messages in messages, in lists; what is only read may have blanks around it."""
    request = trade_service_pb2.BatchCreateTradesRequest()
    item = request.items.add().request
    item.subject, item.payer_id, item.merchant_order_no = " a\nb ", "tom ", "no-1"
    with pytest.raises(InvalidFields) as refused:
        require_texts(request)
    assert [violation.field for violation in refused.value.fields] == [
        "items[0].request.subject",
        "items[0].request.payer_id",
    ]
    item.subject, item.payer_id = " a b ", "tom"
    require_texts(request)


CARD = "4111 1111 1111 1111"


def test_a_card_number_is_taken_only_where_it_may_be_something_else() -> None:
    """What the check would find for ever. A tenth of long order numbers look like one."""
    request = trade_service_pb2.CreateTradeRequest(merchant_order_no=CARD.replace(" ", ""))
    require_texts(request)
    require_texts(beneficiary_service_pb2.CreateBeneficiaryRequest(account_no="6212345678901232"))
    request.payer_id, request.subject = CARD.replace(" ", ""), f"my card {CARD}"
    with pytest.raises(InvalidFields) as refused:
        require_texts(request)
    assert {violation.field for violation in refused.value.fields} == {"payer_id", "subject"}
    assert CARD not in str(refused.value.fields)
    require_texts(trade_service_pb2.CreateTradeRequest(payer_id="2088123412341234"))


def test_what_is_shown_does_nothing() -> None:
    """Whatever is in an old row, or comes from somebody's server."""
    text = "\x1b[2Jgone [red]\u202ecod\n\x07"
    shown = Text.from_markup(escape(text)).plain
    assert shown == "\\x1b[2Jgone [red]\\u202ecod\n\\x07"
    assert plain(text) == "\\x1b[2Jgone [red]\\u202ecod\\n\\x07"
