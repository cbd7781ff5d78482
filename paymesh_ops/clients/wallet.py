"""Wallets: balances that users top up, pay from, send to each other, and withdraw to a bank."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import grpc
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2
from payments.pay.v1 import beneficiary_service_pb2
from payments.trade.v1 import trade_pb2

from paymesh.wallets import wallet_id
from paymesh_ops.clients.requests import (
    RPC_TIMEOUT_S,
    answered,
    by_balance,
    by_channel,
    eventually,
    money,
    request_id,
)
from paymesh_ops.clients.shop import Shop


def new_user() -> str:
    return f"user-{secrets.token_hex(4)}"


@dataclass
class Wallet:
    """One user's balance, at a shop through which it is used."""

    shop: Shop
    user: str = field(default_factory=new_user)
    currency: str = "EUR"
    expires_in_s: float | None = None
    """How long its trades can be paid; None: as their type says."""

    @property
    def owner(self) -> str:
        """What the ledger calls this user."""
        return wallet_id(self.shop.wallet_scope, self.user)

    async def account(self) -> ledger_pb2.Account | None:
        """The balance in the ledger; None before its first entry."""
        request = ledger_service_pb2.GetAccountRequest(
            subject="USER_BALANCE", owner=self.owner, currency_code=self.currency
        )
        try:
            response = await answered(self.shop.ledger.GetAccount(request, timeout=RPC_TIMEOUT_S))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None
        return response.account if response is not None else None

    async def has(self, minor_units: int, *, held: int = 0) -> None:
        """Waits until so much is on the balance, and so much of it held."""

        async def look() -> bool | None:
            found = await self.account()
            there = (found.balance.minor_units, found.held.minor_units) if found else (0, 0)
            return True if there == (minor_units, held) else None

        what = f"{minor_units} (held {held}) on the balance of {self.user}"
        await eventually(what, look, timeout_s=self.shop.patience_s)

    async def top_up(self, minor_units: int) -> trade_pb2.Trade:
        """Money from the sandbox onto the balance; the trade once the customer has paid."""
        trade = await self.shop.order(
            minor_units,
            currency=self.currency,
            expires_in_s=self.expires_in_s,
            type=trade_pb2.TRADE_TYPE_TOP_UP,
            payer_id=self.user,
            payee_id=self.user,
            subject="Top-up",
        )
        credential = await self.shop.credential(await self.shop.start_payment(trade))
        await self.shop.customer_pays(credential)
        return trade

    async def order(self, minor_units: int) -> trade_pb2.Trade:
        """A purchase of this user, not yet paid."""
        return await self.shop.order(
            minor_units,
            currency=self.currency,
            expires_in_s=self.expires_in_s,
            payer_id=self.user,
        )

    async def buys(self, minor_units: int) -> trade_pb2.Trade:
        """A purchase paid from the balance."""
        trade = await self.order(minor_units)
        return await self.shop.pays(trade, tools=[by_balance(trade.amount)])

    async def buys_combined(self, *, from_channel: int, from_balance: int) -> trade_pb2.Trade:
        """A purchase paid partly at the sandbox and partly from the balance."""
        trade = await self.order(from_channel + from_balance)
        tools = [
            by_channel(money(from_channel, self.currency)),
            by_balance(money(from_balance, self.currency)),
        ]
        credential_id = await self.shop.start_payment(trade, tools=tools)
        await self.shop.customer_pays(await self.shop.credential(credential_id))
        return trade

    async def sends(self, to: Wallet, minor_units: int) -> trade_pb2.Trade:
        """A transfer to another balance."""
        trade = await self.shop.order(
            minor_units,
            currency=self.currency,
            expires_in_s=self.expires_in_s,
            type=trade_pb2.TRADE_TYPE_TRANSFER,
            payer_id=self.user,
            payee_id=to.user,
            subject="Pocket money",
        )
        return await self.shop.pays(trade, tools=[by_balance(trade.amount)])

    async def beneficiary(self, account_no: str = "DE0012345678") -> str:
        """Registers a bank account for this user's withdrawals; its id."""
        request = beneficiary_service_pb2.CreateBeneficiaryRequest(
            request_id=request_id(),
            merchant_id=self.shop.merchant_id,
            owner_id=self.user,
            channel="sandbox",
            account_no=account_no,
            account_name="Ada Lovelace",
        )

        async def ask() -> str | None:
            call = self.shop.beneficiaries.CreateBeneficiary(request, timeout=RPC_TIMEOUT_S)
            response = await answered(call)
            return response.beneficiary.beneficiary_id if response is not None else None

        return await eventually("beneficiary", ask, timeout_s=self.shop.patience_s)

    async def withdraws(self, minor_units: int, *, to_account: str) -> trade_pb2.Trade:
        """A withdrawal to a new bank account; the sandbox knows magic last digits."""
        trade = await self.shop.order(
            minor_units,
            currency=self.currency,
            expires_in_s=self.expires_in_s,
            type=trade_pb2.TRADE_TYPE_WITHDRAWAL,
            payer_id=self.user,
            beneficiary_id=await self.beneficiary(to_account),
            subject="Withdrawal",
        )
        return await self.shop.pays(trade, tools=[by_balance(trade.amount)])
