"""What the ledger's tests are made of: short ways to say accounts, journals and events."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from payments.clearing.v1 import ledger_pb2, ledger_service_pb2
from payments.pay.v1 import payment_events_pb2
from payments.trade.v1 import trade_events_pb2
from payments.type.v1 import context_pb2, event_pb2, instruction_pb2, money_pb2

from clearing_svc.ledger import loading
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.domain import AccountView, PostJournals, States, post_journals
from clearing_svc.ledger.drafts import JournalDraft, Line, account_id_of, drafted
from paymesh.bus.port import Delivery, Message
from paymesh.context import Call, Context
from paymesh.core import Decision, Guard, View
from paymesh.errors import PaymentError
from paymesh.money import Money
from paymesh.shell import Item, Outcome

AT = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
CONTEXT = Context(business_id="biz_1", merchant_id="mer_1", pay_org_no="2088")
CONFIG = loading.load()
CHANNEL = "sandbox:2088"


def line(
    side: str, subject: str, owner: str, minor: int, *, ref: str = "", cur: str = "CNY"
) -> Line:
    return Line(subject, owner, Side(side), Money(cur, minor), ref)


def top_up(user: str, minor: int, *, key: str, cur: str = "CNY") -> JournalDraft:
    """A journal that gives a user a balance."""
    lines = (
        line("DEBIT", "BANK", "platform", minor, cur=cur),
        line("CREDIT", "USER_BALANCE", user, minor, cur=cur),
    )
    return drafted("test/top-up", key, lines)


def transfer(payer: str, payee: str, minor: int, *, key: str, cur: str = "CNY") -> JournalDraft:
    lines = (
        line("DEBIT", "USER_BALANCE", payer, minor, cur=cur),
        line("CREDIT", "USER_BALANCE", payee, minor, cur=cur),
    )
    return drafted("test/transfer", key, lines)


def post(*drafts: JournalDraft, context: Context = CONTEXT) -> PostJournals:
    return PostJournals(context, drafts)


class Book:
    """The rule with a memory, for tests without a store."""

    def __init__(self) -> None:
        self.accounts: dict[str, AccountView] = {}
        self.taken: dict[Guard, str] = {}
        self.facts: list[Any] = []

    def post(self, *drafts: JournalDraft) -> Decision[States]:
        command = post(*drafts)
        state = {key: self.accounts.get(key, AccountView(None)) for key in command.keys}
        rule = partial(post_journals, chart=CONFIG.chart)
        decision = rule(state, command, AT, View(dict(self.taken)))
        self.accounts.update(decision.state)
        self.taken.update({guard: guard.owner for guard in decision.guards})
        self.facts += decision.facts
        return decision

    def balance(self, subject: str, owner: str, cur: str = "CNY") -> int:
        view = self.accounts.get(account_id_of(subject, owner, cur), AccountView(None))
        return view.account.balance.minor if view.account else 0


def item(command: PostJournals, **parts: Any) -> Item:
    return Item(command=command, call=Call(command.context, deadline=float("inf")), **parts)


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Each outcome as OK, AGAIN (replayed) or the refusal's reason."""
    return [
        o.reason if isinstance(o, PaymentError) else "AGAIN" if _replayed(o.reply) else "OK"
        for o in outcomes
    ]


def _replayed(answer: Any) -> bool:
    return bool(getattr(answer, "replayed", ()))


# Messages


def call_context(business_id: str = "biz_1", traffic: int = 1) -> context_pb2.CallContext:
    context = context_pb2.Context(
        business_id=business_id, merchant_id="mer_1", pay_org_no="2088", traffic=traffic
    )
    return context_pb2.CallContext(context=context)


def money(minor: int, cur: str = "CNY") -> money_pb2.Money:
    return money_pb2.Money(currency_code=cur, minor_units=minor)


def asked(
    draft: JournalDraft,
    *,
    request_id: str = "",
    business_id: str = "biz_1",
    **changes: Any,
) -> ledger_service_pb2.PostJournalsItem:
    """The item of a PostJournals request that asks for the draft."""
    values: dict[str, Any] = {
        "request_id": request_id or str(uuid.uuid4()),
        "event_type": draft.event_type,
        "business_key": draft.business_key,
        "entries": [
            ledger_pb2.Entry(
                subject=x.subject,
                owner=x.owner,
                side=f"ENTRY_SIDE_{x.side}",
                amount=money(x.amount.minor, x.amount.currency),
                reference=x.reference,
            )
            for x in draft.lines
        ],
    }
    request = ledger_service_pb2.PostJournal(**{**values, **changes})
    return ledger_service_pb2.PostJournalsItem(
        call_context=call_context(business_id), request=request
    )


def instruction(
    event: str,
    minor: int,
    *,
    kind: str = "CHANNEL_COLLECT",
    key: str = "ins_1",
    event_id: str = "evt_1",
    observed: money_pb2.Money | None = None,
) -> event_pb2.Event:
    payload = payment_events_pb2.InstructionMoved(
        instruction=instruction_pb2.Instruction(
            instruction_id=key,
            payment_id="pay_1",
            kind=f"INSTRUCTION_KIND_{kind}",
            amount=money(minor),
            channel="sandbox",
            observed_amount=observed,
        ),
        trade_id="trd_1",
    )
    return _event(f"pay.instruction.{event}", event_id, key, payload)


def paid(
    minor: int, *, key: str = "trd_1", event_id: str = "evt_2", product: str = "INSTANT"
) -> event_pb2.Event:
    payload = trade_events_pb2.TradePaid(
        trade_id=key,
        merchant_id="mer_1",
        product_code=product,
        payment_id="pay_1",
        amount=money(minor),
    )
    return _event("trade.trade.paid", event_id, key, payload)


def _event(type_: str, event_id: str, aggregate_id: str, payload: Any) -> event_pb2.Event:
    return event_pb2.Event(
        event_id=event_id,
        type=type_,
        schema_version=1,
        aggregate_id=aggregate_id,
        sequence=1,
        call_context=call_context(),
        payload=payload.SerializeToString(),
    )


def message(*events: event_pb2.Event) -> Message:
    body = event_pb2.EventBatch(events=events).SerializeToString()
    return Message(id=events[0].event_id, routing_key=events[0].type, body=body)


def delivery(*events: event_pb2.Event) -> Delivery:
    return Delivery(message(*events), queue="clearing.ledger", attempt=0, delivery_count=0)


def signed_sum(balances: Mapping[str, int]) -> int:
    """The sum of balances by subject, debit-normal ones positive: 0 in every true book."""
    chart = CONFIG.chart
    return sum(
        minor if chart[subject].normal_side is Side.DEBIT else -minor
        for subject, minor in balances.items()
    )
