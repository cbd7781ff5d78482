"""The only place that constructs things of the channel gateway."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from payments.gateway.v1 import channel_service_pb2, channel_service_pb2_grpc

from gateway_svc import wire
from gateway_svc.callbacks.handling import Callbacks
from gateway_svc.callbacks.ingress import Ingress
from gateway_svc.channels.loopback.adapter import LoopbackChannel
from gateway_svc.channels.port import Channel
from gateway_svc.channels.sandbox.adapter import SandboxChannel
from gateway_svc.orders import domain, model
from gateway_svc.orders.breaker import ChannelGuard, GuardLimits
from gateway_svc.orders.channel_calls import ChannelCalls
from gateway_svc.orders.payees import Payees
from gateway_svc.orders.watch import Watcher
from gateway_svc.rpc import ChannelServicer
from gateway_svc.settings import GatewaySettings
from gateway_svc.store import CALLBACK, ORDERS, SEALED
from paymesh.app import App, Core
from paymesh.bus.port import Bus
from paymesh.clock import Clock
from paymesh.db.engine import create_engine
from paymesh.effects import SweepLimits
from paymesh.keyprobe import KeyProbe
from paymesh.loads import Loads
from paymesh.outbox import Publisher
from paymesh.secretbox import SecretBox
from paymesh.server import Service
from paymesh.signing import Signer, Verifier, serial_of
from paymesh.store.postgres import PostgresStore


def channels(settings: GatewaySettings, *, clock: Clock) -> dict[str, Channel]:
    """The channels on offer, by name."""
    result: dict[str, Channel] = {}
    public, private = settings.sandbox_public_key_file, settings.sandbox_merchant_key_file
    if settings.sandbox_url and public is not None and private is not None:
        key = public.read_bytes()
        result["sandbox"] = SandboxChannel(
            settings.sandbox_url,
            signer=Signer(private.read_bytes()),
            verifier=Verifier({serial_of(key): key}),
            budget_s=settings.channel_budget_s,
            connections_max=settings.channel_in_flight_max,
        )
    if settings.loopback_channel:
        result["loopback"] = LoopbackChannel(clock=clock)
    return result


def build(settings: GatewaySettings, *, bus: Bus, clock: Clock) -> App:
    engine = create_engine(settings.gateway_database_url, pool=settings.database_pool)
    store = PostgresStore(engine)
    publisher = Publisher(store, bus)
    offered = channels(settings, clock=clock)
    box = SecretBox(settings.secret_key_file)
    probe = KeyProbe(store, box, service="gateway", sealed=SEALED, clock=clock)
    payees = Payees(box)
    limits = GuardLimits(in_flight_max=settings.channel_in_flight_max)
    asked: Loads[model.OrderView] = Loads(store, ORDERS, clock=clock)
    calls = ChannelCalls(
        load=asked.load,
        channels=offered,
        guards={name: ChannelGuard(name, clock=clock, limits=limits) for name in offered},
        payees=payees,
        callback_base_url=settings.callback_base_url,
        clock=clock,
    )
    scale = settings.time_scale
    timing = model.OrderTiming(
        effect_lease=timedelta(seconds=5 * scale),
        first_query=timedelta(seconds=5 * scale),
        unseen_margin=timedelta(seconds=300 * scale),
    )
    orders = Core(
        store=store,
        aggregate=ORDERS,
        rules={
            model.PlaceOrder: partial(domain.place_order, timing=timing),
            model.RequestClose: partial(domain.request_close, timing=timing),
            model.Report: partial(domain.report, timing=timing),
        },
        records=[CALLBACK],
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
        owed=domain.owed,
        does={model.CallChannel: calls.call},
        sweep=SweepLimits(ladder_s=settings.ladder(30, 120, 600, 3600, 21600), idle_s=0.5 * scale),
    )
    watcher = Watcher(store, ORDERS)
    callbacks = Callbacks(
        offered,
        orders.submit,
        clock=clock,
        per_second_max=settings.callbacks_per_second_max,
        channel_per_second_max=settings.channel_callbacks_per_second_max,
    )
    loopback = offered.get("loopback")
    if isinstance(loopback, LoopbackChannel):
        loopback.bind(callbacks.keep)
    descriptor = channel_service_pb2.DESCRIPTOR.services_by_name["ChannelService"]
    return App(
        name="gateway",
        settings=settings,
        store=store,
        bus=bus,
        clock=clock,
        publisher=publisher,
        services=[
            Service(
                descriptor,
                channel_service_pb2_grpc.add_ChannelServiceServicer_to_server,
                ChannelServicer(orders, offered, watcher, payees),
            )
        ],
        cores=[orders],
        ingress=lambda: Ingress(callbacks.app, listen=settings.ingress_listen),
        openers=[probe.open, *(channel.start for channel in offered.values())],
        closers=[
            probe.close,
            asked.close,
            watcher.close,
            *(channel.stop for channel in offered.values()),
            engine.dispose,
        ],
    )
