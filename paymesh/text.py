"""What people type: what it may be at the edge, and how it is shown wherever it came from.

A control character moves a terminal's cursor, a bidirectional override shows a name backwards, and
two spellings of one word are two accounts. So none of them is taken from outside; and what is
shown is shown so that nothing in it acts.
"""

from __future__ import annotations

import unicodedata

import rich.markup

from paymesh.cards import card_numbers

FOR_PEOPLE = frozenset({"subject", "display_name", "description", "reason", "why", "account_name"})
"""Fields that are only read. All others name something: a blank around them would be another."""
OF_CARDS = frozenset({"merchant_order_no", "account_no"})
"""Fields that may have what is a card's number elsewhere: a tenth of the long order numbers that
begin like one have its check digit, and people are paid to the account of a card."""

_NEVER = frozenset({"Cc", "Cs", "Co", "Zl", "Zp"})
"""Categories: control, surrogate, private, separators of lines and paragraphs."""
_OVERRIDES = frozenset(
    "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
"""What changes the direction of text, and the mark of byte order: both cannot be seen."""


def problem(text: str, *, names: bool, of_cards: bool = False) -> str:
    """Why it is not taken; empty: it is. `names`: it names something. `of_cards`: in OF_CARDS."""
    if not (text.isascii() and text.isprintable()):
        for character in text:
            if _acts(character):
                return f"must not contain U+{ord(character):04X}, which cannot be seen"
        if not unicodedata.is_normalized("NFC", text):
            return "must be in Unicode's normal form C"
    if names and text != text.strip():
        return "must not begin or end with a blank"
    if not of_cards and card_numbers(text):
        return "must not contain a card number, or what cannot be told from one"
    return ""


def plain(text: str, *, lines: bool = False) -> str:
    """The text with what cannot be seen made visible, as \\x1b or \\u202e. `lines` stay lines."""
    if text.isascii() and text.isprintable():
        return text
    if lines:
        return "\n".join(map(plain, text.split("\n")))
    return "".join(map(_visible, text))


def escape(text: str) -> str:
    """For a terminal: plain, and nothing in it is markup."""
    return rich.markup.escape(plain(text, lines=True))


def _acts(character: str) -> bool:
    """Or is no character at all. One that is newer than our tables is taken for a letter."""
    number = ord(character)
    never = number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF
    return never or character in _OVERRIDES or unicodedata.category(character) in _NEVER


def _visible(character: str) -> str:
    if _acts(character):
        return character.encode("unicode_escape").decode()
    return character
