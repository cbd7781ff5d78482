"""The only place that constructs things of the payment core."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from payments.pay.v1 import payment_service_pb2, payment_service_pb2_grpc

from pay_svc import consumers, domain, model, wire
from pay_svc.clients import Gateway
from pay_svc.rpc import PaymentServicer
from pay_svc.settings import PaySettings
from pay_svc.store import PAYMENTS
from paymesh.app import App, Core
from paymesh.bus.port import Bus, ConsumerOptions
from paymesh.channel import open_channel
from paymesh.clock import Clock
from paymesh.db.engine import create_engine
from paymesh.effects import SweepLimits
from paymesh.outbox import Publisher
from paymesh.server import Service
from paymesh.store.postgres import PostgresStore


def build(settings: PaySettings, *, bus: Bus, clock: Clock) -> App:
    engine = create_engine(settings.pay_database_url, pool=settings.database_pool)
    store = PostgresStore(engine)
    publisher = Publisher(store, bus)
    channel = open_channel(settings.gateway_target)
    gateway = Gateway(channel, clock=clock)
    timing = model.Timing(effect_lease=timedelta(seconds=5 * settings.time_scale))
    payments = Core(
        store=store,
        aggregate=PAYMENTS,
        rules={
            model.CreatePayment: partial(domain.create_payment, timing=timing),
            model.CancelPayment: partial(domain.cancel_payment, timing=timing),
            model.ChannelMoved: partial(domain.channel_moved, timing=timing),
        },
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
        owed=domain.owed,
        does={
            model.AskPrepay: gateway.prepay,
            model.AskClose: gateway.close,
            model.AskRefund: gateway.refund,
        },
        sweep=SweepLimits(
            ladder_s=settings.ladder(5, 30, 120, 600, 3600, 21600),
            idle_s=0.5 * settings.time_scale,
        ),
    )
    descriptor = payment_service_pb2.DESCRIPTOR.services_by_name["PaymentService"]
    return App(
        name="pay",
        settings=settings,
        store=store,
        bus=bus,
        clock=clock,
        publisher=publisher,
        services=[
            Service(
                descriptor,
                payment_service_pb2_grpc.add_PaymentServiceServicer_to_server,
                PaymentServicer(payments),
            )
        ],
        cores=[payments],
        queues=[
            (
                consumers.CHANNEL_RESULTS,
                consumers.channel_results(payments, clock).handle,
                ConsumerOptions(),
            )
        ],
        closers=[gateway.stop, channel.close, engine.dispose],
    )
