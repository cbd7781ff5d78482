"""Card numbers in text: taken at the edge only where one is asked for; in no database."""

from __future__ import annotations

import re

NUMBER = (
    "[0-9]{13,19}"
    "|[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{1,7}"  # as on the card
    "|[0-9]{4}[ -][0-9]{6}[ -][0-9]{5}"
)
_CANDIDATE = re.compile(rf"(?<!\w)(?:{NUMBER})(?!\w)", re.ASCII)

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


def card_numbers(text: str) -> list[str]:
    """The digits of each."""
    if len(text) < 13 or _CANDIDATE.search(text) is None:  # nearly all
        return []
    found = (re.sub("[ -]", "", number) for number in _CANDIDATE.findall(text))
    return [digits for digits in found if is_card_number(digits)]


def masked(text: str) -> str:
    """The text with every number that is as long as a card's hidden but for its end."""
    return _CANDIDATE.sub(lambda match: "*" * 9 + match[0][-4:], text)
