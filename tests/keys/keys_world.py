"""What the tests of keys are made of: a database, rows sealed in it, and who keeps watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from pay_svc.beneficiaries.domain import Beneficiary, BeneficiaryState
from pay_svc.store import BENEFICIARY, SEALED
from paymesh.clock import SystemClock
from paymesh.context import Context
from paymesh.db.engine import create_engine
from paymesh.ids import new_id
from paymesh.keyprobe import KeyProbe
from paymesh.resealing import Vault
from paymesh.secretbox import Key, SecretBox
from paymesh.store import sql
from paymesh.store.postgres import PostgresStore
from tests import databases

PATIENCE_S = 30.0
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Database(databases.Database):
    @property
    def vault(self) -> Vault:
        return Vault("pay", self.app_url, SEALED)

    def add(self, key: Key, secrets: Sequence[str]) -> list[str]:
        """Beneficiaries with these account numbers, sealed under the key; their ids."""
        rows = [_beneficiary(key, secret) for secret in secrets]
        with psycopg.connect(self.admin_url) as connection:
            connection.execute(sql.insert(BENEFICIARY).encode(), BENEFICIARY.dump(rows))
        return [row.id for row in rows]

    def sealed(self) -> dict[str, bytes]:
        """What is sealed, by id."""
        return dict(self.query("SELECT id, sealed_account_no FROM beneficiary"))


def _beneficiary(key: Key, secret: str) -> Beneficiary:
    id_ = new_id("ben", bucket=hash(secret) % 1024)
    return Beneficiary(
        id=id_,
        context=Context("biz_1"),
        version=1,
        state=BeneficiaryState.ACTIVE,
        owner_id="ann",
        channel="sandbox",
        sealed_account_no=key.seal(secret.encode(), belongs_to=id_),
        masked_account_no="****",
        account_name="Ann",
        usable_at=AT,
        created_at=AT,
    )


def process(store: PostgresStore, path: Path) -> tuple[SecretBox, KeyProbe]:
    """The box of a payment core's process, and its probe, not opened yet. Raises KeyUnusable."""
    box = SecretBox(path)
    return box, KeyProbe(store, box, service="pay", sealed=SEALED, clock=SystemClock())


async def until(what: str, look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.05)


def silent(_: str) -> None:
    """Hears of progress."""


def started_once(database: Database, path: Path) -> None:
    """As a process that was there and went: it left its probe."""

    async def start() -> None:
        engine = create_engine(database.app_url, pool=1)
        _, probe = process(PostgresStore(engine), path)
        await probe.open()
        await probe.close()
        await engine.dispose()

    asyncio.run(start())
