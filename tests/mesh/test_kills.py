"""A process that dies at any point of the shell loses nothing and does nothing twice, ever."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from paymesh.failpoint import POINTS
from paymesh_ops.check import check
from paymesh_ops.launch.mesh import OURS, Mesh, MeshPlan, tended
from tests.mesh.conftest import shop_of
from tests.mesh.flows import FLOWS, Flow, combined_purchase, returned_refund, withdrawal

pytestmark = pytest.mark.slow

PATIENCE_S = 180.0
MORTAL = (*FLOWS, returned_refund)
"""The last one sets the channel's faults, so it runs alone."""
WRITERS = {
    *("clearing-serve", "clearing-work", "gateway-ingress", "gateway-serve"),
    *("pay-serve", "pay-work", "trade-serve", "trade-work"),
}
WHERE = {
    "shell.before_commit": WRITERS,
    "shell.after_commit": WRITERS,
    "bus.before_publish": {"gateway-ingress", "pay-serve", "pay-work", "trade-work"},
    "bus.after_publish": {"gateway-ingress", "pay-serve", "pay-work", "trade-work"},
    "consumer.before_ack": {"clearing-work", "pay-work", "trade-work"},
    "effect.before_call": {"gateway-serve", "pay-serve", "trade-serve", "trade-work"},
    "effect.after_call": {"gateway-serve", "pay-serve", "trade-serve", "trade-work"},
}
"""Processes that pass a point in the flows: each must have died there."""
COVERING = {
    "shell.before_commit": {"clearing-serve", "trade-work"},
    "shell.after_commit": {"gateway-serve", "pay-work"},
    "bus.before_publish": {"gateway-ingress", "trade-work"},
    "bus.after_publish": {"pay-work", "trade-work"},
    "consumer.before_ack": {"clearing-work", "trade-work"},
    "effect.before_call": {"pay-serve", "trade-serve"},
    "effect.after_call": {"gateway-serve", "trade-serve"},
}
"""Each point and each process, where it is sure to pass in any run of two flows."""


@dataclass
class Deaths:
    """Arms the running processes, and knows who died where."""

    orders: Path
    log: Path
    where: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def arm(self, point: str, names: Iterable[str]) -> None:
        """At its next passage of the point, each of them dies."""
        self.log.write_text("")
        self.disarm()
        for name in names:
            (self.orders / name).write_text(f"{point}:1:kill")

    def due(self, flow: Flow, point: str) -> set[str]:
        """Two that have not died at the point yet, one in turn, and trade-work, which every flow
        passes."""
        still = sorted(WHERE[point] - self.where[point])
        names = sorted(WHERE[point])
        return {*still[:2], names[MORTAL.index(flow) % len(names)], "trade-work"}

    def disarm(self) -> None:
        for order in self.orders.iterdir():
            order.unlink()

    async def come(self, point: str, *, expected: int = 1) -> set[str]:
        """Who died there: at once, or a moment after what the flow waits for."""
        for _ in range(600):
            fired = [line.split() for line in self.log.read_text().splitlines()]
            died = {name for where, _, name in fired if where == point}
            self.where[point] |= died
            if len(died) >= expected:
                break
            await asyncio.sleep(0.1)
        return died


@pytest.fixture(scope="module")
def deaths(tmp_path_factory: pytest.TempPathFactory) -> Deaths:
    folder = tmp_path_factory.mktemp("deaths")
    (folder / "orders").mkdir()
    (folder / "fired").touch()
    return Deaths(folder / "orders", folder / "fired")


@pytest.fixture(scope="module")
def mortal_mesh(real_plan: MeshPlan, deaths: Deaths) -> Iterator[Mesh]:
    """Every role a process, on real RabbitMQ, that takes orders to die."""
    orders = {"FAILPOINT_DIR": str(deaths.orders), "FAILPOINT_LOG": str(deaths.log)}
    mesh = Mesh(real_plan, extra={name: dict(orders) for name in OURS})
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


def test_every_point_is_killed_somewhere() -> None:
    """A new failpoint without a kill test is noticed, and a process that never dies."""
    assert set(WHERE) == set(COVERING) == set(POINTS)
    assert set().union(*COVERING.values()) == WRITERS


@pytest.mark.prove
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("flow", MORTAL, ids=lambda flow: flow.__name__)
async def test_a_flow_converges_though_processes_die_at_a_point_of_it(
    flow: Flow,
    point: str,
    mortal_mesh: Mesh,
    real_plan: MeshPlan,
    deaths: Deaths,
    record_property: Callable[[str, object], None],
) -> None:
    """SIGKILL at the first passage; the flow ends as it should."""
    async with (
        shop_of(real_plan, patience_s=PATIENCE_S) as shop,
        tended(mortal_mesh, restart_always=True),
    ):
        deaths.arm(point, deaths.due(flow, point))
        await flow(shop)
        died = await deaths.come(point)
        assert died
    record_property("died", (flow.__name__, point, sorted(died)))


@pytest.mark.prove
async def test_after_all_deaths_the_books_the_services_and_the_channel_agree(
    mortal_mesh: Mesh, real_plan: MeshPlan, deaths: Deaths
) -> None:
    """Every process has died at every point that it passes; every invariant holds at rest."""
    missing = {point: names - deaths.where[point] for point, names in WHERE.items()}
    assert {point: names for point, names in missing.items() if names} == {}
    await _all_is_right(mortal_mesh, real_plan, deaths)


@pytest.mark.parametrize("point", POINTS)
async def test_a_combined_purchase_and_a_withdrawal_converge_though_two_die_at_a_point(
    point: str, mortal_mesh: Mesh, real_plan: MeshPlan, deaths: Deaths
) -> None:
    """The covering set: between them they pass every point in every process."""
    async with (
        shop_of(real_plan, patience_s=PATIENCE_S) as shop,
        tended(mortal_mesh, restart_always=True),
    ):
        deaths.arm(point, COVERING[point])
        await asyncio.gather(combined_purchase(shop), withdrawal(shop))
        assert await deaths.come(point, expected=len(COVERING[point])) == COVERING[point]


async def test_after_the_covering_deaths_the_books_the_services_and_the_channel_agree(
    mortal_mesh: Mesh, real_plan: MeshPlan, deaths: Deaths
) -> None:
    await _all_is_right(mortal_mesh, real_plan, deaths)


async def _all_is_right(mesh: Mesh, plan: MeshPlan, deaths: Deaths) -> None:
    deaths.disarm()
    async with shop_of(plan, patience_s=PATIENCE_S) as shop, tended(mesh, restart_always=True):
        for flow in FLOWS:
            await flow(shop)
        for _ in range(60):  # it comes to rest in a few seconds
            await asyncio.sleep(1)
            book = await shop.book()
            results = await check(plan.reader_urls, grace_s=1, sandbox_book=book)
            findings = [finding for result in results for finding in result.findings]
            if not findings:
                break
    assert findings == []
