"""Requests and events as messages: short ways to say what comes to the ledger from outside."""

from __future__ import annotations

from typing import Any

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2
from payments.pay.v1 import payment_events_pb2
from payments.trade.v1 import trade_events_pb2
from payments.type.v1 import account_pb2, context_pb2, event_pb2, instruction_pb2, money_pb2

from clearing_svc.ledger.drafts import JournalDraft
from paymesh.bus.port import Delivery, Message
from tests.clearing.ledger_world import hold_id, sources


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
        "request_id": request_id,
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
    purpose: str = "PURCHASE",
    payer_id: str = "",
    original: str = "",
    **changes: Any,
) -> event_pb2.Event:
    """`changes` are fields of the instruction, such as compensates or hold_id."""
    step: dict[str, Any] = {
        "instruction_id": key,
        "payment_id": "pay_1",
        "kind": f"INSTRUCTION_KIND_{kind}",
        "amount": money(minor),
        "channel": "sandbox" if kind.startswith("CHANNEL") else "",
        "observed_amount": observed,
    }
    payload = payment_events_pb2.InstructionMoved(
        instruction=instruction_pb2.Instruction(**{**step, **changes}),
        trade_id="trd_1",
        purpose=f"PAYMENT_PURPOSE_{purpose}",
        payer_id=payer_id,
        original_payment_id=original,
    )
    return _event(f"pay.instruction.{event}", event_id, key, payload)


def held(name: str, *accounts: str) -> dict[str, Any]:
    """The fields by which an instruction names its hold."""
    refs = [account_pb2.AccountRef(subject=s.subject, owner=s.owner) for s in sources(*accounts)]
    return {"hold_id": hold_id(name), "hold_sources": refs}


def paid(
    minor: int,
    *,
    key: str = "trd_1",
    event_id: str = "evt_2",
    product: str = "INSTANT",
    payee_id: str = "",
) -> event_pb2.Event:
    payload = trade_events_pb2.TradePaid(
        trade_id=key,
        merchant_id="mer_1",
        product_code=product,
        payment_id="pay_1",
        amount=money(minor),
        payee_id=payee_id,
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


# Answers


def reason_of(status: Status) -> str:
    info = ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return info.reason


def fields_of(status: Status) -> list[str]:
    bad = BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    return [violation.field for violation in bad.field_violations]
