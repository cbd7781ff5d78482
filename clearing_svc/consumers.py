"""What the ledger hears: money that moved, and trades that were paid. Message ↔ command.

An event that moves no money is a command to post nothing: it counts in the inbox like the others.

Mode FACT: events come in any order and any number of times, and each is booked once by its
business key (paymesh.consumer counts event ids; the ledger's guards know a fact under a new id).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from payments.pay.v1 import payment_events_pb2, payment_pb2
from payments.trade.v1 import trade_events_pb2
from payments.type.v1 import instruction_pb2
from payments.type.v1.event_pb2 import Event

from clearing_svc.ledger.chart import PLATFORM, Chart
from clearing_svc.ledger.diverting import ways
from clearing_svc.ledger.domain import PostJournals
from clearing_svc.ledger.facts import HOLD_ID, BusinessEvent, NotBookable
from clearing_svc.ledger.templates import Templates
from clearing_svc.wire import sources_of
from paymesh.app import Core
from paymesh.clock import Clock
from paymesh.consumer import Consumer, Translate
from paymesh.wire import context_of, money_of, time_of

LEDGER = "clearing.ledger"


def instruction_moved(event: Event) -> BusinessEvent:
    """pay.instruction.succeeded, pay.instruction.suspended, pay.instruction.bounced."""
    moved = payment_events_pb2.InstructionMoved.FromString(event.payload)
    instruction, context = moved.instruction, event.call_context.context
    amounts = {"amount": money_of(instruction.amount)}
    if event.type == "pay.instruction.suspended":
        if not instruction.HasField("observed_amount"):
            raise NotBookable(f"{instruction.instruction_id}: how much moved is not known")
        amounts["observed_amount"] = money_of(instruction.observed_amount)
    kind = instruction_pb2.InstructionKind.Name(instruction.kind)
    channel, payment_id = instruction.channel, instruction.payment_id
    refund = moved.purpose == payment_pb2.PAYMENT_PURPOSE_REFUND
    return BusinessEvent(
        type=event.type,
        kind=kind.removeprefix("INSTRUCTION_KIND_"),
        product=_product(moved),
        business_key=instruction.instruction_id,
        occurred_at=time_of(event.occurred_time),
        amounts=amounts,
        names={
            PLATFORM: PLATFORM,
            "channel_account": f"{channel}:{context.pay_org_no}" if channel else "",
            "payment_id": payment_id,
            "origin_payment_id": moved.original_payment_id if refund else payment_id,
            "payer_id": moved.payer_id,
            "merchant_id": context.merchant_id,
            HOLD_ID: instruction.hold_id,
        },
        hold_sources=sources_of(instruction.hold_sources),
    )


def _product(moved: payment_events_pb2.InstructionMoved) -> str:
    """What the payment is for, or RETURN for a step that takes another one back."""
    if moved.instruction.compensates:
        return "RETURN"
    if moved.purpose == payment_pb2.PAYMENT_PURPOSE_UNSPECIFIED:
        return ""
    return payment_pb2.PaymentPurpose.Name(moved.purpose).removeprefix("PAYMENT_PURPOSE_")


def trade_paid(event: Event) -> BusinessEvent:
    paid = trade_events_pb2.TradePaid.FromString(event.payload)
    return BusinessEvent(
        type=event.type,
        kind="",
        product=paid.product_code,
        business_key=paid.trade_id,
        occurred_at=time_of(paid.pay_time),
        amounts={"amount": money_of(paid.amount)},
        names={
            PLATFORM: PLATFORM,
            "merchant_id": paid.merchant_id,
            "payment_id": paid.payment_id,
            "trade_id": paid.trade_id,
            "payee_id": paid.payee_id,
        },
    )


def bookings(templates: Templates) -> Mapping[str, Translate]:
    """What to post for an event, by its type, if the accounts take it. Raises DecodeError and
    NotBookable."""

    def booking(facts_of: Callable[[Event], BusinessEvent]) -> Translate:
        def command(event: Event) -> PostJournals:
            context = context_of(event.call_context.context)
            return PostJournals(context, templates.drafts(facts_of(event)))

        return command

    return {
        "pay.instruction.succeeded": booking(instruction_moved),
        "pay.instruction.suspended": booking(instruction_moved),
        "pay.instruction.bounced": booking(instruction_moved),
        "trade.trade.paid": booking(trade_paid),
    }


def heard(commands: Mapping[str, Translate], chart: Chart) -> Mapping[str, Translate]:
    """As bookings, for what has happened already: it is booked, whatever an account takes."""

    def always(translate: Translate) -> Translate:
        def command(event: Event) -> PostJournals:
            posting: PostJournals = translate(event)
            return replace(posting, happened=True, ways=ways(posting.journals, chart))

        return command

    return {type_: always(translate) for type_, translate in commands.items()}


def ledger(
    core: Core[Any], commands: Mapping[str, Translate], chart: Chart, clock: Clock
) -> Consumer:
    return Consumer(LEDGER, heard(commands, chart), core.shell.process, clock)
