"""What is parked, wherever it lies, in one form: what, why, since when, of which chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from paymesh.bus.dead import DeadLetters, Taken
from paymesh.bus.dropping import business_id_of, keep, service_of


@dataclass(frozen=True, slots=True)
class Parked:
    """One letter or notification; each of its acts is done at most once."""

    queue: str
    id: str
    """Of the message."""
    event_ids: tuple[str, ...]
    types: tuple[str, ...]
    business_ids: tuple[str, ...]
    reason: str
    attempts: int
    since: datetime | None
    body: bytes
    replay: Callable[[], None]
    drop: Callable[[str], None]
    """With a reason, which is kept."""

    @property
    def cause(self) -> str:
        """The reason without what it says of this one: ACCOUNT_NOT_OPEN, or its first words."""
        return self.reason.removeprefix("gave up after ").partition(": ")[0][:60]

    @property
    def names(self) -> frozenset[str]:
        """By what a person may mean it."""
        return frozenset({self.id, *self.event_ids, *self.business_ids})


def letters(bus: DeadLetters, urls: Mapping[str, str], queue: str) -> Iterator[Parked]:
    """Those of one queue, oldest first. `urls` of the services' databases keep what is dropped."""
    for taken in bus.each(queue):
        letter = taken.letter
        yield Parked(
            queue=queue,
            id=letter.message_id,
            event_ids=tuple(event.event_id for event in letter.events),
            types=tuple(sorted({event.type for event in letter.events})),
            business_ids=tuple(sorted(set(map(business_id_of, letter.events)))),
            reason=letter.reason,
            attempts=letter.attempts,
            since=letter.parked_at,
            body=letter.body,
            replay=taken.replay,
            drop=partial(_drop, taken, urls),
        )


def _drop(taken: Taken, urls: Mapping[str, str], why: str) -> None:
    """Kept first: who dies in between finds the letter again, and keeps it once."""
    keep(urls[service_of(taken.letter)], taken.letter, why)
    taken.remove()


def oldest(found: list[Parked]) -> datetime | None:
    """Since when the first of them lies there, as far as that is known."""
    return min((p.since.astimezone(UTC) for p in found if p.since), default=None)
