"""What is named is the merchant's who names it: by the rules alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from paymesh.chains import require_own_chain
from paymesh.context import Context
from paymesh.core import View
from paymesh.errors import InvalidFields, NotFound
from paymesh.money import Money
from tests.trade.deal import AT, CONTEXT, TIMING, Deal, channel, new_payment_id
from trade_svc.trades import domain
from trade_svc.trades.model import CloseReason, CloseTrade, PayTrade, RefundTrade

OTHER = "mer_" + "b" * 28


def pay(deal: Deal, merchant_id: str) -> Any:
    return PayTrade(deal.trade.id, merchant_id, new_payment_id(), (channel(deal.minor),))


def close(deal: Deal, merchant_id: str) -> Any:
    return CloseTrade(deal.trade.id, merchant_id, CloseReason.REQUESTED, CONTEXT)


def refund(deal: Deal, merchant_id: str) -> Any:
    amount = Money("EUR", 1)
    id_ = new_payment_id()
    return RefundTrade(deal.trade.id, merchant_id, "rfd_1", id_, "biz_2", amount, "")


@pytest.mark.parametrize(
    ("rule", "command"),
    [(domain.pay_trade, pay), (domain.close_trade, close), (domain.refund_trade, refund)],
)
def test_another_merchants_trade_is_as_none(
    rule: Callable[..., Any], command: Callable[[Deal, str], Any]
) -> None:
    """Whatever state it is in, and whether or not it could be done."""
    unpaid, paid = Deal(), Deal().paid()
    decide = partial(rule, timing=TIMING)
    for deal in (unpaid, paid):
        with pytest.raises(NotFound) as refused:
            decide(deal.state, command(deal, OTHER), AT, View())
        assert refused.value.metadata == {"field": "trade_id"}
    own = paid if rule is domain.refund_trade else unpaid
    decide(own.state, command(own, CONTEXT.merchant_id), AT, View())


async def test_a_chain_is_gone_on_with_by_its_own_merchant_only() -> None:
    async def look(business_id: str, merchant_id: str) -> bool:
        return (business_id, merchant_id) == ("biz_1", "mer_1")

    await require_own_chain(look, Context("biz_1"), "mer_1")
    await require_own_chain(look, Context(""), "mer_2")
    with pytest.raises(NotFound) as refused:
        await require_own_chain(look, Context("biz_1"), "mer_2")
    assert refused.value.metadata == {"field": "business_id"}


def test_a_payer_of_the_shared_scope_is_not_called_as_anothers_wallet() -> None:
    """Elsewhere the name is behind the scope's."""
    name = f"{OTHER}/tom"
    with pytest.raises(InvalidFields) as refused:
        Deal(changes={"payer_id": name})
    assert [violation.field for violation in refused.value.fields] == ["payer_id"]
    deal = Deal(changes={"payer_id": name, "wallet_scope": CONTEXT.merchant_id})
    assert deal.trade.wallet(name) == f"{CONTEXT.merchant_id}/{name}"
