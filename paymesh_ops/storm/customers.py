"""The load: customers who come whether or not the last one was served, and merchants who refund."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import grpc
from payments.trade.v1 import trade_pb2

from paymesh_ops.clients.requests import RPC_TIMEOUT_S, answered, by_balance, by_channel, money
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet
from paymesh_ops.storm.plan import POOR_WALLETS, WALLETS, StormPlan

FILLED_WITH = 1_000_000
BANKS = ("DE0012345678",) * 7 + ("DE0012340001",) + ("DE0012340003",) * 2
"""Accounts at the sandbox: most pay out, one declines, two bring the money back."""

Form = Callable[["Customers"], Awaitable[None]]


class Customers:
    """Starts `plan.payments` flows, `plan.per_second` of them a second. `tally` counts by outcome.

    What a flow waits for it waits for with patience; if that is over, the customer is gone, and
    what the flow has begun must come to an end without anybody asking.
    """

    def __init__(self, shop: Shop, plan: StormPlan) -> None:
        self.shop, self._plan = shop, plan
        self.dice = random.Random(plan.seed)
        self.tally: Counter[str] = Counter()
        self.started = 0
        wallets = WALLETS + POOR_WALLETS
        self.all_wallets = [Wallet(shop, expires_in_s=plan.expires_in_s) for _ in range(wallets)]
        self.wallets = self.all_wallets[:WALLETS]
        """Those that have something to spend."""

    async def fill_wallets(self) -> None:
        """Before the storm: everybody has something to spend."""
        for wallet in self.wallets:
            await wallet.top_up(FILLED_WITH)
        for wallet in self.wallets:
            await wallet.has(FILLED_WITH)

    async def come(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        flows = []
        for number in range(self._plan.payments):
            await asyncio.sleep(max(0.0, begun + number / self._plan.per_second - loop.time()))
            form = self.dice.choices(list(FORMS), weights=list(FORMS.values()))[0]
            flows.append(asyncio.create_task(self._one(form)))
            self.started += 1
        await asyncio.gather(*flows)

    async def _one(self, form: Form) -> None:
        name = form.__name__.replace("_", " ")
        try:
            await form(self)
        except TimeoutError:
            self.tally[f"{name}: the customer left"] += 1
        except grpc.aio.AioRpcError as error:
            self.tally[f"{name}: refused ({error.code().name})"] += 1
        except aiohttp.ClientError:
            self.tally[f"{name}: the channel did not answer"] += 1
        else:
            self.tally[f"{name}: done"] += 1

    def wallet(self) -> Wallet:
        return self.dice.choice(self.wallets)

    def amount(self) -> int:
        return self.dice.randint(1, 20_000)

    async def order(self, minor_units: int, **changes: Any) -> trade_pb2.Trade:
        return await self.shop.order(minor_units, expires_in_s=self._plan.expires_in_s, **changes)

    async def pays_at_the_channel(self, trade: trade_pb2.Trade, **changes: Any) -> None:
        """Again and again while the channel answers with an error; a closed order is given up."""
        credential = await self.shop.credential(await self.shop.start_payment(trade, **changes))
        for _ in range(5):
            if "pay_url" not in credential.channel_fields:
                return  # it ended before the payer came
            if await self.shop.customer_pays(credential) < 500:
                return
            await asyncio.sleep(0.5)


async def purchase(customers: Customers) -> None:
    trade = await customers.order(customers.amount())
    await customers.pays_at_the_channel(trade)
    await customers.shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)


async def refunded_purchase(customers: Customers) -> None:
    """Two refunds at once, the second asked for twice."""
    amount = customers.amount() + 10
    trade = await customers.order(amount)
    await customers.pays_at_the_channel(trade)
    await customers.shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    part = customers.dice.randint(1, amount // 2)
    await asyncio.gather(
        customers.shop.refund(trade, part), _refund_twice(customers, trade, amount - part)
    )


async def _refund_twice(customers: Customers, trade: trade_pb2.Trade, minor_units: int) -> None:
    request = customers.shop.refund_request(trade.trade_id, money(minor_units))
    calls = [customers.shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S) for _ in range(2)]
    await asyncio.gather(*map(answered, calls))


async def top_up(customers: Customers) -> None:
    user = customers.dice.choice(customers.all_wallets).user
    trade = await customers.order(
        customers.amount(), type=trade_pb2.TRADE_TYPE_TOP_UP, payer_id=user, payee_id=user
    )
    await customers.pays_at_the_channel(trade)


async def balance_purchase(customers: Customers) -> None:
    trade = await customers.order(customers.amount(), payer_id=customers.wallet().user)
    await customers.shop.pays(trade, tools=[by_balance(trade.amount)])


async def combined_purchase(customers: Customers) -> None:
    amount = customers.amount() + 2
    channel = customers.dice.randint(1, amount - 1)
    trade = await customers.order(amount, payer_id=customers.wallet().user)
    tools = [by_channel(money(channel)), by_balance(money(amount - channel))]
    await customers.pays_at_the_channel(trade, tools=tools)


async def transfer(customers: Customers) -> None:
    ada = customers.wallet()
    bob = customers.dice.choice([wallet for wallet in customers.all_wallets if wallet is not ada])
    await ada.sends(bob, customers.amount())


async def withdrawal(customers: Customers) -> None:
    await customers.wallet().withdraws(customers.amount(), to_account=customers.dice.choice(BANKS))


async def impatient_purchase(customers: Customers) -> None:
    """Started twice, and both paid: one of them goes back."""
    trade = await customers.order(customers.amount())
    first = await customers.shop.credential(await customers.shop.start_payment(trade))
    await customers.pays_at_the_channel(trade)
    if "pay_url" in first.channel_fields:
        await customers.shop.customer_pays(first)


async def abandoned_purchase(customers: Customers) -> None:
    """The customer never pays: the order expires."""
    await customers.shop.start_payment(await customers.order(customers.amount()))


FORMS: dict[Form, int] = {
    purchase: 40,
    refunded_purchase: 12,
    top_up: 8,
    balance_purchase: 10,
    combined_purchase: 10,
    transfer: 6,
    withdrawal: 8,
    impatient_purchase: 3,
    abandoned_purchase: 3,
}
"""How often each comes, in a hundred."""
