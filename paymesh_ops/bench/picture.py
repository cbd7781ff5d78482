"""The ratios as a picture: how much of its goal each one is.

Of what should be small (latencies) that is the goal's part of the value: every bar grows to the
right, and longer is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from paymesh_ops.bench.ratios import Reached

WIDTH = 760
_TOP, _ROW, _BAR = 46, 46, 14
_LEFT, _GOAL_AT = 20, 600
_LONGEST = 1.2
"""A bar ends there, in parts of the goal, however much more was measured."""

_LEGEND = (
    "Bars: measured, longer is better. Marks: must, then goal. "
    "Blue has reached its must, green its goal."
)
STYLE = """
    text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
      font-size: 13px; fill: #1f2328; }
    .s { font-size: 11.5px; fill: #57606a; }
    .e { text-anchor: end; }
    .page { fill: #ffffff; stroke: #d0d7de; }
    .track { fill: #eaeef2; }
    .goal { fill: #2f8f55; } .must { fill: #4a7fc1; } .short { fill: #c7552b; }
    .mark { stroke: #1f2328; stroke-width: 1.5; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .s { fill: #9da7b3; }
      .page { fill: #0d1117; stroke: #30363d; }
      .track { fill: #21262d; }
      .goal { fill: #57b97b; } .must { fill: #6ea8f0; } .short { fill: #e5794f; }
      .mark { stroke: #e6edf3; }
    }
"""


def picture(found: Sequence[Reached], *, style: str = STYLE) -> str:
    """An SVG, readable on light and on dark. Without `style` in a page that has STYLE itself."""
    height = _TOP + _ROW * len(found) + 6
    description = "; ".join(f"{r.ratio.name}: {r}" for r in found)
    rows = "".join(_row(reached, _TOP + _ROW * n) for n, reached in enumerate(found))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" \
role="img">
  <title>What was measured, as a part of what is the goal</title>
  <desc>{escape(description)}</desc>
  <style>{style}  </style>
  <rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>
  <text class="s" x="{_LEFT}" y="26">{_LEGEND}</text>
{rows}</svg>
"""


def _row(reached: Reached, y: int) -> str:
    ratio, share = reached.ratio, reached.of_goal
    class_ = "goal" if share >= 1 else "must" if reached.enough else "short"
    track, bar = _part(_LONGEST), _part(min(share, _LONGEST))
    name, top, middle = escape(ratio.name), y + 8, y + 2
    said = f"{reached} (must {ratio.bound}, goal {ratio.goal:g})"
    return f"""  <text x="{_LEFT}" y="{middle}">{name}</text>
  <text class="e" x="{WIDTH - _LEFT}" y="{middle}">{said}</text>
  <rect class="track" x="{_LEFT}" y="{top}" width="{track:.1f}" height="{_BAR}" rx="3"/>
  <rect class="{class_}" x="{_LEFT}" y="{top}" width="{bar:.1f}" height="{_BAR}" rx="3"/>
{_mark(ratio.of_goal(ratio.must), top)}{_mark(1, top)}"""


def _part(of_goal: float) -> float:
    return _GOAL_AT * of_goal


def _mark(of_goal: float, top: int) -> str:
    x = f"{_LEFT + _part(of_goal):.1f}"
    return f'  <path class="mark" d="M {x} {top - 3} V {top + _BAR + 3}"/>\n'
