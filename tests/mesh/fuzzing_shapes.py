"""What messages of some kinds need to mean something: amounts that add up, parties, neighbours."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from google.type.date_pb2 import Date
from payments.clearing.v1 import ledger_pb2
from payments.trade.v1 import trade_events_pb2, trade_pb2
from payments.type.v1 import context_pb2

from paymesh_ops.clients.requests import by_balance, by_channel, money
from tests.mesh.fuzzing import Maker, Shape

TYPES = trade_pb2.TradeType


def _code(m: Maker, request: Any) -> None:
    code = m.dice.choice(m.pool.codes)
    request.merchant_id, request.order_type, request.sub_type, request.pay_org_no = code


def create_trade(m: Maker, request: Any) -> None:
    _code(m, request)
    type_ = m.dice.choice(("INSTANT", "TOP_UP", "TRANSFER", "WITHDRAWAL"))
    request.type = f"TRADE_TYPE_{type_}"
    payer, payee = m.dice.sample(m.pool.users, 2)
    request.payer_id = payer
    request.payee_id = payee if type_ in {"TOP_UP", "TRANSFER"} else ""
    request.beneficiary_id = ""
    if type_ == "WITHDRAWAL":
        to = m.dice.choice(list(m.pool.beneficiaries.values())[:20])
        request.beneficiary_id, request.payer_id = to.beneficiary_id, to.owner_id
    if m.dice.random() < 0.95:
        request.amount.currency_code = "EUR"
    request.ClearField("expire_time")


def pay_trade(m: Maker, request: Any) -> None:
    """With tools that its type takes."""
    trade = _pending(m, kept=False)
    if trade is None:
        return
    request.trade_id, request.merchant_id = trade.trade_id, trade.merchant_id
    del request.tools[:]
    types = {TYPES.TRADE_TYPE_TOP_UP: [by_channel(trade.amount)]}
    others = [by_balance(trade.amount)]
    if trade.type == TYPES.TRADE_TYPE_INSTANT:
        others = _tools(m, trade.amount)
    request.tools.extend(types.get(trade.type, others))


def _tools(m: Maker, amount: Any) -> list[Any]:
    part = m.dice.randint(0, amount.minor_units)
    rest = amount.minor_units - part
    tools = [by_channel(money(part, amount.currency_code))] if part else []
    return tools + ([by_balance(money(rest, amount.currency_code))] if rest else [])


def _kept(id_: str, letters: str = "abcdefghijklmnop") -> bool:
    """Of two who use things up, each has its own: half of them, or so many of 32 letters."""
    return id_[-1] in letters


def _pending(m: Maker, *, kept: bool) -> Any:
    """A trade, while there are such; mostly it is used up."""
    ids = [id_ for id_ in m.pool.pending if _kept(id_, "abcdef") == kept][-50:]
    if not ids:
        return None
    id_ = m.dice.choice(ids)
    return m.pool.pending.pop(id_) if m.dice.random() < 0.6 else m.pool.pending[id_]


def close_trade(m: Maker, request: Any) -> None:
    if trade := _pending(m, kept=True):
        request.trade_id, request.merchant_id = trade.trade_id, trade.merchant_id


def get_trade(m: Maker, request: Any) -> None:
    request.merchant_id = m.pool.merchants.get(request.trade_id, request.merchant_id)


def of_beneficiary(m: Maker, request: Any) -> None:
    merchants = m.pool.merchants
    request.merchant_id = merchants.get(request.beneficiary_id, request.merchant_id)


def refund_trade(m: Maker, request: Any) -> None:
    request.trade_id = m.dice.choice(m.pool.ids["purchase"])
    request.merchant_id = m.pool.merchants[request.trade_id]
    request.amount.CopyFrom(money(m.dice.randint(1, 3)))


def create_payment(m: Maker, request: Any) -> None:
    """Of a purpose that its parties fit."""
    request.payment_id = m.new_id("pay")
    purpose = m.dice.choice(("PURCHASE", "TOP_UP", "TRANSFER", "WITHDRAWAL", "REFUND"))
    request.purpose = f"PAYMENT_PURPOSE_{purpose}"
    request.amount.CopyFrom(money(m.dice.randint(1, 3000)))
    del request.tools[:]
    amount = request.amount
    tools = {"TOP_UP": [by_channel(amount)], "PURCHASE": _tools(m, amount)}
    request.tools.extend(tools.get(purpose, [by_balance(amount)]))
    request.payee_id = m.dice.choice(("", "fuzz-1")) if purpose == "TRANSFER" else ""
    request.beneficiary_id = m.dice.choice(m.pool.ids["ben"]) if purpose == "WITHDRAWAL" else ""
    request.original_payment_id = m.new_id("pay") if purpose == "REFUND" else ""
    request.expire_time.FromSeconds(int(time.time()) + 3600)


def register_code(m: Maker, request: Any) -> None:
    request.merchant_id = m.dice.choice(m.pool.ids["mer"])


def create_beneficiary(m: Maker, request: Any) -> None:
    request.account_no = f"DE{m.dice.randrange(10**10):010}"


def post_journal(m: Maker, request: Any) -> None:
    """Money for a user: balanced, in one currency."""
    request.business_key = m.new_id("key")
    amount = money(m.dice.randint(1, 10_000))
    users = [m.dice.choice(m.pool.owners[:3]), m.dice.choice(m.pool.owners[3:])]
    debit = m.dice.choice((("BANK", "platform"), ("USER_BALANCE", users[0])))
    del request.entries[:]
    for (subject, owner), side in ((debit, "DEBIT"), (("USER_BALANCE", users[1]), "CREDIT")):
        request.entries.append(
            ledger_pb2.Entry(
                subject=subject, owner=owner, side=f"ENTRY_SIDE_{side}", amount=amount,
                reference=m.dice.choice(("", "ref-1")),
            )
        )  # fmt: skip
    request.ClearField("accounting_date")


def place_hold(m: Maker, request: Any) -> None:
    request.hold_id = m.new_id("hld")
    request.amount.CopyFrom(money(m.dice.randint(1, 50)))
    del request.sources[:]
    request.sources.add(subject="USER_BALANCE", owner=m.dice.choice(m.pool.owners[:4]))
    del request.payees[:]
    for field in ("after", "expire_time"):
        request.ClearField(field)


def _of_hold(m: Maker, request: Any, *, kept: bool) -> Any:
    newest = list(m.pool.holds.values())[-2000:]
    hold = m.dice.choice([hold for hold in newest if _kept(hold.hold_id) == kept])
    request.hold_id = hold.hold_id
    del request.sources[:]
    request.sources.extend(part.account for part in hold.parts)
    return hold


def release_hold(m: Maker, request: Any) -> None:
    request.currency_code = _of_hold(m, request, kept=False).amount.currency_code


def post_hold(m: Maker, request: Any) -> None:
    hold = _of_hold(m, request, kept=True)
    request.business_key = m.new_id("key")
    minor = m.dice.randint(1, max(1, hold.amount.minor_units))
    request.amount.CopyFrom(money(minor, hold.amount.currency_code))
    del request.entries[:]
    credit = ledger_pb2.ENTRY_SIDE_CREDIT
    request.entries.add(
        subject="USER_BALANCE", owner=m.dice.choice(m.pool.owners), side=credit,
        amount=request.amount,
    )  # fmt: skip


def account_of(m: Maker, request: Any) -> None:
    """GetBalance, ListEntries: an account that there may be."""
    request.account.subject, request.account.owner = "USER_BALANCE", m.dice.choice(m.pool.owners)
    request.currency_code = "EUR"
    for field in ("accounting_date", "known_time", "first_date", "last_date"):
        if field in request.DESCRIPTOR.fields_by_name:
            request.ClearField(field)


def get_account(m: Maker, request: Any) -> None:
    request.subject, request.owner = "USER_BALANCE", m.dice.choice(m.pool.owners)
    request.currency_code = "EUR"


def create_account(m: Maker, request: Any) -> None:
    request.account.subject = "USER_BALANCE"
    request.account.owner = f"fuzz-own-{m.dice.randrange(10**6)}"
    request.ClearField("minimum_minor_units")
    request.ClearField("maximum_minor_units")
    if request.mode == ledger_pb2.ACCOUNT_MODE_DRAINING:
        request.mode = ledger_pb2.ACCOUNT_MODE_DIRECT


def set_mode(m: Maker, request: Any) -> None:
    """Seldom of an account that others live on."""
    request.account_id = m.dice.choice(m.pool.ids["own" if m.dice.random() < 0.95 else "acc"])


def post_split(m: Maker, request: Any) -> None:
    request.event_type = "shop/split"
    post_journal(m, request) if "accounting_date" in request.DESCRIPTOR.fields_by_name else None
    request.business_key = m.new_id("key")
    amount = money(m.dice.randint(1, 10))
    del request.entries[:]
    for owner, side in zip(m.dice.sample(m.pool.owners, 2), ("DEBIT", "CREDIT"), strict=True):
        request.entries.add(
            subject="USER_BALANCE", owner=owner, side=f"ENTRY_SIDE_{side}", amount=amount
        )


def book_event(m: Maker, request: Any) -> None:
    request.event_type = "trade.trade.paid"
    paid = trade_events_pb2.TradePaid(
        trade_id=m.new_id("trd"),
        merchant_id=m.dice.choice(m.pool.ids["mer"]),
        product_code=m.dice.choice(("INSTANT", "TOP_UP", "TRANSFER")),
        payment_id=m.new_id("pay"),
        amount=money(m.dice.randint(1, 1000)),
        payee_id=m.dice.choice(m.pool.owners),
    )
    request.payload = paid.SerializeToString()
    request.occurred_time.FromSeconds(int(time.time()))


def close_day(m: Maker, request: Any) -> None:
    """One of the next, or one that is closed."""
    day = m.pool.closed + timedelta(days=m.dice.choice((1, 1, 2, -1, 100)))
    request.accounting_date.CopyFrom(Date(year=day.year, month=day.month, day=day.day))


def trial_balance(m: Maker, request: Any) -> None:
    request.ClearField("accounting_date")


def prepay(m: Maker, request: Any) -> None:
    request.request_no = m.new_id("xxx")[4:]
    request.expire_time.FromSeconds(int(time.time()) + 3600)


def call_context(m: Maker, request: Any) -> None:
    request.context.business_id = "biz_fuzz"
    request.context.traffic = context_pb2.TRAFFIC_LIVE
    request.remaining_ms = 0


def edge_item(m: Maker, item: Any) -> None:
    """It begins a chain, or is of no chain."""
    if item.HasField("call_context"):
        item.call_context.context.business_id = item.call_context.context.merchant_id = ""


def payout(m: Maker, request: Any) -> None:
    request.request_no = m.new_id("xxx")[4:]


def refund_order(m: Maker, request: Any) -> None:
    request.request_no = m.new_id("xxx")[4:]
    request.original_request_no = m.dice.choice(m.pool.ids["collected"])
    request.amount.CopyFrom(money(m.dice.randint(1, 5)))


def reverse_journal(m: Maker, request: Any) -> None:
    undoable = m.pool.undoable
    request.journal_id = undoable.pop() if len(undoable) > 5 else m.dice.choice(undoable)
    request.ClearField("accounting_date")


SHAPES: dict[str, Shape] = {
    "CallContext": call_context,
    "CreateTradeRequest": create_trade,
    "PayTradeRequest": pay_trade,
    "CloseTradeRequest": close_trade,
    "RefundTradeRequest": refund_trade,
    "GetTradeRequest": get_trade,
    "BatchCreateTradesItem": edge_item,
    "BatchPayTradesItem": edge_item,
    "GetBeneficiaryRequest": of_beneficiary,
    "DeleteBeneficiaryRequest": of_beneficiary,
    "RegisterBusinessCodeRequest": register_code,
    "CreateBeneficiaryRequest": create_beneficiary,
    "CreatePaymentRequest": create_payment,
    "PostJournal": post_journal,
    "PlaceHoldRequest": place_hold,
    "ReleaseHoldRequest": release_hold,
    "PostHoldRequest": post_hold,
    "ReverseJournalRequest": reverse_journal,
    "GetBalanceRequest": account_of,
    "ListEntriesRequest": account_of,
    "GetAccountRequest": get_account,
    "CreateAccountRequest": create_account,
    "SetAccountModeRequest": set_mode,
    "SetAccountStatusRequest": set_mode,
    "PostSplitJournalRequest": post_split,
    "BookEventRequest": book_event,
    "CloseDayRequest": close_day,
    "GetTrialBalanceRequest": trial_balance,
    "PrepayRequest": prepay,
    "PayoutRequest": payout,
    "RefundChannelOrderRequest": refund_order,
}
