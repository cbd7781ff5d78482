"""Events that were published, did not reach a consumer, and are parked nowhere: sent again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from paymesh.bus.topology import Topology
from paymesh.db.engine import create_engine
from paymesh.store.postgres import PostgresStore
from paymesh_ops.check.delivery import arrivals
from paymesh_ops.check.model import Options
from paymesh_ops.check.snapshots import snapshots


@dataclass(frozen=True, slots=True)
class Lost:
    event_id: str
    type: str
    queue: str
    business_id: str
    occurred_at: datetime

    @property
    def service(self) -> str:
        """Who sent it."""
        return self.type.partition(".")[0]


async def lost(
    reader_urls: Mapping[str, str],
    topology: Topology,
    parked: Mapping[str, set[str]],
    *,
    older_than_s: float,
) -> list[Lost]:
    """By queue, oldest first. `parked`: ids of events that lie in dead letters, by queue; what is
    on its way, or on the retry ladder, is younger than `older_than_s`."""
    options = Options(grace_s=older_than_s, parked=parked)
    found = []
    async with snapshots(reader_urls) as s:
        for queue in topology.consumer_queues:
            async for missing in arrivals(s, options, queue, topology):
                found += [
                    Lost(e["event_id"], e["type"], queue, e["business_id"], e["occurred_at"])
                    for e in missing.published
                ]
    return sorted(found, key=lambda each: (each.queue, each.occurred_at, each.event_id))


async def send_again(urls: Mapping[str, str], found: Sequence[Lost]) -> int:
    """Makes them due in their senders' outboxes, whose relays send them; how many events."""
    by_service: dict[str, set[str]] = defaultdict(set)
    for each in found:
        by_service[each.service].add(each.event_id)
    sent = 0
    for service, event_ids in sorted(by_service.items()):
        engine = create_engine(urls[service], pool=1)
        try:
            sent += await PostgresStore(engine).publish_again(sorted(event_ids))
        finally:
            await engine.dispose()
    return sent
