"""What is buffered beside accounts: draining ends, and little waits to be folded.

Who books on a BUFFERED account without its lock had his transaction's number before he read its
mode. So when an account is found to be DRAINING, the number of a transaction that begins then is
its mark: who has a greater one did not take it for BUFFERED, who has a smaller one may have. When
those have ended, nothing is added beside the account any more: what was is folded as it is locked,
and it becomes DIRECT. Marks live in memory. Who begins anew takes later ones, so a process that
dies leaves all to the next, and two at once do no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from clearing_svc.ledger.administering import EndDraining
from paymesh.clock import Clock
from paymesh.context import Call, Context, DeadlineClass
from paymesh.errors import PaymentError
from paymesh.items import Item, Outcome
from paymesh.rpc import CALL_LIMIT_S
from paymesh.store.port import CommitUnknown, Conflict, Unreachable
from paymesh.store.postgres import PostgresStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DrainLimits:
    accounts_max: int = 100
    """Worked on in one round."""
    deltas_kept: int = 100
    """So many rows beside an account are no trouble to who reads or debits it."""
    fold_rows_max: int = 5_000
    """Folded in one transaction, for so long who debits the account waits."""
    idle_s: float = 1.0
    """Between rounds."""


class Draining:
    def __init__(
        self,
        store: PostgresStore,
        submit: Callable[[Item], Awaitable[Outcome]],
        *,
        clock: Clock,
        limits: DrainLimits = DrainLimits(),
    ) -> None:
        """`submit`: to the ledger's core."""
        self._store, self._submit, self._clock, self._limits = store, submit, clock, limits
        self._marks: dict[EndDraining, int] = {}

    async def forever(self) -> None:
        """Round after round, until cancelled. A store that is away is waited for."""
        while True:
            try:
                await self.round()
            except (Unreachable, CommitUnknown, Conflict, PaymentError) as error:
                log.warning("draining.later", error=str(error))
            except Exception:  # a defect in one round must not end all draining
                log.exception("draining.defect")
            await self._clock.sleep(self._limits.idle_s)

    async def round(self) -> None:
        """Ends what has drained, marks what began to, folds where much waits."""
        limits = self._limits
        draining = [
            EndDraining(*row) for row in await self._read(_DRAINING, (limits.accounts_max,))
        ]
        if draining:
            [(mark, oldest)] = await self._read(_NUMBERS, ())
            self._marks = {each: self._marks.get(each, mark) for each in draining}
            for each in draining:
                if self._marks[each] < oldest:
                    await self._end(each)
        for (account_id,) in await self._read(_MUCH, (limits.deltas_kept, limits.accounts_max)):
            await self._fold(account_id)

    async def _end(self, command: EndDraining) -> None:
        call = Call(
            context=Context(business_id=""),
            deadline=self._clock.monotonic() + CALL_LIMIT_S,
            deadline_class=DeadlineClass.BACKGROUND,
        )
        outcome = await self._submit(Item(command, call))
        if isinstance(outcome, PaymentError):
            raise outcome

    async def _fold(self, account_id: str) -> None:
        """In short transactions: balance and rest add up after each of them."""
        rows_max = self._limits.fold_rows_max
        folded = rows_max
        while folded == rows_max:
            async with self._store.transaction() as transaction:
                [[(folded,)]] = await transaction.query([(_FOLD, ([account_id], rows_max))])
                await transaction.save([])

    async def _read(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        async with self._store.transaction() as transaction:
            [rows] = await transaction.query([(query, parameters)])
        return rows


_DRAINING = (
    "SELECT id, draining_since FROM account WHERE mode = 'DRAINING' "
    "ORDER BY draining_since, id LIMIT %s"
)
# This transaction's number, and the smallest one of those that have not ended.
_NUMBERS = (
    "SELECT pg_current_xact_id()::text::bigint, "
    "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
)
_MUCH = (
    "SELECT account_id FROM account_delta GROUP BY account_id HAVING count(*) > %s "
    "ORDER BY count(*) DESC LIMIT %s"
)
_FOLD = "SELECT fold_accounts(%s::text[], %s)"
