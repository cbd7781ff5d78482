"""Settings of clearing."""

from __future__ import annotations

from pathlib import Path

from paymesh.settings import ServiceSettings


class ClearingSettings(ServiceSettings):
    clearing_database_url: str = ""
    """The application role's URL; `migrate` takes PAYMESH_CLEARING_OWNER_URL."""
    clearing_owner_url: str = ""
    ledger_config: Path | None = None
    """A folder with chart.yaml, fees.yaml and templates.yaml; None: clearing_svc/ledger."""
    ledger_batch_items_max: int = 1000
    """Journals in one transaction."""
