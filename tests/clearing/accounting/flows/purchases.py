"""Instant purchases: by channel, by balance, and combined. Amounts are euro cents."""

from __future__ import annotations

from tests.clearing.accounting.flows.steps import (
    ANN,
    MERCHANT,
    Case,
    Flow,
    Hold,
    Release,
    bounced,
    collected,
    cost,
    deducted,
    disputed,
    lost,
    paid,
    refunded,
    resolved,
    returned,
    settled,
    suspended,
    transferred,
    window,
    won,
)
from tests.clearing.accounting.flows.wallets import TOPPED_UP

SOLD = Case(
    name="sold",
    story="100.00 are paid by channel and settled; the window is not open yet.",
    steps=(collected(100_00), paid(100_00, "INSTANT"), cost(30), settled(99_70)),
    closing={
        "CHANNEL_FUNDS": 99_70,
        "CHANNEL_COST": 30,
        "FEE_INCOME": 60,
        "MERCHANT_PENDING": 99_40,
    },
)

BY_CHANNEL = Case(
    name="success",
    story="100.00 are paid. We take a fee of 0.60, the channel keeps 0.30.",
    steps=(*SOLD.steps, window(99_40)),
    closing={
        "CHANNEL_FUNDS": 99_70,
        "CHANNEL_COST": 30,
        "FEE_INCOME": 60,
        "MERCHANT_AVAILABLE": 99_40,
    },
)

CHANNEL = Flow(
    "Instant purchase by channel",
    (
        BY_CHANNEL,
        Case(
            name="refund after settlement",
            story="40.00 go back; nothing is pending any more, so they are taken from what is "
            "available.",
            after=BY_CHANNEL,
            steps=(
                Hold("refund", 40_00, MERCHANT),
                refunded(40_00, "CHANNEL_REFUND", "refund"),
                deducted(40_00),
            ),
            closing={
                "CHANNEL_FUNDS": 59_70,
                "CHANNEL_COST": 30,
                "FEE_INCOME": 60,
                "MERCHANT_AVAILABLE": 59_40,
            },
        ),
        Case(
            name="dispute won",
            story="The merchant keeps its money, which was held meanwhile. The channel keeps its "
            "fee of 15.00, at our cost.",
            after=BY_CHANNEL,
            steps=(
                Hold("dispute", 115_00, MERCHANT),
                *disputed(100_00, 15_00),
                won(100_00, 15_00, fee_returned=0),
                Release("dispute"),
                settled(100_00),
            ),
            closing={
                "CHANNEL_FUNDS": 84_70,
                "CHANNEL_COST": 30,
                "DISPUTE_COST": 15_00,
                "FEE_INCOME": 60,
                "MERCHANT_AVAILABLE": 99_40,
            },
        ),
        Case(
            name="dispute lost",
            story="The merchant bears amount and fee. It has 99.40 here and owes us the rest.",
            after=BY_CHANNEL,
            steps=(
                Hold("dispute", 115_00, MERCHANT),
                *disputed(100_00, 15_00),
                lost(100_00, 15_00, charged=115_00, hold="dispute"),
            ),
            closing={
                "CHANNEL_FUNDS": -15_30,
                "CHANNEL_COST": 30,
                "FEE_INCOME": 60,
                "MERCHANT_RECEIVABLE": 15_60,
            },
        ),
        Case(
            name="late success",
            story="The trade was closed before the channel collected: all goes back. What the "
            "channel keeps is our cost.",
            steps=(
                collected(100_00),
                returned(100_00, "CHANNEL_REFUND"),
                cost(30),
                deducted(30),
            ),
            closing={"CHANNEL_FUNDS": -30, "CHANNEL_COST": 30},
        ),
        Case(
            name="late success, and the payer's bank takes nothing back",
            story="What was to go back waits in suspense. A person gives it to the merchant, who "
            "knows the payer.",
            steps=(
                collected(100_00),
                returned(100_00, "CHANNEL_REFUND"),
                bounced(100_00, "CHANNEL_REFUND"),
                resolved(100_00, "RESTORED"),
            ),
            closing={"CHANNEL_RECEIVABLE": 100_00, "MERCHANT_PENDING": 100_00},
        ),
        Case(
            name="wrong amount, accepted",
            story="90.00 come instead of 100.00. They are the merchant's, less the fee.",
            steps=(
                suspended(100_00, 90_00, "CHANNEL_COLLECT"),
                resolved(90_00, "ACCEPTED", "INSTANT"),
            ),
            closing={"CHANNEL_RECEIVABLE": 90_00, "FEE_INCOME": 54, "MERCHANT_PENDING": 89_46},
        ),
        Case(
            name="wrong amount, returned",
            story="90.00 come instead of 100.00, and go back.",
            steps=(
                suspended(100_00, 90_00, "CHANNEL_COLLECT"),
                resolved(90_00, "RETURNED"),
                returned(90_00, "CHANNEL_REFUND"),
            ),
            closing={},
        ),
    ),
    never="A collection does not bounce: what a channel takes back of it is a dispute.",
)

BY_BALANCE = Case(
    name="success",
    story="ann pays 20.00 from her balance.",
    after=TOPPED_UP,
    steps=(
        Hold("pay", 20_00, ANN),
        transferred(20_00, "pay"),
        paid(20_00, "INSTANT"),
        window(19_88),
    ),
    closing={
        "CHANNEL_FUNDS": 99_70,
        "CHANNEL_COST": 30,
        "FEE_INCOME": 12,
        "MERCHANT_AVAILABLE": 19_88,
        "USER_BALANCE ann": 80_00,
    },
)

BALANCE = Flow(
    "Instant purchase by balance",
    (
        BY_BALANCE,
        Case(
            name="refund after settlement",
            story="10.00 go back to ann's balance.",
            after=BY_BALANCE,
            steps=(Hold("refund", 10_00, MERCHANT), refunded(10_00, "TRANSFER", "refund")),
            closing={
                "CHANNEL_FUNDS": 99_70,
                "CHANNEL_COST": 30,
                "FEE_INCOME": 12,
                "MERCHANT_AVAILABLE": 9_88,
                "USER_BALANCE ann": 90_00,
            },
        ),
        Case(
            name="late success",
            story="The trade was closed before the transfer: all goes back.",
            after=TOPPED_UP,
            steps=(
                Hold("pay", 20_00, ANN),
                transferred(20_00, "pay"),
                returned(20_00, "TRANSFER"),
            ),
            closing={"CHANNEL_FUNDS": 99_70, "CHANNEL_COST": 30, "USER_BALANCE ann": 100_00},
        ),
    ),
    never="No channel takes part, so nothing bounces and nothing is disputed.",
)

COMBINED = Case(
    name="success",
    story="80.00 are paid by channel, 20.00 by balance. Transit takes both in and gives 100.00 "
    "out.",
    after=TOPPED_UP,
    steps=(
        Hold("pay", 20_00, ANN),
        collected(80_00),
        transferred(20_00, "pay"),
        paid(100_00, "INSTANT"),
        cost(24),
        settled(79_76),
        window(99_40),
    ),
    closing={
        "CHANNEL_FUNDS": 179_46,
        "CHANNEL_COST": 54,
        "FEE_INCOME": 60,
        "MERCHANT_AVAILABLE": 99_40,
        "USER_BALANCE ann": 80_00,
    },
)

BOTH = Flow(
    "Instant purchase combined",
    (
        COMBINED,
        Case(
            name="refund after settlement",
            story="90.00 go back: the channel's 80.00 first, the rest to the balance. One hold has "
            "both.",
            after=COMBINED,
            steps=(
                Hold("refund", 90_00, MERCHANT),
                refunded(80_00, "CHANNEL_REFUND", "refund"),
                refunded(10_00, "TRANSFER", "refund"),
                deducted(80_00),
            ),
            closing={
                "CHANNEL_FUNDS": 99_46,
                "CHANNEL_COST": 54,
                "FEE_INCOME": 60,
                "MERCHANT_AVAILABLE": 9_40,
                "USER_BALANCE ann": 90_00,
            },
        ),
        Case(
            name="dispute won",
            story="Only the channel's 80.00 can be disputed.",
            after=COMBINED,
            steps=(
                Hold("dispute", 95_00, MERCHANT),
                *disputed(80_00, 15_00),
                won(80_00, 15_00, fee_returned=0),
                Release("dispute"),
                settled(80_00),
            ),
            closing={
                "CHANNEL_FUNDS": 164_46,
                "CHANNEL_COST": 54,
                "DISPUTE_COST": 15_00,
                "FEE_INCOME": 60,
                "MERCHANT_AVAILABLE": 99_40,
                "USER_BALANCE ann": 80_00,
            },
        ),
        Case(
            name="dispute lost",
            story="The merchant bears 80.00 and the fee; what ann paid by balance stays.",
            after=COMBINED,
            steps=(
                Hold("dispute", 95_00, MERCHANT),
                *disputed(80_00, 15_00),
                lost(80_00, 15_00, charged=95_00, hold="dispute"),
            ),
            closing={
                "CHANNEL_FUNDS": 84_46,
                "CHANNEL_COST": 54,
                "FEE_INCOME": 60,
                "MERCHANT_AVAILABLE": 4_40,
                "USER_BALANCE ann": 80_00,
            },
        ),
        Case(
            name="late success",
            story="The trade was closed meanwhile: each part goes back by the way it came.",
            after=TOPPED_UP,
            steps=(
                Hold("pay", 20_00, ANN),
                collected(80_00),
                transferred(20_00, "pay"),
                returned(80_00, "CHANNEL_REFUND"),
                returned(20_00, "TRANSFER"),
                cost(24),
                deducted(24),
            ),
            closing={"CHANNEL_FUNDS": 99_46, "CHANNEL_COST": 54, "USER_BALANCE ann": 100_00},
        ),
    ),
)
