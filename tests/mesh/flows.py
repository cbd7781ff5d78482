"""Every flow of money as a customer and a merchant see it, each run to its end and looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from payments.clearing.v1 import ledger_pb2
from payments.gateway.v1 import channel_pb2
from payments.trade.v1 import trade_pb2

from paymesh_ops.clients.requests import eventually
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet

PAID = trade_pb2.TRADE_STATE_PAID
REFUNDED = trade_pb2.REFUND_STATE_SUCCEEDED


def lines(*journals: ledger_pb2.Journal) -> list[tuple[str, str, int]]:
    """(subject, side, minor units) of all entries, sorted."""
    return sorted(
        (entry.subject, _side(entry.side), entry.amount.minor_units)
        for journal in journals
        for entry in journal.entries
    )


def _side(number: ledger_pb2.EntrySide) -> str:
    return ledger_pb2.EntrySide.Name(number).removeprefix("ENTRY_SIDE_").lower()


async def purchase(shop: Shop) -> None:
    """12.34 through the channel: collected, attributed, the fee taken, the merchant told."""
    trade = await shop.purchase(1234)
    await shop.reaches(trade, PAID)
    await shop.hears(trade, "trade.paid")
    assert lines(*await shop.journals(trade, 3)) == [
        ("CHANNEL_RECEIVABLE", "debit", 1234),
        ("FEE_INCOME", "credit", 7),
        ("MERCHANT_PENDING", "credit", 1234),
        ("MERCHANT_PENDING", "debit", 7),
        ("PAYER_TRANSIT", "credit", 1234),
        ("PAYER_TRANSIT", "debit", 1234),
    ]


async def refund(shop: Shop) -> None:
    """4.00 of 10.00 go back through the channel."""
    trade = await shop.purchase(1000)
    await shop.reaches(trade, PAID)
    part = await shop.refund(trade, 400)
    part = await shop.refund_reaches(trade, part, REFUNDED)
    await shop.hears(trade, "trade.refunded")
    [journal] = await shop.journals(part, 1)
    assert lines(journal) == [
        ("CHANNEL_RECEIVABLE", "credit", 400),
        ("MERCHANT_PENDING", "debit", 400),
    ]
    assert (await shop.trade(trade.trade_id)).refunded_amount.minor_units == 400


async def returned_refund(shop: Shop) -> None:
    """4.00 go back through the channel, which brings them back: they can be refunded anew.

    Who is away when it comes back hears of that alone, and then nothing has moved.
    """
    trade = await shop.reaches(await shop.purchase(1000), PAID)
    await shop.faults({"next": {"refund": {"bounce": 1}}, "refund": {"bounce_ms": 2000}})
    back = await shop.refund(trade, 400)

    async def is_over() -> trade_pb2.Refund | None:
        found = (await shop.trade(trade.trade_id)).refunds[0]
        return found if found.state in OVER else None

    found = await eventually("end of the refund", is_over, timeout_s=shop.patience_s)
    moves = 2 if found.state == trade_pb2.REFUND_STATE_RETURNED else 0
    assert found.returned_amount.minor_units == (400 if moves else 0)
    await shop.journals(back, moves)
    await shop.faults({})
    again = await shop.refund(trade, 1000)
    await shop.refund_reaches(trade, again, REFUNDED)
    assert (await shop.trade(trade.trade_id)).refunded_amount.minor_units == 1000


OVER = {trade_pb2.REFUND_STATE_RETURNED, trade_pb2.REFUND_STATE_FAILED}


async def top_up(shop: Shop) -> None:
    """50.00 from the channel onto a balance."""
    wallet = Wallet(shop)
    trade = await wallet.top_up(5000)
    await shop.reaches(trade, PAID)
    await wallet.has(5000)


async def balance_purchase(shop: Shop) -> None:
    """20.00 of 50.00 on the balance pay a purchase."""
    wallet = await filled(shop, 5000)
    trade = await wallet.buys(2000)
    await shop.reaches(trade, PAID)
    await wallet.has(3000)
    booked = lines(*await shop.journals(trade, 3))
    assert ("USER_BALANCE", "debit", 2000) in booked
    assert ("MERCHANT_PENDING", "credit", 2000) in booked


async def combined_purchase(shop: Shop) -> None:
    """80.00 through the channel and 20.00 from the balance pay one purchase; 90.00 go back."""
    wallet = await filled(shop, 5000)
    trade = await wallet.buys_combined(from_channel=8000, from_balance=2000)
    await shop.reaches(trade, PAID)
    await wallet.has(3000)
    back = await shop.refund(trade, 9000)
    back = await shop.refund_reaches(trade, back, REFUNDED)
    await wallet.has(4000)
    assert lines(*await shop.journals(back, 2)) == [
        ("CHANNEL_RECEIVABLE", "credit", 8000),
        ("MERCHANT_PENDING", "debit", 1000),
        ("MERCHANT_PENDING", "debit", 8000),
        ("USER_BALANCE", "credit", 1000),
    ]


async def transfer(shop: Shop) -> None:
    """15.00 from one balance to another."""
    ada, bob = await filled(shop, 5000), Wallet(shop)
    trade = await ada.sends(bob, 1500)
    await shop.reaches(trade, PAID)
    await ada.has(3500)
    await bob.has(1500)


async def withdrawal(shop: Shop) -> None:
    """30.00 from a balance to a bank."""
    wallet = await filled(shop, 5000)
    trade = await wallet.withdraws(3000, to_account="DE0012345678")
    await shop.reaches(trade, PAID)
    await wallet.has(2000)
    [journal] = await shop.journals(trade, 1)
    assert lines(journal) == [("PAYOUT_TRANSIT", "credit", 3000), ("USER_BALANCE", "debit", 3000)]


async def declined_withdrawal(shop: Shop) -> None:
    """The bank says no: the hold is released, nothing is booked."""
    wallet = await filled(shop, 5000)
    trade = await wallet.withdraws(3000, to_account="DE0012340001")
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_FAILED)
    await wallet.has(5000)
    assert await shop.journals(trade, 0) == []


async def bounced_withdrawal(shop: Shop) -> None:
    """The bank pays out and brings the money back later."""
    wallet = await filled(shop, 5000)
    trade = await wallet.withdraws(3000, to_account="DE0012340003")
    await shop.reaches(trade, trade_pb2.TRADE_STATE_RETURNED)
    await shop.hears(trade, "trade.returned")
    await wallet.has(5000)
    assert len(await shop.journals(trade, 2)) == 2


async def filled(shop: Shop, minor_units: int) -> Wallet:
    """A new user's wallet with so much on it."""
    wallet = Wallet(shop)
    await wallet.top_up(minor_units)
    await wallet.has(minor_units)
    return wallet


async def expiring(
    shop: Shop, minor_units: int = 1234, **changes: Any
) -> tuple[trade_pb2.Trade, channel_pb2.Credential]:
    """A trade that expires soon, and a credential that could still pay it when it came."""
    tools = changes.pop("tools", None)
    for expires_in_s in (1.5, 8, 40):  # later, where calls take long
        try:
            trade = await shop.order(minor_units, expires_in_s=expires_in_s, **changes)
            asked = {} if tools is None else {"tools": tools}
            credential = await shop.credential(await shop.start_payment(trade, **asked))
        except grpc.aio.AioRpcError as error:
            if error.code() not in TOO_LATE:
                raise
            continue
        except TimeoutError:  # it was over before it had a credential
            continue
        if credential.state == channel_pb2.CREDENTIAL_STATE_READY:
            return trade, credential
    raise AssertionError("no trade lives long enough to be paid")


TOO_LATE = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
Flow = Callable[[Shop], Awaitable[None]]
FLOWS: tuple[Flow, ...] = (
    purchase,
    refund,
    top_up,
    balance_purchase,
    combined_purchase,
    transfer,
    withdrawal,
    declined_withdrawal,
    bounced_withdrawal,
)
