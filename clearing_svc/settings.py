"""Settings of clearing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from clearing_svc.ledger import loading
from paymesh.settings import ServiceSettings
from paymesh.values import APPLICATION_URL, Count, DatabaseUrl, Seconds, Target

EARLIEST = date(1900, 1, 1)


def _config(folder: Path) -> Path:
    """Raises ConfigInvalid, a ValueError, for files that must not be used."""
    if not folder.is_dir():
        raise ValueError(f"names {str(folder)!r}, which is no folder")
    try:
        loading.load(folder)
    except loading.ConfigInvalid as error:
        raise ValueError(f"cannot be used: {' '.join(str(error).split())}") from error
    return folder


def _first_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"is {text!r}, which is no day such as 2026-01-31") from None
    if not EARLIEST <= day <= datetime.now(UTC).date():
        raise ValueError(f"is {day}: it must be a day from {EARLIEST} to today (UTC)")
    return day


class ClearingSettings(ServiceSettings):
    needed = {"clearing_database_url": APPLICATION_URL}

    clearing_database_url: DatabaseUrl = ""
    """The application role's URL; `migrate` takes PAYMESH_CLEARING_OWNER_URL."""
    clearing_owner_url: DatabaseUrl = ""
    pay_target: Target = "127.0.0.1:7002"
    """Where the payment core answers gRPC: host:port or dns:///name:port."""
    hold_unknown_ends_after_s: Seconds = 7 * 24 * 3600
    """How long after its expiry a hold ends of whose payment the payment core knows nothing."""
    ledger_config: Annotated[Path, AfterValidator(_config)] | None = None
    """A folder with chart.yaml, fees.yaml, templates.yaml and finance.yaml; None:
    clearing_svc/ledger."""
    ledger_batch_items_max: Count = 500
    """Journals in one transaction."""
    books_first_day: Annotated[date, BeforeValidator(_first_day)] | None = None
    """The books' first day, said when they are made: no entry is of an earlier one. None: the day
    on which they are made (UTC)."""
    ledger_close_day_after_s: Seconds | None = None
    """So long after midnight UTC the day before is closed by itself; None: never by itself."""
