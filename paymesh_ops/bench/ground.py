"""What trials stand on: servers of their own, a mesh of the processes that they need."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paymesh_ops.bench import ratios
from paymesh_ops.bench.baselines import Echo, TpcB
from paymesh_ops.bench.books import Books
from paymesh_ops.bench.chain import Purchases
from paymesh_ops.bench.cpu import Groups
from paymesh_ops.bench.gateway import INVARIANTS_ALONE, Prepays
from paymesh_ops.bench.ledger import Transfers
from paymesh_ops.bench.markets import Ours, Reference
from paymesh_ops.bench.measure import Progress, Trial
from paymesh_ops.bench.naive import Naive
from paymesh_ops.bench.plan import NEEDS, BenchPlan
from paymesh_ops.launch.mesh import OURS, Mesh, MeshPlan, prepare
from paymesh_ops.launch.postgres import PostgresServer, start_postgres, stop_postgres
from paymesh_ops.launch.rabbitmq import RabbitServer, start_rabbitmq, stop_rabbitmq

BROKER_TIMEOUT_S = 120.0
EXTRA = {name: {"PAYMESH_LOOPBACK_CHANNEL": "true"} for name in OURS if name.startswith("gateway")}
"""What single processes are told."""
WARM_UP = 200
"""So many payments or orders run before anything is measured."""
_EVENT_TYPES = {
    ratios.UNIFORM: "bench.uniform",
    ratios.HOT: "bench.hot",
    ratios.PACED: "bench.paced",
    ratios.ENDURANCE: "bench.endurance",
}
"""By the trial whose journals they are."""


@dataclass(frozen=True)
class Servers:
    """Ours, in `home`, and nobody else's."""

    home: Path
    postgres: PostgresServer
    rabbit: RabbitServer


@contextmanager
def servers(home: Path) -> Iterator[Servers]:
    """`home` is emptied first. Raises PostgresUnavailable, RabbitUnavailable."""
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True)
    home.chmod(0o755)  # as root, PostgreSQL runs as another user, who must get in
    with ExitStack() as stack:
        postgres = start_postgres(home / "postgres")
        stack.callback(stop_postgres, postgres)
        stack.callback(stop_rabbitmq, home / "rabbitmq", kill=True)
        rabbit = start_rabbitmq(home / "rabbitmq", timeout_s=BROKER_TIMEOUT_S)
        yield Servers(home, postgres, rabbit)


@contextmanager
def ground(
    on: Servers, names: Sequence[str], plan: BenchPlan, *, prefix: str, progress: Progress
) -> Iterator[Ground]:
    """A mesh for the trials of these names, its databases called `prefix` and the service."""
    with ExitStack() as stack:
        progress("databases, topology")
        mesh_plan = prepare(
            on.home, admin_url=on.postgres.url, amqp_url=on.rabbit.amqp_url, prefix=prefix
        )
        needed = {process for name in names for process in NEEDS[name]}
        mesh = Mesh(mesh_plan, extra=EXTRA)
        stack.callback(mesh.stop)
        progress(f"{len(needed)} processes")
        mesh.start([process for process in OURS if process in needed])
        yield Ground(on, mesh_plan, mesh, plan, progress, stack)


@dataclass
class Ground:
    """Makes trials; whatever one of them starts is stopped with `stack`."""

    servers: Servers
    mesh_plan: MeshPlan
    mesh: Mesh
    plan: BenchPlan
    progress: Progress
    stack: ExitStack

    def __post_init__(self) -> None:
        self.books = Books(self.mesh_plan.reader_urls, progress=self._checks)
        self._accounts_open = False

    def _checks(self, text: str) -> None:
        self.progress(f"books: {text}")

    async def trial(self, name: str) -> Trial:
        """The trial of this name, ready for its first turn."""
        make = {
            ratios.TPCB: self._tpcb,
            ratios.ECHO: self._echo,
            ratios.UNIFORM: self._transfers,
            ratios.HOT: self._transfers,
            ratios.PACED: self._transfers,
            ratios.ENDURANCE: self._transfers,
            ratios.UNARY: self._purchases,
            ratios.BATCHES: self._purchases,
            ratios.NAIVE: self._naive,
            ratios.GATEWAY: self._prepays,
        }
        return await make[name](name)

    def groups(self, name: str) -> Groups:
        """CPU time of a trial: our processes that it is about, the servers, and the load."""
        return {**{process: self._pid_of(process) for process in NEEDS[name]}, **self._others()}

    def _pid_of(self, process: str) -> Callable[[], list[int]]:
        return lambda: [self.mesh.children[process].popen.pid]

    def _others(self) -> Groups:
        return {
            "PostgreSQL": lambda: [self.servers.postgres.pid],
            "RabbitMQ": lambda: [self.servers.rabbit.pid],
            "load": lambda: [os.getpid()],
        }

    async def _tpcb(self, name: str) -> Trial:
        postgres = self.servers.postgres
        tpcb = TpcB(
            postgres.bin_dir,
            postgres.url,
            {"PostgreSQL": lambda: [postgres.pid]},
            self.plan.seconds,
        )
        await asyncio.to_thread(tpcb.create_tables)
        return tpcb

    async def _echo(self, name: str) -> Trial:
        echo = Echo(seconds=self.plan.seconds)
        self.stack.callback(echo.stop)
        await asyncio.to_thread(echo.start)
        return echo

    async def _transfers(self, name: str) -> Trial:
        transfers = Transfers(
            name=name,
            target=self.mesh_plan.target("clearing"),
            groups=self.groups(name),
            books=self.books,
            journals=self.plan.things(name),
            event_type=_EVENT_TYPES[name],
            hot=name == ratios.HOT,
            steady=name == ratios.PACED,
        )
        if not self._accounts_open:
            await transfers.open_accounts()
            self._accounts_open = True
        return transfers

    async def _purchases(self, name: str) -> Trial:
        market = Ours(
            target=self.mesh_plan.target("trade"),
            reader_urls=self.mesh_plan.reader_urls,
            books=self.books,
        )
        await market.open()
        purchases = Purchases(
            name=name,
            groups=self.groups(name),
            market=market,
            payments=self.plan.things(name),
            batches=name == ratios.BATCHES,
        )
        await purchases.warm_up(WARM_UP)
        return purchases

    async def _naive(self, name: str) -> Trial:
        naive = Naive(
            self.servers.home,
            admin_url=self.servers.postgres.url,
            amqp_url=self.servers.rabbit.amqp_url,
        )
        self.stack.callback(naive.stop)
        await asyncio.to_thread(naive.start)
        pids: Groups = {f"naive {name}": partial(_only, pid) for name, pid in naive.pids.items()}
        payments = self.plan.things(name)
        purchases = Purchases(
            name=name,
            groups={**pids, **self._others()},
            market=Reference(naive),
            payments=payments,
        )
        await purchases.warm_up(min(WARM_UP, payments))
        return purchases

    async def _prepays(self, name: str) -> Trial:
        urls = self.mesh_plan.reader_urls
        prepays = Prepays(
            name=name,
            target=self.mesh_plan.target("gateway"),
            groups=self.groups(name),
            books=Books(urls, invariants=INVARIANTS_ALONE, progress=self._checks),
            reader_url=urls["gateway"],
            orders=self.plan.things(name),
        )
        await prepays.warm_up(WARM_UP)
        return prepays


def _only(pid: int) -> list[int]:
    return [pid]
