"""To which accounts of the general ledger finance maps the subjects of our chart.

The mapping itself is configuration: finance.yaml, read by clearing_svc.ledger.loading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GeneralAccount:
    """An account of the general ledger. Several subjects may be one account there."""

    number: str
    name: str


Finance = Mapping[str, GeneralAccount]
"""By subject, each of the chart."""
