"""Top-ups, transfers and withdrawals: what fills, moves and empties balances. In euro cents."""

from __future__ import annotations

from tests.clearing.accounting.flows.steps import (
    ANN,
    Case,
    Flow,
    Happens,
    Hold,
    Release,
    bounced,
    collected,
    cost,
    deducted,
    disputed,
    lost,
    paid,
    paid_out,
    payout_line,
    resolved,
    returned,
    settled,
    suspended,
    transferred,
    won,
)

TOPPED_UP = Case(
    name="success",
    story="ann puts 100.00 on her balance. The channel keeps 0.30, at our cost.",
    steps=(
        collected(100_00, "TOP_UP", "pay_0"),
        paid(100_00, "TOP_UP", "trd_0", "pay_0"),
        cost(30, payment="pay_0"),
        settled(99_70, "pay_0"),
    ),
    closing={"CHANNEL_FUNDS": 99_70, "CHANNEL_COST": 30, "USER_BALANCE ann": 100_00},
)

TOP_UP = Flow(
    "Top-up",
    (
        TOPPED_UP,
        Case(
            name="dispute won",
            story="What ann has is held meanwhile. This channel gives its fee back, too.",
            after=TOPPED_UP,
            steps=(
                Hold("dispute", 100_00, ANN),
                *disputed(100_00, 15_00),
                won(100_00, 15_00, fee_returned=15_00),
                Release("dispute"),
                settled(115_00),
            ),
            closing={"CHANNEL_FUNDS": 99_70, "CHANNEL_COST": 30, "USER_BALANCE ann": 100_00},
        ),
        Case(
            name="dispute lost",
            story="ann is charged what she has; a balance does not go below zero, so the rest is "
            "our cost.",
            after=TOPPED_UP,
            steps=(
                Hold("dispute", 100_00, ANN),
                *disputed(100_00, 15_00),
                lost(100_00, 15_00, charged=100_00, hold="dispute"),
            ),
            closing={"CHANNEL_FUNDS": -15_30, "CHANNEL_COST": 30, "DISPUTE_COST": 15_00},
        ),
        Case(
            name="late success",
            story="The trade was closed before the channel collected: all goes back.",
            steps=(
                collected(100_00, "TOP_UP"),
                returned(100_00, "CHANNEL_REFUND"),
                cost(30),
                deducted(30),
            ),
            closing={"CHANNEL_FUNDS": -30, "CHANNEL_COST": 30},
        ),
        Case(
            name="wrong amount, accepted",
            story="90.00 come instead of 100.00, and are put on the balance.",
            steps=(
                suspended(100_00, 90_00, "CHANNEL_COLLECT"),
                resolved(90_00, "ACCEPTED", "TOP_UP"),
            ),
            closing={"CHANNEL_RECEIVABLE": 90_00, "USER_BALANCE ann": 90_00},
        ),
    ),
    never="A top-up is not refunded: the balance is withdrawn. A collection does not bounce.",
)

TRANSFER = Flow(
    "Transfer",
    (
        Case(
            name="success",
            story="ann sends 15.00 to bob.",
            after=TOPPED_UP,
            steps=(
                Hold("send", 15_00, ANN),
                transferred(15_00, "send", "TRANSFER"),
                Happens(
                    words="the trade is paid: 15.00",
                    type="trade.trade.paid",
                    kind="",
                    product="TRANSFER",
                    amounts={"amount": 15_00},
                    names={"payee_id": "bob"},
                ),
            ),
            closing={
                "CHANNEL_FUNDS": 99_70,
                "CHANNEL_COST": 30,
                "USER_BALANCE ann": 85_00,
                "USER_BALANCE bob": 15_00,
            },
        ),
        Case(
            name="late success",
            story="The trade was closed before the transfer: all goes back.",
            after=TOPPED_UP,
            steps=(
                Hold("send", 15_00, ANN),
                transferred(15_00, "send", "TRANSFER"),
                returned(15_00, "TRANSFER"),
            ),
            closing={"CHANNEL_FUNDS": 99_70, "CHANNEL_COST": 30, "USER_BALANCE ann": 100_00},
        ),
    ),
    never="No channel takes part, so nothing bounces and nothing is disputed; it is not refunded.",
)

WITHDRAWN = Case(
    name="success",
    story="ann withdraws 30.00 to her bank.",
    after=TOPPED_UP,
    steps=(
        Hold("payout", 30_00, ANN),
        paid_out(30_00, "payout"),
        paid(30_00, "WITHDRAWAL"),
        payout_line(30_00),
    ),
    closing={"CHANNEL_FUNDS": 69_70, "CHANNEL_COST": 30, "USER_BALANCE ann": 70_00},
)

WITHDRAWAL = Flow(
    "Withdrawal",
    (
        WITHDRAWN,
        Case(
            name="bounce",
            story="The bank brings it back before it is on a statement.",
            after=TOPPED_UP,
            steps=(
                Hold("payout", 30_00, ANN),
                paid_out(30_00, "payout"),
                bounced(30_00, "CHANNEL_PAYOUT", {}),
            ),
            closing={"CHANNEL_FUNDS": 99_70, "CHANNEL_COST": 30, "USER_BALANCE ann": 100_00},
        ),
        Case(
            name="bounce after its statement",
            story="ann has her money at once; the next statement follows.",
            after=WITHDRAWN,
            steps=(bounced(30_00, "CHANNEL_PAYOUT", {}), payout_line(30_00, "IN")),
            closing={"CHANNEL_FUNDS": 99_70, "CHANNEL_COST": 30, "USER_BALANCE ann": 100_00},
        ),
        Case(
            name="wrong amount",
            story="25.00 are paid out instead of 30.00. ann is charged what really left, and the "
            "rest is released.",
            after=TOPPED_UP,
            steps=(
                Hold("payout", 30_00, ANN),
                suspended(30_00, 25_00, "CHANNEL_PAYOUT"),
                resolved(25_00, "CHARGED", hold="payout"),
                Release("payout"),
                payout_line(25_00),
            ),
            closing={"CHANNEL_FUNDS": 74_70, "CHANNEL_COST": 30, "USER_BALANCE ann": 75_00},
        ),
    ),
    never="What is on its way out cannot be closed, so no success is late; it is neither refunded "
    "nor disputed.",
)
