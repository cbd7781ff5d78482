"""The only place that constructs things of the payment core."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from payments.pay.v1 import (
    beneficiary_service_pb2,
    beneficiary_service_pb2_grpc,
    payment_service_pb2,
    payment_service_pb2_grpc,
)

from pay_svc import consumers, wire
from pay_svc.beneficiaries import domain as beneficiaries
from pay_svc.beneficiaries.rpc import BeneficiaryServicer
from pay_svc.clients.gateway import Gateway
from pay_svc.clients.ledger import Ledger
from pay_svc.instructions.collect import SendClose, SendPrepay
from pay_svc.instructions.hold import RequestHold
from pay_svc.instructions.payout import SendPayout
from pay_svc.instructions.refund import SendRefund
from pay_svc.instructions.release import RequestRelease
from pay_svc.payments import domain, effects, model
from pay_svc.queries import Beneficiaries, chain_of_merchant
from pay_svc.rpc import PaymentServicer
from pay_svc.settings import PaySettings
from pay_svc.store import BENEFICIARIES, PAYMENTS, SEALED
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
from paymesh.store.port import Store
from paymesh.store.postgres import PostgresStore


def build(settings: PaySettings, *, bus: Bus, clock: Clock) -> App:
    engine = create_engine(settings.pay_database_url, pool=settings.database_pool)
    store = PostgresStore(engine)
    publisher = Publisher(store, bus)
    gateway_channel = open_channel(settings.gateway_target)
    ledger_channel = open_channel(settings.clearing_target)
    box = SecretBox(settings.secret_key_file)
    probe = KeyProbe(store, box, service="pay", sealed=SEALED, clock=clock)
    known = _beneficiaries(settings, store, publisher, clock)
    gateway = Gateway(gateway_channel, clock=clock, beneficiary=known.load, box=box)
    ledger = Ledger(ledger_channel, clock=clock)
    payments = _payments(settings, store, publisher, clock, gateway=gateway, ledger=ledger)
    payment_service = payment_service_pb2.DESCRIPTOR.services_by_name["PaymentService"]
    beneficiary_service = beneficiary_service_pb2.DESCRIPTOR.services_by_name["BeneficiaryService"]
    return App(
        name="pay",
        settings=settings,
        store=store,
        bus=bus,
        clock=clock,
        publisher=publisher,
        services=[
            Service(
                payment_service,
                payment_service_pb2_grpc.add_PaymentServiceServicer_to_server,
                PaymentServicer(payments, known),
            ),
            Service(
                beneficiary_service,
                beneficiary_service_pb2_grpc.add_BeneficiaryServiceServicer_to_server,
                BeneficiaryServicer(
                    known,
                    Beneficiaries(engine),
                    box,
                    chains=partial(chain_of_merchant, engine),
                ),
                edge=True,
            ),
        ],
        cores=[payments, known],
        queues=[
            (
                consumers.CHANNEL_RESULTS,
                consumers.channel_results(payments, clock).handle,
                ConsumerOptions(),
            )
        ],
        openers=[probe.open],
        closers=[
            probe.close,
            gateway.stop,
            ledger.stop,
            gateway_channel.close,
            ledger_channel.close,
            engine.dispose,
        ],
    )


def _payments(
    settings: PaySettings,
    store: Store,
    publisher: Publisher,
    clock: Clock,
    *,
    gateway: Gateway,
    ledger: Ledger,
) -> Core[model.PaymentView]:
    timing = model.PaymentTiming(effect_lease=timedelta(seconds=5 * settings.time_scale))
    return Core(
        store=store,
        aggregate=PAYMENTS,
        rules={
            model.CreatePayment: partial(domain.create_payment, timing=timing),
            model.CancelPayment: partial(domain.cancel_payment, timing=timing),
            model.ChannelMoved: partial(domain.channel_moved, timing=timing),
            model.HoldMoved: partial(domain.hold_moved, timing=timing),
        },
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
        owed=effects.owed,
        does={
            SendPrepay: gateway.prepay,
            SendClose: gateway.close,
            SendRefund: gateway.refund,
            SendPayout: gateway.payout,
            RequestHold: ledger.place,
            RequestRelease: ledger.release,
        },
        sweep=SweepLimits(
            ladder_s=settings.ladder(5, 30, 120, 600, 3600, 21600),
            idle_s=0.5 * settings.time_scale,
        ),
    )


def _beneficiaries(
    settings: PaySettings, store: Store, publisher: Publisher, clock: Clock
) -> Core[beneficiaries.BeneficiaryView]:
    cooling_off = timedelta(seconds=settings.beneficiary_cooling_off_s)
    return Core(
        store=store,
        aggregate=BENEFICIARIES,
        rules={
            beneficiaries.CreateBeneficiary: partial(
                beneficiaries.create_beneficiary, cooling_off=cooling_off
            ),
            beneficiaries.DeleteBeneficiary: beneficiaries.delete_beneficiary,
        },
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
    )
