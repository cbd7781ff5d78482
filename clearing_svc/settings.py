"""Settings of clearing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from clearing_svc.ledger import loading
from paymesh.settings import ServiceSettings
from paymesh.values import APPLICATION_URL, Count, DatabaseUrl, Seconds, Target


def _config(folder: Path) -> Path:
    """Raises ConfigInvalid, a ValueError, for files that must not be used."""
    if not folder.is_dir():
        raise ValueError(f"names {str(folder)!r}, which is no folder")
    try:
        loading.load(folder)
    except loading.ConfigInvalid as error:
        raise ValueError(f"cannot be used: {' '.join(str(error).split())}") from error
    return folder


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
    ledger_close_day_after_s: Seconds | None = None
    """So long after midnight UTC the day before is closed by itself; None: never by itself."""
