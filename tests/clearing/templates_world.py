"""Events and configurations: what the tests of templates share."""

from __future__ import annotations

import shutil
from pathlib import Path

from clearing_svc.ledger import loading
from clearing_svc.ledger.facts import EVENTS, FEE, BusinessEvent
from paymesh.money import Money
from tests.clearing.ledger_world import AT, hold_id, sources

HERE = Path(loading.__file__).parent


def event(type_: str, minor: int = 10_000, **changes: object) -> BusinessEvent:
    names = {name: f"sandbox:{name}" for name in EVENTS[type_].names}
    names |= {"platform": "platform", "hold_id": hold_id("h")}
    values: dict[str, object] = {
        "type": type_,
        "kind": "CHANNEL_COLLECT" if type_.startswith("pay") else "",
        "product": "INSTANT" if type_.startswith("trade") else "",
        "business_key": "key_1",
        "occurred_at": AT,
        "amounts": {name: Money("CNY", minor) for name in EVENTS[type_].amounts - {FEE}},
        "names": names,
        "hold_sources": sources("USER_BALANCE:ann"),
    }
    return BusinessEvent(**{**values, **changes})


def configured(folder: Path, **files: str) -> loading.LedgerConfig:
    """The shipped configuration with some files replaced."""
    for name in ("chart", "fees", "templates", "finance"):
        shutil.copy(HERE / f"{name}.yaml", folder)
    if "fee" not in files.get("templates", "fee"):
        files = {"fees": "{}", **files}  # a fee that nothing books is refused
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return loading.load(folder)
