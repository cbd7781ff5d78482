"""Pictures of the page, as SVG inside of it: their colours are the page's (see page.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from paymesh_ops.bench.picture import picture
from paymesh_ops.bench.ratios import Reached

WIDTH = 760


def ratios(found: Sequence[Reached]) -> str:
    """Each ratio as a part of its goal."""
    return picture(found, style="") if found else ""


def matrix(
    title: str, counts: Mapping[tuple[str, str], int], *, rows: Sequence[str], points: Sequence[str]
) -> str:
    """Counts by row and failpoint, the darker the more; where there is none, a dot."""
    left, top, height = 158, 84, 26
    width = (WIDTH - left - 14) / max(1, len(points))
    most = max(counts.values(), default=1)
    drawn = []
    for n, column in enumerate(points):
        first, _, second = column.partition(".")
        x = left + width * (n + 0.5)
        drawn.append(_text(x, 52, f"{first}." if second else first, "s m t"))
        drawn.append(_text(x, 67, second, "s m t"))
    for n, row in enumerate(rows):
        y = top + height * n
        drawn.append(_text(left - 12, y + 17, row.replace("_", " "), "e"))
        for m, column in enumerate(points):
            count = counts.get((row, column), 0)
            x = left + width * m
            drawn.append(_cell(x, y, width, height, count, most))
    return _svg(
        title, top + height * len(rows) + 12, drawn, description=_matrix_description(counts)
    )


def _cell(x: float, y: float, width: float, height: float, count: int, most: int) -> str:
    if not count:
        return _text(x + width / 2, y + 17, "·", "s m")
    strength = 0.25 + 0.6 * count / most
    return (
        f'<rect class="hit" x="{x + 1.5:.1f}" y="{y + 1.5:.1f}" width="{width - 3:.1f}" '
        f'height="{height - 3}" rx="4" style="fill-opacity:{strength:.2f}"/>'
        + _text(x + width / 2, y + 17, str(count), "m")
    )


def _matrix_description(counts: Mapping[tuple[str, str], int]) -> str:
    return "; ".join(f"{row} at {column}: {count}" for (row, column), count in counts.items())


def columns(title: str, values: Sequence[tuple[str, float, str]]) -> str:
    """Upright bars: name, value and how it is written."""
    base, tall, left = 200, 130, 20
    width = (WIDTH - 2 * left) / max(1, len(values))
    most = max((value for _, value, _ in values), default=0) or 1
    drawn = []
    for n, (name, value, said) in enumerate(values):
        x, high = left + width * n, tall * value / most
        drawn.append(
            f'<rect class="must" x="{x + 5:.1f}" y="{base - high:.1f}" width="{width - 10:.1f}" '
            f'height="{high:.1f}" rx="3"/>'
        )
        drawn.append(_text(x + width / 2, base - high - 6, said, "s m"))
        drawn.append(_text(x + width / 2, base + 18, name, "s m"))
    description = "; ".join(f"{name}: {said}" for name, _, said in values)
    return _svg(title, base + 32, drawn, description=description)


def share(part: float) -> str:
    """A small bar in a table: how much of its limit a step took."""
    full = min(1.0, part)
    class_ = "short" if part >= 1 else "goal"
    return (
        '<svg class="share" viewBox="0 0 120 10" role="img" aria-hidden="true">'
        '<rect class="track" width="120" height="10" rx="3"/>'
        f'<rect class="{class_}" width="{120 * full:.1f}" height="10" rx="3"/></svg>'
    )


def _text(x: float, y: float, text: str, class_: str) -> str:
    return f'<text class="{class_}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _svg(title: str, height: float, drawn: Sequence[str], *, description: str) -> str:
    body = "\n".join(drawn)
    return f"""<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">
<title>{escape(title)}</title><desc>{escape(description)}</desc>
<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="10"/>
{_text(20, 27, title, "")}
{body}
</svg>"""
