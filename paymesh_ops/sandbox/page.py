"""The payer's page: what a phone shows after the QR code is scanned. No script, nothing loaded."""

from __future__ import annotations

from html import escape

from iso4217 import Currency

from paymesh_ops.sandbox.domain import Order, OrderState

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Sandbox Pay</title>
<style>
:root {{ color-scheme: light dark; --ink: #16202c; --soft: #64707d; --card: #fff; --go: #0a7d4f; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; color: var(--ink);
  background: linear-gradient(160deg, #e7f3ee, #eef1f8);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }}
main {{ width: min(22rem, 88vw); padding: 2rem; border-radius: 1.25rem; background: var(--card);
  box-shadow: 0 1rem 3rem rgb(20 40 60 / .14); text-align: center; }}
.brand {{ font-size: .8rem; letter-spacing: .12em; text-transform: uppercase; color: var(--go); }}
h1 {{ margin: 1.25rem 0 .25rem; font-size: 1.05rem; font-weight: 600; overflow-wrap: anywhere; }}
.amount {{ margin: .25rem 0 1.5rem; font-size: 2.5rem; font-weight: 650; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }}
.amount small {{ font-size: 1rem; font-weight: 500; color: var(--soft); }}
button {{ width: 100%; padding: .9rem; border: 0; border-radius: .8rem; background: var(--go);
  color: #fff; font: inherit; font-weight: 600; cursor: pointer; }}
button:hover {{ filter: brightness(1.08); }}
button:focus-visible {{ outline: 3px solid #7fd1ae; outline-offset: 3px; }}
.mark {{ font-size: 2.5rem; line-height: 1; }}
p {{ margin: 1.25rem 0 0; font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e8edf2; --soft: #93a1af; --card: #1a222c; --go: #17a06a; }}
  body {{ background: #10161d; }}
}}
</style></head>
<body><main><div class="brand">Sandbox Pay</div>{content}</main></body></html>
"""

_ENDS = {
    OrderState.SUCCESS: ("✅", "Paid", "You can go back to the shop."),
    OrderState.CLOSED: (
        "⌛",
        "This order is closed",
        "It has expired or was closed. Nothing paid.",
    ),
}


def pay_page(order: Order) -> str:
    """The page of an order in its present state: a button to pay, or what became of it."""
    params = order.params
    asked = params.amount if order.paid_amount is None else order.paid_amount
    lines = [
        f"<h1>{escape(params.subject)}</h1>",
        f'<div class="amount">{_decimal(asked, params.currency)} '
        f"<small>{escape(params.currency)}</small></div>",
    ]
    if order.state is OrderState.NOTPAY:
        title = "Pay"
        lines.append('<form method="post"><button type="submit">Pay now</button></form>')
    else:
        mark, title, hint = _ENDS[order.state]
        lines.insert(0, f'<p class="mark" aria-hidden="true">{mark}</p><h1>{title}</h1>')
        lines.append(f"<p>{hint}</p>")
    lines.append(f"<p>Order {escape(params.out_trade_no)}<br>No real money moves here.</p>")
    return _PAGE.format(title=title, content="\n".join(lines))


def message_page(title: str, message: str) -> str:
    """A page without an order."""
    content = f"<h1>{escape(title)}</h1><p>{escape(message)}</p>"
    return _PAGE.format(title=escape(title), content=content)


def _decimal(amount: int, currency: str) -> str:
    """Minor units as people write them: 1234 CNY is 12.34, 1234 JPY is 1234."""
    try:
        exponent = int(Currency(currency).exponent or 0)
    except ValueError:
        # The channel takes any three letters; of an unknown currency it shows the minor units.
        exponent = 0
    if exponent == 0:
        return str(amount)
    whole, part = divmod(amount, 10**exponent)
    return f"{whole}.{part:0{exponent}d}"
