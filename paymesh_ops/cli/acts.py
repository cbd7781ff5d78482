"""The acts of the demo: what a customer and a merchant do, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from payments.trade.v1 import trade_pb2
from rich.console import Console
from rich.status import Status
from rich.table import Table

from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet

PAID = trade_pb2.TRADE_STATE_PAID


class Steps:
    """Prints what is done and how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._acts = 0
        self._status: Status | None = None

    def act(self, title: str) -> None:
        self._acts += 1
        self._console.rule(f"{self._acts}  {title}", align="left")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        with self._console.status(what) as self._status:
            yield
        line = Table.grid(expand=True, padding=(0, 1, 0, 0))
        line.add_column()
        line.add_column(ratio=1)
        line.add_column(justify="right", style="dim")
        line.add_row("[green]✓[/green]", what, f"{time.monotonic() - started:.2f} s")
        self._console.print(line)

    def leave(self) -> None:
        """Takes away what is shown of a step that will not go on."""
        if self._status is not None:
            self._status.stop()


async def purchase(steps: Steps, shop: Shop) -> trade_pb2.Trade:
    steps.act("A purchase")
    with steps.step("CreateTrade: the business order becomes a trade of EUR 12.34"):
        trade = await shop.order(1234)
    with steps.step("PayTrade: answered at once with an internal credential"):
        credential_id = await shop.start_payment(trade)
    with steps.step("GetCredential: the gateway has asked the channel in the background"):
        credential = await shop.credential(credential_id)
    with steps.step("The customer pays at the channel, which calls the gateway back, signed"):
        await shop.customer_pays(credential)
    with steps.step("Callback, event, instruction, payment, trade: the trade is PAID"):
        await shop.reaches(trade, PAID)
    with steps.step("Collection, attribution and fee are booked by accounting templates"):
        await shop.journals(trade, 3)
    with steps.step("The merchant got its signed notification"):
        await shop.hears(trade, "trade.paid")
    return trade


async def refunds(steps: Steps, shop: Shop, trade: trade_pb2.Trade) -> None:
    steps.act("Its money goes back in parts")
    for what, minor_units in (("EUR 5.00", 500), ("EUR 4.00", 400), ("the rest", 334)):
        with steps.step(f"RefundTrade of {what}: reserved, held on the merchant, given back"):
            refund = await shop.refund(trade, minor_units)
            await shop.refund_reaches(trade, refund, trade_pb2.REFUND_STATE_SUCCEEDED)
            await shop.journals(refund, 1)
    with steps.step("The merchant heard of each"):
        await shop.hears(trade, "trade.refunded")


async def lost_callback(steps: Steps, shop: Shop) -> None:
    steps.act("The channel's callback is lost")
    await shop.faults({"next": {"callback": {"lost": 1}}})
    with steps.step("The customer pays; nobody calls us back"):
        trade = await shop.purchase(599)
    with steps.step("The resolver asks the channel by our own reference: PAID, booked, notified"):
        await shop.reaches(trade, PAID)
        await shop.journals(trade, 3)
        await shop.hears(trade, "trade.paid")
    await shop.faults({})


async def late_money(steps: Steps, shop: Shop) -> None:
    steps.act("The order expires, and the money comes after all")
    await shop.faults({"next": {"pay": {"late_success": 1}}})
    with steps.step("A trade with 2 seconds to pay; the customer hesitates"):
        trade = await shop.order(2500, expires_in_s=2)
        credential = await shop.credential(await shop.start_payment(trade))
    with steps.step("It expires by itself: the trade and its channel order are closed"):
        await shop.reaches(trade, trade_pb2.TRADE_STATE_CLOSED)
        await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_CLOSED)
        await shop.hears(trade, "trade.closed")
    with steps.step("The channel takes the customer's money all the same"):
        await shop.customer_pays(credential)
    with steps.step("A closed trade takes no money: it is returned to the customer"):
        await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_RETURNED)
        await shop.journals(trade, 2)


async def balances(steps: Steps, ada: Wallet, bob: Wallet) -> None:
    steps.act("Balances: topped up, spent, sent")
    shop = ada.shop
    with steps.step("Ada tops up EUR 100.00 through the channel"):
        await shop.reaches(await ada.top_up(10_000), PAID)
        await ada.has(10_000)
    with steps.step("She buys for EUR 30.00 from her balance: held, then posted"):
        await shop.reaches(await ada.buys(3000), PAID)
        await ada.has(7000)
    with steps.step("She sends Bob EUR 25.00"):
        await shop.reaches(await ada.sends(bob, 2500), PAID)
        await bob.has(2500)
    with steps.step("Bob tries to buy for EUR 25.01: refused, INSUFFICIENT_FUNDS, nothing moved"):
        trade = await bob.buys(2501)
        await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_FAILED)
        await bob.has(2500)


async def combined(steps: Steps, ada: Wallet) -> trade_pb2.Trade:
    steps.act("One purchase, two tools")
    shop = ada.shop
    with steps.step("EUR 80.00 by channel, EUR 20.00 from the balance: held before she may pay"):
        trade = await ada.buys_combined(from_channel=8000, from_balance=2000)
    with steps.step("The channel's money came: the hold is posted, the trade is PAID"):
        await shop.reaches(trade, PAID)
        await ada.has(2500)
        await shop.journals(trade, 4)
    with steps.step("EUR 90.00 go back: 80.00 through the channel, 10.00 onto the balance"):
        refund = await shop.refund(trade, 9000)
        await shop.refund_reaches(trade, refund, trade_pb2.REFUND_STATE_SUCCEEDED)
        await ada.has(3500)
    return trade


async def withdrawals(steps: Steps, ada: Wallet) -> trade_pb2.Trade:
    steps.act("Withdrawals to a bank")
    shop = ada.shop
    with steps.step("EUR 10.00: held, paid out, booked"):
        await shop.reaches(await ada.withdraws(1000, to_account="DE0012345678"), PAID)
        await ada.has(2500)
    with steps.step("EUR 5.00, and the bank declines: the hold is released"):
        trade = await ada.withdraws(500, to_account="DE0012340001")
        await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_FAILED)
        await ada.has(2500)
    with steps.step("EUR 5.00, and the bank brings the money back later: it is hers again"):
        bounced = await ada.withdraws(500, to_account="DE0012340003")
        await shop.reaches(bounced, trade_pb2.TRADE_STATE_RETURNED)
        await ada.has(2500)
    with steps.step("EUR 5.00, and the bank never says: unknown is not failure, it stays held"):
        await ada.withdraws(500, to_account="DE0012340002")
        await ada.has(2500, held=500)
    return bounced
