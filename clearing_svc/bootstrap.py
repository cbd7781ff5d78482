"""The only place that constructs things of clearing."""

from __future__ import annotations

from functools import partial

from payments.clearing.v1 import ledger_service_pb2, ledger_service_pb2_grpc

from clearing_svc import consumers, wire
from clearing_svc.ledger import loading
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.domain import PostJournals, post_journals
from clearing_svc.ledger.holds import PlaceHold, ReleaseHold, place_hold, release_hold
from clearing_svc.queries import Journals
from clearing_svc.rpc import LedgerServicer
from clearing_svc.settings import ClearingSettings
from clearing_svc.store import ENTRY, JOURNAL, LEDGER
from paymesh.app import App, Core
from paymesh.batcher import BatchLimits
from paymesh.bus.port import Bus, ConsumerOptions
from paymesh.clock import Clock
from paymesh.db.engine import create_engine
from paymesh.outbox import Publisher
from paymesh.server import Service
from paymesh.shell import Rule
from paymesh.store.postgres import PostgresStore


def rules(chart: Chart) -> dict[type, Rule]:
    """What the ledger decides, by command."""
    return {
        PostJournals: partial(post_journals, chart=chart),
        PlaceHold: partial(place_hold, chart=chart),
        ReleaseHold: release_hold,
    }


def build(settings: ClearingSettings, *, bus: Bus, clock: Clock) -> App:
    """Raises ConfigInvalid for a chart, fees or templates that must not be used."""
    config = loading.load(settings.ledger_config or loading.HERE)
    engine = create_engine(settings.clearing_database_url, pool=settings.database_pool)
    store = PostgresStore(engine)
    publisher = Publisher(store, bus)
    books = Core(
        store=store,
        aggregate=LEDGER,
        rules=rules(config.chart),
        facts=[JOURNAL, ENTRY],
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
        batch=BatchLimits(items_max=settings.ledger_batch_items_max),
    )
    descriptor = ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"]
    return App(
        name="clearing",
        settings=settings,
        store=store,
        bus=bus,
        clock=clock,
        publisher=publisher,
        services=[
            Service(
                descriptor,
                ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server,
                LedgerServicer(books, Journals(engine), config.chart),
            )
        ],
        cores=[books],
        queues=[
            (
                consumers.LEDGER,
                consumers.ledger(books, config.templates, clock).handle,
                ConsumerOptions(),
            )
        ],
        closers=[engine.dispose],
    )
