"""Notifications, as the merchant's terms are when they are sent."""

from __future__ import annotations

import secrets
from pathlib import Path

from payments.trade.v1 import trade_pb2

from paymesh.metrics import SECRETS_UNOPENED
from paymesh.secretbox import make_key, read_keys
from tests.trade.actors import Merchant, PaymentCore, fails, succeeds
from tests.trade.trade_world import (
    BENEFICIARY,
    Database,
    Shop,
    Trades,
    by_balance,
    money,
    rotate,
    until,
    update,
)


async def test_a_merchant_hears_of_its_refunds(
    trades: Trades, payments: PaymentCore, merchant: Merchant
) -> None:
    """Paid, one refund failed, one done: in the order of the trade's versions."""
    app = await trades.start("serve", "work")
    shop = await Shop.opened(trades.caller(app), notify_url=merchant.url)
    merchant.secrets.append(shop.notify_secret)
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    payments.decides = fails
    await shop.gives_back(trade, 60_00)
    await shop.refunded(trade, "FAILED")
    payments.decides = succeeds
    refund = await shop.gives_back(trade, 40_00)
    await shop.refunded(trade, "FAILED", "SUCCEEDED")
    heard = await merchant.hears("trade.paid", "trade.refund_failed", "trade.refunded")
    assert [n["version"] for n in heard] == [3, 5, 7]
    done = heard[2]["trade"]
    ended = done["refund"].pop("end_time")
    assert ended.startswith("20")
    assert done == {
        "trade_id": trade.trade_id,
        "merchant_order_no": trade.merchant_order_no,
        "state": "PAID",
        "refunded_amount": {"currency_code": "EUR", "minor_units": 40_00},
        "refund": {
            "refund_id": refund.refund_id,
            "state": "SUCCEEDED",
            "amount": {"currency_code": "EUR", "minor_units": 40_00},
            "reason": "too small",
            "failure_reason": "",
        },
    }
    not_done = heard[1]["trade"]
    assert (not_done["refund"]["state"], not_done["refunded_amount"]["minor_units"]) == (
        "FAILED",
        0,
    )
    assert not_done["refund"]["failure_reason"] == "INSUFFICIENT_FUNDS"


async def test_a_merchant_hears_of_a_withdrawal_that_came_back(
    trades: Trades, payments: PaymentCore, merchant: Merchant
) -> None:
    app = await trades.start("serve", "work")
    shop = await Shop.opened(trades.caller(app), notify_url=merchant.url)
    merchant.secrets.append(shop.notify_secret)
    payments.decides = succeeds
    trade = await shop.orders(
        type=trade_pb2.TRADE_TYPE_WITHDRAWAL, payer_id="ann", beneficiary_id=BENEFICIARY
    )
    answer = await shop.pays(trade, by_balance(100_00))
    await payments.tells(answer.payment_id, "RETURNED")
    heard = await merchant.hears("trade.paid", "trade.returned")
    assert heard[1]["trade"] == {
        "trade_id": trade.trade_id,
        "merchant_order_no": trade.merchant_order_no,
        "state": "RETURNED",
        "payment_id": answer.payment_id,
        "amount": {"currency_code": "EUR", "minor_units": 100_00},
    }


async def test_a_rotated_secret_signs_from_then_on(
    trades: Trades, payments: PaymentCore, merchant: Merchant
) -> None:
    """And a new URL is used: by every process that does not remember the merchant as it was."""
    shop = await Shop.opened(
        trades.caller(await trades.start("serve")), notify_url="http://127.0.0.1:1/nobody"
    )
    merchant.secrets += [shop.notify_secret, secrets.token_bytes(32)]
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    rotated = await rotate(shop, merchant.secrets[1])
    changed = await update(shop, notify_url=merchant.url)
    assert (rotated.version, changed.version) == (2, 3)
    await trades.start("work")
    await merchant.hears("trade.paid")
    assert merchant.signed_by == [1]


async def test_what_waits_for_an_endpoint_that_is_taken_away_is_cancelled(
    trades: Trades, payments: PaymentCore, database: Database
) -> None:
    """With the reason, never DELIVERED; nothing more is tried."""
    app = await trades.start("serve", "work")
    shop = await Shop.opened(trades.caller(app), notify_url="http://127.0.0.1:1/nobody")
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    await shop.gives_back(trade, 60_00)
    await shop.refunded(trade, "SUCCEEDED")

    async def both_wait() -> bool:
        states = "SELECT state FROM notification WHERE last_error <> '' OR sequence > 3"
        return database.query(states) == [("PENDING",), ("PENDING",)]

    await until(both_wait)
    await update(shop, notify_url="")

    async def nothing_is_due() -> bool:
        return database.query("SELECT next_action_at FROM notification_stream") == [(None,)]

    await until(nothing_is_due)
    reason = "the merchant has no notify_url any more"
    found = database.query("SELECT state, last_error FROM notification ORDER BY sequence")
    assert found == [("CANCELLED", reason), ("CANCELLED", reason)]


async def test_a_notification_whose_key_is_missing_waits_and_is_never_given_up(
    trades: Trades,
    payments: PaymentCore,
    merchant: Merchant,
    database: Database,
    tmp_path: Path,
) -> None:
    """It counts as no try of it; once the secret can be opened it is sent."""
    shop = await Shop.opened(trades.caller(await trades.start("serve")), notify_url=merchant.url)
    merchant.secrets.append(shop.notify_secret)
    [(right,)] = database.query("SELECT sealed_notify_secret FROM merchant")
    [missing] = read_keys(make_key(tmp_path))
    foreign = missing.seal(shop.notify_secret, belongs_to=shop.merchant_id)
    change = "UPDATE merchant SET sealed_notify_secret = %s"
    database.execute(change, foreign)
    counted = SECRETS_UNOPENED._value.get()
    await trades.start("work")
    payments.decides = succeeds
    await shop.pays(await shop.orders())

    async def tried_thrice() -> bool:
        return SECRETS_UNOPENED._value.get() >= counted + 3

    await until(tried_thrice)
    assert database.query("SELECT state, last_error, version FROM notification") == [
        ("PENDING", "", 1)
    ]
    database.execute(change, right)
    await merchant.hears("trade.paid")


async def test_money_is_not_in_the_way_of_a_merchant_without_url(
    shop: Shop, payments: PaymentCore, database: Database
) -> None:
    """The events are heard, once each, and nothing is written down for anybody."""
    payments.decides = succeeds
    trade = await shop.orders()
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    await shop.gives_back(trade, 1)
    assert (await shop.refunded(trade, "SUCCEEDED")).refunded_amount == money(1)

    async def are_heard() -> bool:
        return database.query(
            "SELECT count(*) FROM inbox WHERE consumer = 'trade.notifications'"
        ) == [(2,)]

    await until(are_heard)
    assert database.query("SELECT count(*) FROM notification") == [(0,)]
    assert database.query("SELECT count(*) FROM notification_stream") == [(0,)]
