"""Settings of clearing."""

from __future__ import annotations

from pathlib import Path

from paymesh.settings import ServiceSettings


class ClearingSettings(ServiceSettings):
    clearing_database_url: str = ""
    """The application role's URL; `migrate` takes PAYMESH_CLEARING_OWNER_URL."""
    clearing_owner_url: str = ""
    pay_target: str = "127.0.0.1:7002"
    """Where the payment core answers gRPC: host:port or dns:///name:port."""
    hold_unknown_ends_after_s: float = 7 * 24 * 3600
    """How long after its expiry a hold ends of whose payment the payment core knows nothing."""
    ledger_config: Path | None = None
    """A folder with chart.yaml, fees.yaml, templates.yaml and finance.yaml; None:
    clearing_svc/ledger."""
    ledger_batch_items_max: int = 500
    """Journals in one transaction."""
    ledger_close_day_after_s: float | None = None
    """So long after midnight UTC the day before is closed by itself; None: never by itself."""
