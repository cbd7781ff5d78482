"""The only place that constructs things of the trade core."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from payments.trade.v1 import (
    merchant_service_pb2,
    merchant_service_pb2_grpc,
    trade_service_pb2,
    trade_service_pb2_grpc,
)

from paymesh.app import App, Core
from paymesh.bus.port import Bus, ConsumerOptions
from paymesh.channel import open_channel
from paymesh.clock import Clock
from paymesh.db.engine import create_engine
from paymesh.effects import SweepLimits
from paymesh.keyprobe import KeyProbe
from paymesh.outbox import Publisher
from paymesh.secretbox import SecretBox
from paymesh.server import Service
from paymesh.store.postgres import PostgresStore
from trade_svc import consumers, wire
from trade_svc.clients import Beneficiaries, Ledger, PaymentCore
from trade_svc.merchants import business_codes
from trade_svc.merchants import domain as merchants
from trade_svc.merchants.readers import BusinessCodes, Merchants, ShutMerchants
from trade_svc.merchants.rpc import MerchantServicer
from trade_svc.notifications import domain as notifications
from trade_svc.notifications.delivery import Delivery
from trade_svc.queries import RegisteredCodes, chain_of_merchant, shut_merchants
from trade_svc.rpc import TradeServicer
from trade_svc.settings import TradeSettings
from trade_svc.store import BUSINESS_CODES, MERCHANTS, SEALED, STREAMS, TRADES
from trade_svc.trades import domain, model


def build(settings: TradeSettings, *, bus: Bus, clock: Clock) -> App:
    engine = create_engine(settings.trade_database_url, pool=settings.database_pool)
    store = PostgresStore(engine)
    publisher = Publisher(store, bus)
    channel = open_channel(settings.pay_target)
    payment_core = PaymentCore(channel, clock=clock)
    ledger_channel = open_channel(settings.clearing_target)
    ledger = Ledger(ledger_channel, clock=clock)
    box = SecretBox(settings.secret_key_file)
    probe = KeyProbe(store, box, service="trade", sealed=SEALED, clock=clock)
    sweep = SweepLimits(
        ladder_s=settings.ladder(5, 30, 120, 600, 3600, 21600), idle_s=0.5 * settings.time_scale
    )
    core: Callable[..., Core[Any]] = partial(
        Core, store=store, encode=wire.encode, publisher=publisher, clock=clock
    )
    trades = core(aggregate=TRADES, sweep=sweep, **_trade_rules(settings, payment_core, ledger))
    merchant_core = core(
        aggregate=MERCHANTS,
        rules={
            merchants.CreateMerchant: merchants.create_merchant,
            merchants.UpdateMerchant: merchants.update_merchant,
            merchants.RotateSecret: merchants.rotate_secret,
            merchants.HearAccount: merchants.hear_account,
        },
    )
    codes = core(
        aggregate=BUSINESS_CODES,
        rules={business_codes.RegisterBusinessCode: business_codes.register_business_code},
    )
    known = Merchants(merchant_core)
    delivery = Delivery(known, box, clock=clock, allow_private=settings.notify_allow_private)
    streams = core(
        aggregate=STREAMS,
        rules={
            notifications.AddNotification: notifications.add_notification,
            notifications.PassOver: notifications.pass_over,
            notifications.NotificationSent: notifications.notification_sent,
            notifications.CancelNotifications: notifications.cancel_notifications,
            notifications.DecideDead: notifications.decide_dead,
        },
        owed=notifications.owed,
        does={notifications.SendNotification: delivery.send},
        sweep=sweep,
    )
    shut = ShutMerchants(partial(shut_merchants, engine))
    chains = partial(chain_of_merchant, engine)
    trade_servicer = TradeServicer(
        trades,
        known,
        BusinessCodes(codes),
        shut,
        chains=chains,
        withdrawable=Beneficiaries(channel).refusal,
    )
    merchant_servicer = MerchantServicer(
        merchant_core,
        codes,
        known=known,
        registered=RegisteredCodes(engine),
        chains=chains,
        box=box,
    )
    return App(
        name="trade",
        settings=settings,
        store=store,
        bus=bus,
        clock=clock,
        publisher=publisher,
        services=_services(trade_servicer, merchant_servicer),
        cores=[trades, merchant_core, codes, streams],
        queues=[
            (consumers.PAYMENTS, consumers.payments(trades, clock).handle, ConsumerOptions()),
            (
                consumers.ACCOUNTS,
                consumers.accounts(merchant_core, clock).handle,
                ConsumerOptions(prefetch=100, batch_deliveries_max=50),
            ),
            (
                consumers.NOTIFICATIONS,
                consumers.Notifier(streams, known, clock).handle,
                ConsumerOptions(prefetch=100, batch_deliveries_max=50),
            ),
        ],
        openers=[probe.open, delivery.open],
        closers=[
            probe.close,
            payment_core.close,
            ledger.close,
            channel.close,
            ledger_channel.close,
            delivery.close,
            engine.dispose,
        ],
    )


def _trade_rules(
    settings: TradeSettings, payment_core: PaymentCore, ledger: Ledger
) -> dict[str, Any]:
    """What may happen to trades, what they owe, and who does it."""
    timing = model.TradeTiming(
        effect_lease=timedelta(seconds=5 * settings.time_scale),
        cancel_gives_up=timedelta(minutes=10 * settings.time_scale),
    )
    return {
        "rules": {
            model.CreateTrade: domain.create_trade,
            model.PayTrade: partial(domain.pay_trade, timing=timing),
            model.CloseTrade: partial(domain.close_trade, timing=timing),
            model.RefundTrade: partial(domain.refund_trade, timing=timing),
            model.PaymentMoved: partial(
                domain.payment_moved, timing=timing, booked_before_paid=settings.booked_before_paid
            ),
            model.TradeBooked: partial(domain.trade_booked, timing=timing),
        },
        "owed": partial(domain.owed, timing=timing),
        "does": {
            model.StartPayment: payment_core.start_payment,
            model.CancelPayment: payment_core.cancel_payment,
            model.BookTrade: ledger.book,
        },
    }


def _services(trades: TradeServicer, merchants: MerchantServicer) -> list[Service]:
    return [
        Service(
            trade_service_pb2.DESCRIPTOR.services_by_name["TradeService"],
            trade_service_pb2_grpc.add_TradeServiceServicer_to_server,
            trades,
            edge=True,
        ),
        Service(
            merchant_service_pb2.DESCRIPTOR.services_by_name["MerchantService"],
            merchant_service_pb2_grpc.add_MerchantServiceServicer_to_server,
            merchants,
            edge=True,
        ),
    ]
