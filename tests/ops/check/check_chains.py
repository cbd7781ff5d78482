"""A healthy mesh as rows: a purchase and its return, all forms that use a balance, a payout that
bounced, and one that is still under way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from clearing_svc.ledger.drafts import account_id_of
from tests.ops.check.check_world import Ago, Leg, World, an_id, between

BUSINESS = "biz_1"
"""A trade that was paid at its second attempt: the first one succeeded too late and went back."""
TOP_UP, BOUGHT, REFUND, TRANSFER = "biz_top-up", "biz_bought", "biz_refund", "biz_transfer"
"""A user tops up, buys by channel and balance, gets all of it back, sends money to another one."""
BOUNCED, WAITING = "biz_bounced", "biz_waiting"
"""Withdrawals: the bank brought one back, the channel has no funds for the other."""

TRADE, FIRST, SECOND = an_id("trd", "t"), an_id("pay", "1"), an_id("pay", "2")
RETURN = an_id("ins", "return")
STREAM, NOTIFICATION = an_id("nts", "t"), an_id("ntf", "t")
REFUND_ROW = an_id("rfd", "r")
TRANSIT = ("PAYER_TRANSIT", "platform")
CHANNEL = ("CHANNEL_RECEIVABLE", "sandbox:org")
PAID_OUT = ("PAYOUT_TRANSIT", "sandbox:org")


def step(payment: str, kind: str) -> str:
    """The id of a payment's instruction of a kind; the kind of those that compensate is RETURN."""
    return RETURN if kind == "RETURN" else an_id("ins", payment + kind)


def hold_of(payment: str) -> str:
    return "hld_" + step(payment, "HOLD").split("_")[1]


def number_of(instruction: str) -> str:
    return instruction.split("_")[1]


def order_of(instruction: str) -> str:
    return "chn_" + number_of(instruction)


def trade_of(business_id: str) -> str:
    return TRADE if business_id == BUSINESS else an_id("trd", business_id)


def payment_of(business_id: str) -> str:
    return SECOND if business_id == BUSINESS else an_id("pay", business_id)


def user(name: str) -> tuple[str, str]:
    return ("USER_BALANCE", name)


def part(subject: str, owner: str, held: int, posted: int = 0) -> dict[str, object]:
    """Of a hold."""
    return {
        "account_id": account_id_of(subject, owner, "EUR"), "subject": subject, "owner": owner,
        "held": held, "posted": posted, "released": 0,
    }  # fmt: skip


@dataclass(frozen=True)
class Form:
    """A trade with its one payment: what differs between the forms."""

    business_id: str
    type: str
    purpose: str
    channel: int = 0
    balance: int = 0
    payer: str = ""
    payee: str = ""
    merchant: str = "m2"
    states: tuple[str, ...] = ("PENDING", "PAYING", "PAID")
    payment: tuple[str, ...] = ("PROCESSING", "SUCCEEDED")
    refunded: int = 0
    later: dict[str, object] = field(default_factory=dict)
    """What its rows say of somebody who looks after them."""

    @property
    def minor(self) -> int:
        return self.channel + self.balance

    @property
    def tools(self) -> str:
        return tools(self.channel, self.balance)


def tools(channel: int, balance: int = 0) -> str:
    parts = [("CHANNEL", "sandbox", channel), ("BALANCE", "", balance)]
    return json.dumps([
        {"kind": kind, "channel": name, "minor": minor, "currency": "EUR"}
        for kind, name, minor in parts if minor
    ])  # fmt: skip


def euros(minor: int) -> dict[str, object]:
    return {"amount_minor": minor, "amount_currency": "EUR"}


def plant(w: World) -> None:
    with w.of(BUSINESS):
        _returned_and_paid(w)
    w.buffer("FEE_INCOME", "platform")
    top_up = Form(TOP_UP, "TOP_UP", "TOP_UP", channel=2000, payee="u1")
    with w.of(TOP_UP):
        trade(w, top_up)
        collection(w, payment_of(TOP_UP), 2000)
        payment(w, top_up)
        attribution(w, top_up, user("u1"))
    _bought_and_refunded(w)
    transfer = Form(TRANSFER, "TRANSFER", "TRANSFER", balance=250, payer="u1", payee="u2",
                    states=("PENDING", "PAYING", "BOOKING", "PAID"))  # fmt: skip
    with w.of(TRANSFER):
        trade(w, transfer)
        held(w, payment_of(TRANSFER), part(*user("u1"), held=250, posted=250))
        moved(w, payment_of(TRANSFER), 250, user("u1"), TRANSIT)
        payment(w, transfer)
        attribution(w, transfer, user("u2"))
    _withdrawals(w)
    w.seal()


def _returned_and_paid(w: World) -> None:
    form = Form(BUSINESS, "INSTANT", "PURCHASE", channel=1299, merchant="m1",
                states=("PENDING", "PAYING", "PAYING", "PAID"))  # fmt: skip
    trade(w, form, subject="Tea", merchant_order_no="A-1")
    returned = ("PROCESSING", "CLOSING", "RETURNING", "RETURNED")
    w.put("trade", "attempt", id=FIRST, version=4, state="RETURNED", trade_id=TRADE,
          tools=form.tools)  # fmt: skip
    w.history("trade", FIRST, "trade.attempt", *returned)
    w.put("trade", "notification_stream", id=STREAM, version=2, trade_id=TRADE)
    w.put("trade", "notification", id=NOTIFICATION, version=2, state="DELIVERED",
          stream_id=STREAM, sequence=4, body='{"id":"x"}')  # fmt: skip
    w.history("trade", NOTIFICATION, "trade.notification", "PENDING", "DELIVERED")
    payment(w, form, id=FIRST, states=("PROCESSING", "SUCCEEDED", "RETURNING", "RETURNED"))
    collection(w, FIRST, 1299)
    instruction(w, FIRST, "CHANNEL_REFUND", 1299, id=RETURN, compensates=step(FIRST, "COLLECT"))
    order(w, RETURN, FIRST, "REFUND", 1299)
    w.journal("pay.instruction.succeeded/refund", RETURN,
              *between((*TRANSIT, FIRST), (*CHANNEL, FIRST), 1299))  # fmt: skip
    payment(w, form)
    collection(w, SECOND, 1299)
    attribution(w, form, ("MERCHANT_PENDING", "m1"))
    w.journal("trade.trade.paid/fee", TRADE, *between(
        ("MERCHANT_PENDING", "m1", TRADE), ("FEE_INCOME", "platform", TRADE), 8))  # fmt: skip


def _bought_and_refunded(w: World) -> None:
    bought = Form(BOUGHT, "INSTANT", "PURCHASE", channel=400, balance=300, payer="u1",
                  states=("PENDING", "PAYING", "PAID", "PAID", "PAID"), refunded=700)  # fmt: skip
    trade_id, paid_by = trade_of(BOUGHT), payment_of(BOUGHT)
    with w.of(BOUGHT):
        trade(w, bought)
        collection(w, paid_by, 400)
        held(w, paid_by, part(*user("u1"), held=300, posted=300))
        moved(w, paid_by, 300, user("u1"), TRANSIT)
        payment(w, bought)
        attribution(w, bought, ("MERCHANT_PENDING", "m2"))
        pending, income = ("MERCHANT_PENDING", "m2", trade_id), ("FEE_INCOME", "platform", trade_id)
        w.journal("trade.trade.paid/fee", trade_id, *between(pending, income, 4))
    back = payment_of(REFUND)
    with w.of(REFUND, parent=BOUGHT):
        w.put("trade", "refund", id=REFUND_ROW, version=2, state="SUCCEEDED", trade_id=trade_id,
              payment_id=back, tools=bought.tools, **euros(700))  # fmt: skip
        w.history("trade", REFUND_ROW, "trade.refund", "PROCESSING", "SUCCEEDED")
        payment(w, Form(BOUGHT, "", "REFUND", channel=400, balance=300, payer="u1"), id=back,
                original_payment_id=paid_by)  # fmt: skip
        # The fee is not given back: the merchant owes it.
        owed = ("MERCHANT_RECEIVABLE", "m2")
        held(w, back, part("MERCHANT_PENDING", "m2", 696, 696), part(*owed, 4, 4))
        taken = ("DEBIT", "MERCHANT_PENDING", "m2", hold_of(back))
        gave_back = instruction(w, back, "CHANNEL_REFUND", 400, hold_id=hold_of(back))
        order(w, gave_back, back, "REFUND", 400)
        w.journal("pay.instruction.succeeded/refund", gave_back, (*taken, 400),
                  ("CREDIT", *CHANNEL, paid_by, 400))  # fmt: skip
        to_user = ("CREDIT", *user("u1"), back, 300)
        moving = instruction(w, back, "TRANSFER", 300, hold_id=hold_of(back))
        w.journal("pay.instruction.succeeded/transfer", moving, (*taken, 296),
                  ("DEBIT", *owed, hold_of(back), 4), to_user)  # fmt: skip


def _withdrawals(w: World) -> None:
    came_back = Form(BOUNCED, "WITHDRAWAL", "WITHDRAWAL", balance=500, payer="u1",
                     states=("PENDING", "PAYING", "PAID", "RETURNED"),
                     payment=("PROCESSING", "SUCCEEDED", "RETURNED"))  # fmt: skip
    id_ = payment_of(BOUNCED)
    with w.of(BOUNCED):
        trade(w, came_back)
        payment(w, came_back)
        held(w, id_, part(*user("u1"), held=500, posted=500))
        out = instruction(w, id_, "CHANNEL_PAYOUT", 500, hold_id=hold_of(id_),
                          states=("PROCESSING", "SUCCEEDED", "BOUNCED"))  # fmt: skip
        order(w, out, id_, "PAYOUT", 500, states=("PENDING", "PROCESSING", "SUCCEEDED", "BOUNCED"))
        taken, given = (*user("u1"), hold_of(id_)), (*PAID_OUT, id_)
        w.journal("pay.instruction.succeeded/payout", out, *between(taken, given, 500))
        w.journal("pay.instruction.bounced/bounce", out,
                  *between(given, (*user("u1"), id_), 500))  # fmt: skip
    somebody: dict[str, object] = {"next_action_at": Ago(-60)}
    waiting = Form(WAITING, "WITHDRAWAL", "WITHDRAWAL", balance=200, payer="u1", later=somebody,
                   states=("PENDING", "PAYING"), payment=("PROCESSING",))  # fmt: skip
    id_ = payment_of(WAITING)
    with w.of(WAITING):
        trade(w, waiting)
        payment(w, waiting)
        held(w, id_, part(*user("u1"), held=200), taken=False)
        out = instruction(w, id_, "CHANNEL_PAYOUT", 200, hold_id=hold_of(id_),
                          states=("PROCESSING",))  # fmt: skip
        order(w, out, id_, "PAYOUT", 200, states=("PENDING",), **somebody)


# Rows of each service


def trade(w: World, f: Form, **values: object) -> None:
    """With the attempt that its payment is."""
    id_, paid_by = trade_of(f.business_id), payment_of(f.business_id)
    paid = f.states[-1] in {"PAID", "RETURNED"}
    w.put("trade", "trade", id=id_, version=len(f.states), state=f.states[-1], type=f.type,
          paid_payment_id=paid_by if paid else "", merchant_id=f.merchant, payer_id=f.payer,
          payee_id=f.payee, refunded_minor=f.refunded, **euros(f.minor),
          **({"merchant_order_no": f.business_id} | f.later | values))  # fmt: skip
    names = [state.lower() for state in f.states]
    if f.refunded:
        names[-2:] = ["refunding", "refunded"]
    for sequence, (name, state) in enumerate(zip(names, f.states, strict=True), start=1):
        queues = {
            "paid": ("clearing.ledger", "trade.notifications"),
            "refunded": ("trade.notifications",),
            "returned": ("trade.notifications",),
        }
        w.event("trade", id_, f"trade.trade.{name}", sequence, state, *queues.get(name, ()))
    ends = {"PAID": ("SUCCEEDED",), "RETURNED": ("SUCCEEDED", "RETURNED")}.get(f.states[-1], ())
    states = ("PROCESSING", *ends)
    w.put("trade", "attempt", id=paid_by, version=len(states), state=states[-1], trade_id=id_,
          tools=f.tools)  # fmt: skip
    w.history("trade", paid_by, "trade.attempt", *states)


def payment(
    w: World, f: Form, *, id: str = "", states: tuple[str, ...] = (), **values: object
) -> None:
    id_, states = id or payment_of(f.business_id), states or f.payment
    done = {"succeeded_at": Ago(599)} if "SUCCEEDED" in states else {}
    w.put("pay", "payment", id=id_, version=len(states), state=states[-1], tools=f.tools,
          trade_id=trade_of(f.business_id), purpose=f.purpose, payer_id=f.payer,
          **euros(f.minor), **(done | f.later | values))  # fmt: skip
    for n, state in enumerate(states, start=1):
        queues = ("trade.payments",) if state in {"SUCCEEDED", "RETURNED"} else ()
        w.event("pay", id_, f"pay.payment.{state.lower()}", n, state, *queues)


def instruction(
    w: World, payment_id: str, kind: str, minor: int, *, id: str = "",
    states: tuple[str, ...] = ("PROCESSING", "SUCCEEDED"), **values: object,
) -> str:  # fmt: skip
    id_ = id or step(payment_id, kind.removeprefix("CHANNEL_"))
    w.put("pay", "instruction", id=id_, version=len(states), state=states[-1], kind=kind,
          payment_id=payment_id, channel="sandbox" if kind.startswith("CHANNEL_") else "",
          request_no=number_of(id_), **euros(minor), **values)  # fmt: skip
    for n, state in enumerate(states, start=1):
        name = "started" if n == 1 else state.lower()
        moves = n > 1 and kind not in {"HOLD", "RELEASE"}
        queues = ("clearing.ledger",) if moves else ()
        w.event("pay", id_, f"pay.instruction.{name}", n, state, *queues)
    return id_


def collection(w: World, payment_id: str, minor: int) -> None:
    """A channel's part, from the instruction to the books."""
    id_ = instruction(w, payment_id, "CHANNEL_COLLECT", minor)
    order(w, id_, payment_id, "COLLECT", minor)
    w.journal("pay.instruction.succeeded/collect", id_,
              *between((*CHANNEL, payment_id), (*TRANSIT, payment_id), minor))  # fmt: skip


def moved(
    w: World, payment_id: str, minor: int, from_: tuple[str, str], to: tuple[str, str]
) -> None:
    """A balance's part: what was held is moved."""
    hold = hold_of(payment_id)
    id_ = instruction(w, payment_id, "TRANSFER", minor, hold_id=hold)
    w.journal("pay.instruction.succeeded/transfer", id_,
              *between((*from_, hold), (*to, payment_id), minor))  # fmt: skip


def attribution(w: World, f: Form, to: tuple[str, str]) -> None:
    trade_id = trade_of(f.business_id)
    legs: list[Leg] = between((*TRANSIT, payment_of(f.business_id)), (*to, trade_id), f.minor)
    w.journal("trade.trade.paid/attribution", trade_id, *legs)


def order(
    w: World, instruction_id: str, payment_id: str, kind: str, minor: int, *,
    states: tuple[str, ...] = (), **values: object,
) -> None:  # fmt: skip
    """At the channel, with its callbacks."""
    middle = "AWAITING_PAYER" if kind == "COLLECT" else "PROCESSING"
    states = states or ("PENDING", middle, "SUCCEEDED")
    id_, number = order_of(instruction_id), number_of(instruction_id)
    ended = states[-1] in {"SUCCEEDED", "BOUNCED"}
    done: dict[str, object] = {"channel_txn_id": number, "moved_amount_minor": minor,
                               "moved_amount_currency": "EUR"} if ended else {}  # fmt: skip
    w.put("gateway", "channel_order", id=id_, version=len(states), state=states[-1], kind=kind,
          channel="sandbox", pay_org_no="org", request_no=number, reference=payment_id,
          **euros(minor), **(done | values))  # fmt: skip
    for n, state in enumerate(states, start=1):
        result = state in {"SUCCEEDED", "BOUNCED"}
        name, queues = ("result", ("pay.channel-results",)) if result else (state.lower(), ())
        w.event("gateway", id_, f"gateway.channel.{name}", n, state, *queues)
        if result:
            w.put("gateway", "callback", id=an_id("cbk", id_ + state), channel="sandbox",
                  matched=True, callback_id=f"cb-{number}-{n}", request_no=number)  # fmt: skip
            w.heard("gateway", "callback.sandbox", f"cb-{number}-{n}")


def held(w: World, payment_id: str, *parts: dict[str, object], taken: bool = True) -> None:
    """The instruction HOLD and its hold: all of it taken by journals, or still there."""
    hold, minor = hold_of(payment_id), sum(int(str(p["held"])) for p in parts)
    instruction(w, payment_id, "HOLD", minor, hold_id=hold)
    states = ("HELD", "POSTED") if taken else ("HELD",)
    w.put("clearing", "hold", id=hold, version=len(states), state=states[-1],
          reference=payment_id, parts=json.dumps(parts), **euros(minor))  # fmt: skip
    w.history("clearing", hold, "clearing.hold", *states)
    for p in () if taken else parts:
        w.account(str(p["subject"]), str(p["owner"]), held=int(str(p["held"])))


def book(**changes: object) -> dict[str, object]:
    """What the sandbox says of all this; `changes` are to its collections."""
    collected = {FIRST: 1299, SECOND: 1299, payment_of(TOP_UP): 2000, payment_of(BOUGHT): 400}
    orders = [
        {"out_trade_no": number_of(step(id_, "COLLECT")), "state": "SUCCESS", "paid_amount": minor}
        | changes
        for id_, minor in collected.items()
    ]
    refunded = {RETURN: 1299, step(payment_of(REFUND), "REFUND"): 400}
    refunds = [
        {"out_refund_no": number_of(id_), "state": "SUCCESS", "amount": minor}
        for id_, minor in refunded.items()
    ]
    number = number_of(step(payment_of(BOUNCED), "PAYOUT"))
    payout = {"out_payout_no": number, "state": "BOUNCED", "amount": 500,
              "success_time": "2026-11-20T10:00:00.000Z"}  # fmt: skip
    return {"orders": orders, "refunds": refunds, "payouts": [payout]}
