"""Accounts under load that an operator freezes, closes and opens again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2
from payments.type.v1 import account_pb2

from paymesh.context import Context
from paymesh.ids import new_id
from paymesh.server import CONTEXT_METADATA
from paymesh.wire import context_to
from paymesh_ops.check.snapshots import snapshots
from paymesh_ops.clients.requests import RPC_TIMEOUT_S, answered, eventually, request_id
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet
from paymesh_ops.storm.plan import MERCHANT

_CHAIN = Context(new_id("biz", bucket=0))
_METADATA = [(CONTEXT_METADATA, context_to(_CHAIN, caller="storm").SerializeToString())]


class Accounts:
    """The merchant's, by the name MERCHANT, and wallets by their number."""

    def __init__(self, shop: Shop, wallets: Sequence[Wallet]) -> None:
        self._shop, self._wallets = shop, wallets

    async def become(self, name: str, status: str) -> None:
        """Asks until it is answered. One that is not empty cannot be closed: it is frozen."""
        account = await self._there(name)
        request = ledger_service_pb2.SetAccountStatusRequest(
            request_id=request_id(),
            account_id=account.account_id,
            status=f"ACCOUNT_STATUS_{status}",
            why="a storm",
        )

        async def ask() -> bool | None:
            call = self._shop.ledger.SetAccountStatus(
                request, metadata=_METADATA, timeout=RPC_TIMEOUT_S
            )
            return True if await answered(call) is not None else None

        try:
            await eventually("answer of SetAccountStatus", ask, timeout_s=self._shop.patience_s)
        except grpc.aio.AioRpcError:
            if status != "CLOSED":
                raise
            await self.become(name, "FROZEN_IN")

    async def _there(self, name: str) -> ledger_pb2.Account:
        """The account, opened if nothing has come to it yet."""
        if name == MERCHANT:
            of = account_pb2.AccountRef(subject="MERCHANT_PENDING", owner=self._shop.merchant_id)
        else:
            of = account_pb2.AccountRef(
                subject="USER_BALANCE", owner=self._wallets[int(name)].owner
            )
        request = ledger_service_pb2.CreateAccountRequest(
            request_id=request_id(), account=of, currency_code="EUR"
        )

        async def ask() -> ledger_pb2.Account | None:
            call = self._shop.ledger.CreateAccount(
                request, metadata=_METADATA, timeout=RPC_TIMEOUT_S
            )
            response = await answered(call)
            return response.account if response is not None else None

        return await eventually("account", ask, timeout_s=self._shop.patience_s)


async def returns(reader_urls: Mapping[str, str]) -> dict[str, int]:
    """How often money was diverted, and moved on, and how many minor units are kept still."""
    async with snapshots(reader_urls) as s:
        [row] = await s.rows("clearing", _RETURNS)
    return {name: int(count) for name, count in row.items()}


_RETURNS = """
    SELECT count(*) FILTER (WHERE e.side = 'CREDIT') AS "diverted from shut accounts",
        count(*) FILTER (WHERE e.side = 'DEBIT' AND e.reference = r.id) AS "moved on to them",
        (SELECT coalesce(sum(p.minor), 0) FROM returns_payable,
            jsonb_to_recordset(parts) AS p(minor bigint)) AS "minor units kept"
    FROM returns_payable r
    JOIN entry e ON e.shard_key = r.shard_key AND e.account_id = 'acc_' || substr(r.id, 5)
"""
