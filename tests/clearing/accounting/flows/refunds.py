"""Refunds of a purchase of 100.00 by channel. Amounts are euro cents."""

from __future__ import annotations

from tests.clearing.accounting.flows.purchases import BY_CHANNEL, SOLD
from tests.clearing.accounting.flows.steps import (
    MERCHANT,
    Case,
    Flow,
    Hold,
    Release,
    bounced,
    collected,
    cost,
    deducted,
    paid,
    refunded,
    resolved,
    settled,
    suspended,
    window,
)

REFUND = {"payment_id": "pay_2", "origin_payment_id": "pay_1"}

REFUNDED = Case(
    name="success",
    story="40.00 go back before the window: they are taken from what is pending. The channel "
    "gives 0.12 of its cost back; our fee stays.",
    after=SOLD,
    steps=(
        Hold("refund", 40_00, MERCHANT),
        refunded(40_00, "CHANNEL_REFUND", "refund"),
        cost(12, "IN"),
        deducted(39_88),
    ),
    closing={
        "CHANNEL_FUNDS": 59_82,
        "CHANNEL_COST": 18,
        "FEE_INCOME": 60,
        "MERCHANT_PENDING": 59_40,
    },
)

SHORT = Case(
    name="after settlement, merchant short",
    story="All 100.00 go back, but the merchant has 99.40 here. We lend it 0.60, up to the "
    "maximum of MERCHANT_RECEIVABLE; beyond that the refund is refused.",
    after=BY_CHANNEL,
    steps=(
        Hold("refund", 100_00, MERCHANT),
        refunded(100_00, "CHANNEL_REFUND", "refund"),
        deducted(100_00),
    ),
    closing={"CHANNEL_FUNDS": -30, "CHANNEL_COST": 30, "FEE_INCOME": 60, "MERCHANT_RECEIVABLE": 60},
)

FLOW = Flow(
    "Refund",
    (
        REFUNDED,
        SHORT,
        Case(
            name="the next window recovers",
            story="The merchant sells for 50.00; what it owes us is kept when that is released.",
            after=SHORT,
            steps=(
                collected(50_00, payment="pay_3"),
                paid(50_00, "INSTANT", "trd_3", "pay_3"),
                cost(15, payment="pay_3"),
                settled(49_85, "pay_3"),
                window(49_70, recovered=60),
            ),
            closing={
                "CHANNEL_FUNDS": 49_55,
                "CHANNEL_COST": 45,
                "FEE_INCOME": 90,
                "MERCHANT_AVAILABLE": 49_10,
            },
        ),
        Case(
            name="bounce",
            story="The payer's bank does not take it: it is the merchant's again, to be refunded "
            "anew.",
            after=REFUNDED,
            steps=(bounced(40_00, "CHANNEL_REFUND", REFUND, product="REFUND"), settled(40_00)),
            closing={
                "CHANNEL_FUNDS": 99_82,
                "CHANNEL_COST": 18,
                "FEE_INCOME": 60,
                "MERCHANT_PENDING": 99_40,
            },
        ),
        Case(
            name="wrong amount",
            story="The channel gives 35.00 back instead of 40.00. The merchant is charged that, "
            "and the rest is released.",
            after=SOLD,
            steps=(
                Hold("refund", 40_00, MERCHANT),
                suspended(40_00, 35_00, "CHANNEL_REFUND", REFUND),
                resolved(35_00, "CHARGED", names={"payment_id": "pay_2"}, hold="refund"),
                Release("refund"),
                deducted(35_00),
            ),
            closing={
                "CHANNEL_FUNDS": 64_70,
                "CHANNEL_COST": 30,
                "FEE_INCOME": 60,
                "MERCHANT_PENDING": 64_40,
            },
        ),
    ),
    never="A refund is not disputed, and not closed: no success of it is late.",
)
