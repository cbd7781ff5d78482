"""Amounts in templates: integer linear expressions over named facts, such as `amount - fee`.

An expression is kept as its coefficients, {"amount": 1, "fee": -1}. So two sums of expressions are
equal for all inputs exactly when their coefficients are equal: balance is proven, not sampled.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

Linear = Mapping[str, int]
"""Coefficients by fact; none of them is zero."""

COEFFICIENT_MAX = 1_000
TEXT_MAX = 200


class NotLinear(ValueError):
    """The text is not an integer linear expression over names."""


def parse(text: str) -> Linear:
    """`amount`, `amount - fee`, `2 * (amount - fee)`. Raises NotLinear, also if a fact cancels out.

    There are no constants: an amount that follows from no fact has no business reason.
    """
    if len(text) > TEXT_MAX:
        raise NotLinear(f"an expression has at most {TEXT_MAX} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise NotLinear(f"{text!r} is not an expression") from error
    result = _linear(tree.body, text)
    for name, coefficient in result.items():
        if coefficient == 0:
            raise NotLinear(f"{name} cancels out in {text!r}")
        if abs(coefficient) > COEFFICIENT_MAX:
            raise NotLinear(f"{coefficient} in {text!r} is more than {COEFFICIENT_MAX}")
    return result


def _linear(node: ast.expr, text: str) -> dict[str, int]:
    match node:
        case ast.Name(id=name):
            return {name: 1}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _scaled(_linear(operand, text), -1)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return dict(total([_linear(left, text), _linear(right, text)]))
        case ast.BinOp(op=ast.Sub(), left=left, right=right):
            return dict(total([_linear(left, text), _scaled(_linear(right, text), -1)]))
        case ast.BinOp(op=ast.Mult(), left=ast.Constant(value=int(by)), right=right) if (
            type(by) is int  # True is an int, too
        ):
            return _scaled(_linear(right, text), by)
    raise NotLinear(f"{text!r} is not an integer linear expression over facts")


def _scaled(linear: Linear, by: int) -> dict[str, int]:
    return {name: coefficient * by for name, coefficient in linear.items()}


def total(parts: Iterable[Linear]) -> Linear:
    """The sum, with zeros where facts cancel out."""
    result: dict[str, int] = {}
    for part in parts:
        for name, coefficient in part.items():
            result[name] = result.get(name, 0) + coefficient
    return result


def same(left: Iterable[Linear], right: Iterable[Linear]) -> bool:
    """Whether two sums are equal whatever the facts are."""
    difference = total([*left, *(_scaled(part, -1) for part in right)])
    return not any(difference.values())


def value(linear: Linear, facts: Mapping[str, int]) -> int:
    """The amount for these facts."""
    return sum(coefficient * facts[name] for name, coefficient in linear.items())
