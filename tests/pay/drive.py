"""A payment in memory: commands go in, rows and events come out, and every move is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pay_svc.beneficiaries.domain import Beneficiary, BeneficiaryState
from pay_svc.payments import domain
from pay_svc.payments.effects import owed
from pay_svc.payments.model import (
    UNDER_WAY,
    CancelPayment,
    ChannelMoved,
    ChannelOutcome,
    CreatePayment,
    HoldMoved,
    HoldOutcome,
    Instruction,
    InstructionKind,
    InstructionMoved,
    InstructionState,
    Payment,
    PaymentTiming,
    PaymentView,
    Purpose,
)
from pay_svc.payments.steps import instruction_id
from paymesh.context import Context
from paymesh.core import Event, View
from paymesh.ids import derived_id
from paymesh.money import Money
from paymesh.tools import Tool, ToolKind

BUCKET = 77
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONTEXT = Context("biz_1", "mer_1", "shop", "books", "2088")
PAYMENT_ID = derived_id("pay", bucket=BUCKET, key="payment")
ORIGINAL_ID = derived_id("pay", bucket=BUCKET, key="original")
TRADE_ID = derived_id("trd", bucket=BUCKET, key="trade")
BENEFICIARY_ID = derived_id("ben", bucket=BUCKET, key="beneficiary")
TIMING = PaymentTiming()

RULES: dict[type, Any] = {
    CreatePayment: domain.create_payment,
    CancelPayment: domain.cancel_payment,
    ChannelMoved: domain.channel_moved,
    HoldMoved: domain.hold_moved,
}


def eur(minor: int) -> Money:
    return Money("EUR", minor)


def channel(minor: int) -> Tool:
    return Tool("sandbox", eur(minor))


def balance(minor: int) -> Tool:
    return Tool("", eur(minor), ToolKind.BALANCE)


def beneficiary(**changes: Any) -> Beneficiary:
    """Ann's, and usable."""
    row = Beneficiary(
        id=BENEFICIARY_ID,
        context=CONTEXT,
        version=1,
        state=BeneficiaryState.ACTIVE,
        owner_id="ann",
        channel="bank",
        sealed_account_no=b"sealed",
        masked_account_no="********5678",
        account_name="Ann",
        usable_at=AT,
        created_at=AT,
    )
    return replace(row, **changes)


def create(purpose: Purpose, *tools: Tool, **changes: Any) -> CreatePayment:
    """A payment of Ann's, with all that its purpose needs."""
    command = CreatePayment(
        payment_id=PAYMENT_ID,
        context=CONTEXT,
        trade_id=TRADE_ID,
        purpose=purpose,
        amount=eur(sum(tool.amount.minor for tool in tools)),
        tools=tools,
        subject="books",
        expires_at=AT + timedelta(hours=1),
        payer_id="ann",
        beneficiary_id=BENEFICIARY_ID if purpose is Purpose.WITHDRAWAL else "",
        beneficiary=beneficiary() if purpose is Purpose.WITHDRAWAL else None,
        original_payment_id=ORIGINAL_ID if purpose is Purpose.REFUND else "",
    )
    return replace(command, **changes)


class Drive:
    """Puts commands to one payment. Every decision is checked for what holds of each."""

    def __init__(self, purpose: Purpose, *tools: Tool, **changes: Any) -> None:
        self.view = PaymentView(None)
        self.events: list[Event] = []
        self.at = AT
        self.do(create(purpose, *tools, **changes))

    # What it is told

    def do(self, command: Any) -> None:
        """Decides and keeps; twice, for the same again must change nothing."""
        self.at += timedelta(seconds=1)
        rule = RULES[type(command)]
        decision = rule(self.view, command, self.at, View(), timing=TIMING)
        self._look_at(decision.state, decision.events)
        self.view = decision.state
        self.events += decision.events
        again = rule(self.view, command, self.at, View(), timing=TIMING)
        assert again.state is self.view
        assert not again.events

    def _look_at(self, new: PaymentView, events: Sequence[Event]) -> None:
        """Each new version of each row has exactly one event, and open work somebody to do it."""
        before = {row.id: row.version for row in _rows(self.view)}
        for row in _rows(new):
            told = [event for event in events if event.aggregate_id == row.id]
            first = before.get(row.id, 0) + 1
            assert [event.sequence for event in told] == list(range(first, row.version + 1))
            assert not told or told[-1].state == row.state
        payment = new.payment
        assert payment is not None
        assert (payment.next_action_at is not None) == (payment.state in UNDER_WAY)
        assert not new.instructions or all(i.payment_id == payment.id for i in new.instructions)

    def channel(self, key: str, outcome: str, **changes: Any) -> None:
        """The gateway reports the end of the step `key` (such as collect:0)."""
        i = self.step(key)
        moved = i.amount if outcome in {"SUCCEEDED", "BOUNCED"} else None
        report = ChannelMoved(
            payment_id=PAYMENT_ID,
            context=CONTEXT,
            request_no=i.request_no,
            outcome=ChannelOutcome(outcome),
            moved=moved,
            channel_txn_id="txn" if moved else "",
            succeeded_at=None,
            reason="" if moved else f"WHY_{outcome}",
        )
        self.do(replace(report, **changes))

    def ledger(self, key: str, outcome: str, reason: str = "") -> None:
        """The ledger answers the step `key` (such as hold:0)."""
        i = self.step(key)
        self.do(HoldMoved(PAYMENT_ID, CONTEXT, i.request_no, HoldOutcome(outcome), reason))

    def held(self) -> None:
        self.ledger("hold:0", "SUCCEEDED")

    def not_held(self) -> None:
        self.ledger("hold:0", "FAILED", "INSUFFICIENT_FUNDS")

    def released(self) -> None:
        self.ledger(self.undoing("hold:0"), "SUCCEEDED")

    def cancel(self, *, give_back: bool = False) -> None:
        self.do(CancelPayment(PAYMENT_ID, give_back))

    # What it is

    @property
    def payment(self) -> Payment:
        assert self.view.payment is not None
        return self.view.payment

    @property
    def state(self) -> str:
        return self.payment.state.value

    def step(self, key: str) -> Instruction:
        [found] = [i for i in self.view.instructions if i.id == instruction_id(PAYMENT_ID, key)]
        return found

    def undoing(self, key: str) -> str:
        """The key of the step that undoes another."""
        act = "release" if key.startswith("hold") else "return"
        return f"{act}:{instruction_id(PAYMENT_ID, key)}"

    @property
    def steps(self) -> dict[str, str]:
        """The state of each step, by its key; of one that undoes another, `-` and that one's."""
        keys = ("hold:0", "collect:0", "transfer:0", "payout:0", "refund:0")
        names = {instruction_id(PAYMENT_ID, key): key for key in keys}
        names |= {instruction_id(PAYMENT_ID, self.undoing(key)): f"-{key}" for key in keys}
        return {names[i.id]: i.state.value for i in self.view.instructions}

    @property
    def asked(self) -> dict[str, Any]:
        """What is owed now, by the effect's name."""
        return {type(effect).__name__: effect for effect in owed(self.view, self.at)}

    @property
    def published(self) -> list[str]:
        return [event.type for event in self.events if event.published]

    def booked(self) -> list[tuple[str, str, int]]:
        """The movements that the ledger hears of: state, kind (`-`: of a return), minor units."""
        return [
            (
                event.state,
                ("-" if moved.instruction.compensates else "") + moved.instruction.kind,
                (moved.instruction.observed or moved.instruction.amount).minor,
            )
            for event in self.events
            if event.published and isinstance(moved := event.payload, InstructionMoved)
        ]

    def in_transit(self) -> int:
        """What this payment has brought into its transit, less what went back."""
        into = {InstructionKind.CHANNEL_COLLECT.value, InstructionKind.TRANSFER.value}
        if self.payment.purpose in {Purpose.WITHDRAWAL, Purpose.REFUND}:
            into = set()
        succeeded = [(kind, minor) for state, kind, minor in self.booked() if state == "SUCCEEDED"]
        return sum(
            -minor if kind.startswith("-") else minor
            for kind, minor in succeeded
            if kind.startswith("-") or kind in into
        )

    def taken(self) -> int:
        """What movements have taken of the hold, less what bounced back."""
        return sum(
            {"SUCCEEDED": minor, "BOUNCED": -minor}.get(event.state, 0)
            for event in self.events
            if event.published
            and isinstance(event.payload, InstructionMoved)
            and event.payload.instruction.hold_id
            for minor in (event.payload.instruction.amount.minor,)
        )

    def open(self) -> list[Instruction]:
        states = {InstructionState.PROCESSING, InstructionState.CLOSING}
        return [i for i in self.view.instructions if i.state in states]


def _rows(view: PaymentView) -> list[Payment | Instruction]:
    return [*([view.payment] if view.payment else []), *view.instructions]
