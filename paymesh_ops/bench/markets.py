"""Where purchases are made and booked: our mesh, and the reference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
from payments.trade.v1 import merchant_service_pb2, merchant_service_pb2_grpc

from clearing_svc.ledger.drafts import account_id_of
from clearing_svc.ledger.loading import HERE, load_fees
from paymesh.channel import DIRECT
from paymesh.ids import shard_of
from paymesh.wire import money_of
from paymesh_ops.bench.backlog import Look, looking
from paymesh_ops.bench.books import Books
from paymesh_ops.bench.chain import AMOUNT, TOOL
from paymesh_ops.bench.load import RPC_TIMEOUT_S
from paymesh_ops.bench.naive import Naive
from paymesh_ops.clients.requests import request_id

_BOOKED = """
    SELECT min(coalesce(account.balance_minor + (
        SELECT coalesce(sum(delta_minor), 0)::bigint FROM account_delta AS delta
        WHERE delta.account_id = account.id AND delta.shard_key = account.shard_key
    ), 0) / wanted.each)
    FROM unnest(%(shards)s::smallint[], %(ids)s::text[], %(each)s::bigint[])
        AS wanted(shard, id, each)
    LEFT JOIN account ON account.shard_key = wanted.shard AND account.id = wanted.id
"""
"""Payments by what they leave on two accounts: the same transactions write journals and balances,
and two rows are found faster, twenty times a second, than journals are counted."""

_COUNTED = {
    "trades": ("trade", "SELECT count(*) FROM trade WHERE merchant_id = %(merchant)s"),
    "trades PAID": (
        "trade",
        "SELECT count(*) FROM trade WHERE merchant_id = %(merchant)s AND state = 'PAID'",
    ),
    "channel orders SUCCEEDED": (
        "gateway",
        "SELECT count(*) FROM channel_order WHERE merchant_id = %(merchant)s "
        "AND state = 'SUCCEEDED'",
    ),
    **{
        f"journals {name}": (
            "clearing",
            "SELECT count(*) FROM journal WHERE merchant_id = %(merchant)s "
            f"AND event_type = '{name}'",
        )
        for name in (
            "pay.instruction.succeeded/collect",
            "trade.trade.paid/attribution",
            "trade.trade.paid/fee",
        )
    },
}
"""Each is there as often as there are payments."""


class Ours:
    """One merchant of our mesh, who wants no notifications."""

    look_every_s = 0.05

    def __init__(self, *, target: str, reader_urls: Mapping[str, str], books: Books) -> None:
        self.target, self._reader_urls, self._books = target, reader_urls, books
        self.business_code: Mapping[str, str] = {}

    async def open(self) -> None:
        """Registers the merchant and its one business code."""
        async with grpc.aio.insecure_channel(self.target, options=[DIRECT]) as channel:
            merchants = merchant_service_pb2_grpc.MerchantServiceStub(channel)
            created = await merchants.CreateMerchant(
                merchant_service_pb2.CreateMerchantRequest(
                    request_id=request_id(), display_name="Bookshop", notify_secret=bytes(32)
                ),
                timeout=RPC_TIMEOUT_S,
            )
            merchant_id = created.merchant.merchant_id
            self.business_code = {
                "merchant_id": merchant_id,
                "order_type": "shop",
                "sub_type": "book",
                "pay_org_no": merchant_id,  # its own account at the channel
            }
            await merchants.RegisterBusinessCode(
                merchant_service_pb2.RegisterBusinessCodeRequest(
                    **self.business_code, request_id=request_id(), description="Books"
                ),
                timeout=RPC_TIMEOUT_S,
            )

    def booked(self) -> AbstractAsyncContextManager[Look]:
        amount = money_of(AMOUNT)
        fee = load_fees(HERE / "fees.yaml").of("INSTANT", amount)
        merchant_id = self.business_code["merchant_id"]
        left = {
            ("CHANNEL_RECEIVABLE", f"{TOOL.channel.channel}:{merchant_id}"): amount.minor,
            ("MERCHANT_PENDING", merchant_id): (amount - fee).minor,
        }
        ids = [account_id_of(subject, owner, amount.currency) for subject, owner in left]
        return looking(
            self._reader_urls["clearing"],
            _BOOKED,
            shards=[shard_of(account_id) for account_id in ids],
            ids=ids,
            each=list(left.values()),
        )

    async def wrong(self, paid: int) -> Sequence[str]:
        merchant_id = self.business_code["merchant_id"]
        counts = {
            what: await self._books.number(service, sql, merchant=merchant_id)
            for what, (service, sql) in _COUNTED.items()
        }
        differ = [f"{paid} payments, {n} {what}" for what, n in counts.items() if n != paid]
        return [*differ, *await self._books.wrong()]


class Reference:
    """The reference, which knows no merchants: it takes any."""

    look_every_s = 0.2
    """It makes a connection for every look."""
    business_code: Mapping[str, str] = {
        "merchant_id": "mer_bench",
        "order_type": "shop",
        "sub_type": "book",
        "pay_org_no": "contract-1",
    }

    def __init__(self, naive: Naive) -> None:
        self._naive = naive

    @property
    def target(self) -> str:
        return self._naive.trade_target

    @asynccontextmanager
    async def booked(self) -> AsyncIterator[Look]:
        async def look() -> int:
            return await asyncio.to_thread(self._naive.booked)

        yield look

    async def wrong(self, paid: int) -> Sequence[str]:
        booked = await asyncio.to_thread(self._naive.booked)
        differ = [] if booked == paid else [f"{paid} payments, {booked} are booked"]
        return [*differ, *await asyncio.to_thread(self._naive.wrong)]
