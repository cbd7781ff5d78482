"""The only place that constructs things of clearing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

from payments.clearing.v1 import (
    books_service_pb2,
    books_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)

from clearing_svc import consumers, wire
from clearing_svc.books.chain import require_not_restored, seal_forever
from clearing_svc.books.days import Days, close_forever
from clearing_svc.books.feed import Feed
from clearing_svc.books.rpc import BooksServicer
from clearing_svc.books.snapshots import Snapshots, snapshots_forever
from clearing_svc.clients import Owners
from clearing_svc.draining import Draining, DrainLimits
from clearing_svc.ledger import holds, legs, loading, returns, splitting
from clearing_svc.ledger.administering import (
    CreateAccount,
    EndDraining,
    SetAccountMode,
    SetAccountStatus,
    create_account,
    end_draining,
    set_account_mode,
    set_account_status,
)
from clearing_svc.ledger.chart import Chart
from clearing_svc.ledger.diverting import ReturnsView
from clearing_svc.ledger.domain import PostJournals, post_journals
from clearing_svc.ledger.holds import (
    ExpireHold,
    HoldView,
    PlaceHold,
    QueryHoldOwner,
    ReleaseHold,
    place_hold,
    release_hold,
)
from clearing_svc.ledger.returns import MoveReturns, move_returns
from clearing_svc.ledger.reversing import ReverseJournal, reverse_journal
from clearing_svc.posting.batches import Posting
from clearing_svc.queries import Books
from clearing_svc.rpc import LedgerServicer
from clearing_svc.settings import ClearingSettings
from clearing_svc.splitting import Legs, Splits
from clearing_svc.store import (
    ACT,
    ENTRY,
    HOLDS,
    JOURNAL,
    LEDGER,
    LEGS,
    REFUSALS,
    RETURNS_PAYABLE,
    SPLITS,
)
from paymesh.app import App, Core
from paymesh.batcher import BatchLimits
from paymesh.bus.port import Bus, ConsumerOptions
from paymesh.channel import open_channel
from paymesh.clock import Clock
from paymesh.db.engine import create_engine
from paymesh.effects import SweepLimits
from paymesh.outbox import Publisher
from paymesh.server import Service
from paymesh.shell import Rule, Shell
from paymesh.store.port import Store
from paymesh.store.postgres import PostgresStore


def rules(chart: Chart) -> dict[type, Rule]:
    """What the ledger decides, by command."""
    return {
        PostJournals: partial(post_journals, chart=chart),
        PlaceHold: partial(place_hold, chart=chart),
        ReleaseHold: release_hold,
        ExpireHold: release_hold,
        CreateAccount: partial(create_account, chart=chart),
        SetAccountStatus: set_account_status,
        SetAccountMode: set_account_mode,
        EndDraining: end_draining,
        ReverseJournal: partial(reverse_journal, chart=chart),
        MoveReturns: partial(move_returns, chart=chart),
        splitting.BookLeg: partial(legs.book_leg, chart=chart),
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
        records=[JOURNAL, ENTRY, ACT],
        refusals=REFUSALS,
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
        batch=BatchLimits(items_max=settings.ledger_batch_items_max),
    )
    splits = _splits(settings, store, publisher, clock, config.chart)
    pay_channel = open_channel(settings.pay_target)
    owners = Owners(pay_channel, clock=clock)
    found = Books(engine)
    posting = Posting(
        store, found, config.chart, clock=clock, journals_max=settings.ledger_batch_items_max
    )
    days, feed = Days(store), Feed(store, clock)
    bookings = consumers.bookings(config.templates)
    ledger = LedgerServicer(
        books, found, posting, config.chart, Splits(splits, clock=clock), store, bookings
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
                ledger,
            ),
            Service(
                books_service_pb2.DESCRIPTOR.services_by_name["BooksService"],
                books_service_pb2_grpc.add_BooksServiceServicer_to_server,
                BooksServicer(days, store, config.chart, config.finance, feed),
            ),
        ],
        cores=[
            books,
            splits,
            _expiry(settings, store, publisher, clock, books, owners),
            _returns(settings, store, publisher, clock, books),
        ],
        queues=[
            (
                consumers.LEDGER,
                consumers.ledger(books, bookings, config.chart, clock).handle,
                ConsumerOptions(),
            )
        ],
        chores=[
            Draining(
                store, books.submit, clock=clock, limits=DrainLimits(idle_s=settings.time_scale)
            ).forever,
            *_book_chores(settings, store, days, clock),
        ],
        openers=[partial(require_not_restored, store)],
        enders=[feed.close],
        closers=[posting.close, owners.close, pay_channel.close, engine.dispose],
    )


def _book_chores(
    settings: ClearingSettings, store: PostgresStore, days: Days, clock: Clock
) -> list[Callable[[], Awaitable[None]]]:
    chores: list[Callable[[], Awaitable[None]]] = [
        partial(seal_forever, store, clock=clock),
        partial(snapshots_forever, Snapshots(store), clock=clock, idle_s=5 * settings.time_scale),
    ]
    after_s = settings.ledger_close_day_after_s
    if after_s is not None:
        idle_s = 30 * settings.time_scale
        chores.append(partial(close_forever, days, clock=clock, after_s=after_s, idle_s=idle_s))
    return chores


def _splits(
    settings: ClearingSettings, store: Store, publisher: Publisher, clock: Clock, chart: Chart
) -> Core[splitting.SplitView]:
    booking = Shell(
        store=store,
        aggregate=LEGS,
        rules=rules(chart),
        records=[JOURNAL, ENTRY],
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
    )
    # Legs may wait for locks; whoever does not has connections left.
    side_by_side = max(1, settings.database_pool // 2)
    timing = splitting.SplitTiming(lease=timedelta(seconds=2 * settings.time_scale))
    return Core(
        store=store,
        aggregate=SPLITS,
        rules={
            splitting.PostSplit: partial(splitting.post_split, chart=chart, timing=timing),
            splitting.LegBooked: partial(splitting.leg_booked, timing=timing),
            splitting.LegRefused: partial(splitting.leg_refused, timing=timing),
        },
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
        owed=partial(legs.owed, chart=chart),
        does={splitting.SubmitLeg: Legs(booking, clock=clock, side_by_side=side_by_side).book},
        sweep=SweepLimits(
            ladder_s=settings.ladder(2, 5, 15, 60, 300), idle_s=0.5 * settings.time_scale
        ),
    )


def _expiry(
    settings: ClearingSettings,
    store: Store,
    publisher: Publisher,
    clock: Clock,
    books: Core[Any],
    owners: Owners,
) -> Core[HoldView]:
    """Only sweeps: what comes of it is a command of the ledger."""
    unknown_ends_after = timedelta(seconds=settings.hold_unknown_ends_after_s)
    expiry = Core(
        store=store,
        aggregate=HOLDS,
        rules={},
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
        owed=partial(holds.owed, unknown_ends_after=unknown_ends_after),
        does={QueryHoldOwner: owners.query},
        sweep=SweepLimits(
            ladder_s=settings.ladder(60, 300, 3600, 21600, 86400), idle_s=5 * settings.time_scale
        ),
    )
    expiry.executor.bind(books.submit)
    return expiry


def _returns(
    settings: ClearingSettings,
    store: Store,
    publisher: Publisher,
    clock: Clock,
    books: Core[Any],
) -> Core[ReturnsView]:
    """Only sweeps, as _expiry does."""
    moving: Core[ReturnsView] = Core(
        store=store,
        aggregate=RETURNS_PAYABLE,
        rules={},
        encode=wire.encode,
        publisher=publisher,
        clock=clock,
        owed=returns.owed,
        sweep=SweepLimits(
            ladder_s=settings.ladder(60, 300, 3600, 21600, 86400), idle_s=2 * settings.time_scale
        ),
    )
    moving.executor.bind(books.submit)
    return moving
