"""The proof as one HTML file that needs no other: on light, on dark, on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from paymesh_ops.bench.picture import STYLE as PICTURES
from paymesh_ops.bench.tables import NO, YES, Table
from paymesh_ops.prove import pictures
from paymesh_ops.prove.display import minutes
from paymesh_ops.prove.report import end_of_log, impersonal, repeated
from paymesh_ops.prove.run import Ended, Proof, Verdict

PAGE = "index.html"
LOG_LINES = 60

_STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --soft: #57606a; --line: #d0d7de;
  --back: #ffffff; --card: #f6f8fa; --good: #1a7f37; --bad: #c0341d; --off: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9da7b3; --line: #30363d;
  --back: #0d1117; --card: #161b22; --good: #57b97b; --bad: #f0795a; --off: #d9a441; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 960px; padding: 28px 24px 60px; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans",
  sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 36px 0 6px; }
h3 { font-size: 14.5px; margin: 20px 0 6px; }
p { margin: 6px 0; } .soft { color: var(--soft); }
.verdict { display: inline-block; font-weight: 600; padding: 1px 10px; border-radius: 20px;
  border: 1px solid currentColor; white-space: nowrap; }
.proven, .yes { color: var(--good); } .red, .no { color: var(--bad); } .out { color: var(--off); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 14px 0; }
dt { color: var(--soft); } dd { margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { text-align: right; padding: 5px 9px; border-bottom: 1px solid var(--line);
  vertical-align: top; font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
th.word, td.word, .words th, .words td { text-align: left; }
td.word:not(:first-child) { overflow-wrap: anywhere; }
a { color: inherit; }
td.time { white-space: nowrap; }
ul { margin: 0; padding-left: 18px; }
section { border-top: 1px solid var(--line); margin-top: 30px; }
section h2 { margin-top: 18px; }
svg { width: 100%; height: auto; margin: 12px 0 4px; display: block; }
svg.share { width: 120px; height: 10px; margin: 5px 0 0; }
svg text.m { text-anchor: middle; } svg text.t { font-size: 10.5px; } svg .hit { fill: #c7552b; }
pre, code { font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 12px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
code { background: var(--card); border-radius: 4px; padding: 1px 5px; }
details > summary { cursor: pointer; color: var(--soft); margin: 12px 0 4px; }
@media print { body { max-width: none; padding: 0; font-size: 12px; }
  tr, svg, h2, h3 { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; } }
"""
_CLASSES = {
    Verdict.PROVEN: "proven",
    Verdict.RED: "red",
    Verdict.LATE: "red",
    Verdict.LEFT_OUT: "out",
}


def write(proof: Proof) -> Path:
    """Into the proof's folder."""
    file = proof.folder / PAGE
    file.write_text(page(proof), encoding="utf-8")
    return file


def page(proof: Proof) -> str:
    red = [e for e in proof.ended if e.verdict in {Verdict.RED, Verdict.LATE}]
    parts = [
        _head(proof),
        _overview(proof.ended),
        *(_failure(proof, ended) for ended in red),
        *(_details(ended) for ended in proof.ended),
    ]
    body = "\n".join(filter(None, parts))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Paymesh: the long proof, {proof.begun:%Y-%m-%d}</title>
<style>{PICTURES}{_STYLE}</style></head>
<body>
{body}
</body></html>
"""


def _head(proof: Proof) -> str:
    count = sum(ended.verdict is Verdict.PROVEN for ended in proof.ended)
    class_ = "proven" if proof.proven else "red"
    facts = {
        "begun": f"{proof.begun:%Y-%m-%d %H:%M} UTC",
        "took": f"{minutes(proof.seconds)} of at most {minutes(proof.limit_s)}",
        "commit": proof.commit or "unknown",
        "seed": str(proof.seed),
        **proof.machine,
    }
    return f"""<h1>The long proof</h1>
<p><span class="verdict {class_}">{count} of {len(proof.ended)} steps proven</span></p>
{_facts(facts)}
<p class="soft">The same again: <code>{escape(repeated(proof))}</code></p>"""


def _facts(facts: Mapping[str, str]) -> str:
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return f"<dl>{items}</dl>"


def _overview(ended: Sequence[Ended]) -> str:
    rows = "".join(_overview_row(one) for one in ended)
    return f"""<div class="scroll"><table class="words">
<tr><th>step</th><th></th><th>time of its limit</th><th>what was seen</th></tr>
{rows}</table></div>"""


def _overview_row(ended: Ended) -> str:
    time = ""
    if ended.log:
        share = pictures.share(ended.seconds / ended.limit_s)
        time = f"{minutes(ended.seconds)} of {minutes(ended.limit_s)}{share}"
    seen = escape("; ".join(ended.shown.facts))
    if ended.why:
        seen = f"<strong>{escape(ended.why)}</strong>" + (f"; {seen}" if seen else "")
    name = escape(ended.step.name)
    return (
        f'<tr><td><a href="#{name}">{name}</a></td><td>{_verdict(ended)}</td>'
        f'<td class="time">{time}</td><td>{seen}</td></tr>'
    )


def _verdict(ended: Ended) -> str:
    return f'<span class="verdict {_CLASSES[ended.verdict]}">{ended.verdict.value}</span>'


def _failure(proof: Proof, ended: Ended) -> str:
    wrong = "".join(
        f"<h3>{escape(impersonal(title))}</h3>" + (_pre(impersonal(text)) if text else "")
        for title, text in ended.shown.wrong
    )
    return f"""<section><h2 class="red">{escape(ended.step.name)}: {escape(ended.why)}</h2>
<p>Again: <code>{escape(repeated(proof, ended))}</code></p>
{wrong}
<h3>The end of its log</h3>
{_pre(end_of_log(ended, LOG_LINES) or "It wrote nothing.")}</section>"""


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _details(ended: Ended) -> str:
    step, shown = ended.step, ended.shown
    seed = "" if step.seeded else " Nothing is drawn from the seed."
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in shown.facts)
    return f"""<section id="{escape(step.name)}"><h2>{escape(step.name)} {_verdict(ended)}</h2>
<p class="soft">{escape(step.proves)}{seed}</p>
<ul>{facts}</ul>
{"".join(shown.pictures)}
{"".join(_table(table) for table in shown.tables if table.rows)}</section>"""


def _table(table: Table) -> str:
    numeric = [all(map(_is_figure, cells)) for cells in zip(*table.rows, strict=True)]
    words = ["" if figures else ' class="word"' for figures in numeric]
    head = "".join(
        f"<th{word}>{escape(column)}</th>"
        for word, column in zip(words, table.columns, strict=True)
    )
    rows = "".join(f"<tr>{''.join(map(_cell, row, words))}</tr>" for row in table.rows)
    return f"""<h3>{escape(table.title)}</h3>
<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>"""


def _is_figure(text: str) -> bool:
    return text[:1].isdigit() or text[:1] in {"", "≥", "≤", YES, NO}


def _cell(text: str, word: str) -> str:
    class_ = {YES: ' class="yes"', NO: ' class="no"'}.get(text, word)
    return f"<td{class_}>{escape(text)}</td>"
