"""Encryption keys of the payment core: a missing one costs time, a new one changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog

from pay_svc.store import SEALED
from paymesh.metrics import SECRETS_UNOPENED
from paymesh.resealing import Vault
from paymesh.secretbox import make_key, read_keys
from tests.pay.pay_world import Caller, World, by_balance, state_of, until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys = tmp_path / "keys"
    keys.mkdir()
    make_key(keys)
    return keys


@pytest.fixture
async def trade(world: World, folder: Path) -> Caller:
    world.ledger.balances["USER_BALANCE", "ann"] = 5000
    return await world.start("serve", "work", secret_key_file=folder)


def sealed_by(key: Any, world: World, beneficiary: Any, account_no: str) -> None:
    """As if another process had sealed the number with a key that is not here."""
    id_ = beneficiary.beneficiary_id
    sealed = key.seal(account_no.encode(), belongs_to=id_)
    world.database.query("UPDATE beneficiary SET sealed_account_no = %s WHERE id = %s", sealed, id_)


async def test_a_withdrawal_whose_key_is_missing_waits_and_is_never_failed(
    world: World, trade: Caller, folder: Path, tmp_path: Path
) -> None:
    """Operators hear of it; once the key is back it is paid out, without a restart."""
    missing = make_key(tmp_path)
    payee = await trade.beneficiary()
    sealed_by(read_keys(missing)[0], world, payee, "DE0098765432")
    counted = SECRETS_UNOPENED._value.get()
    with structlog.testing.capture_logs() as logs:
        answer = await trade.creates(
            "WITHDRAWAL", by_balance(3000), beneficiary_id=payee.beneficiary_id
        )
        payout = await trade.starts(answer.payment, "CHANNEL_PAYOUT")

        async def tried_thrice() -> bool:
            return SECRETS_UNOPENED._value.get() >= counted + 3

        await until(tried_thrice)
    told = [line for line in logs if line["event"] == "secret.unopened"]
    assert {
        (line["log_level"], line["belongs_to"], line["keys"], line["error"]) for line in told
    } == {
        (
            "error",
            payee.beneficiary_id,
            str(folder),
            "put the key that sealed it back among the keys",
        )
    }
    assert not [line for line in logs if line["event"] == "effect.defect"]
    assert state_of(await trade.payment(answer.payment)) == "PROCESSING"
    assert payout.request_no not in world.gateway.orders
    missing.rename(folder / "a.key")

    async def ordered() -> Any:
        return world.gateway.payees.get(payout.request_no)

    assert (await until(ordered)).account_no == "DE0098765432"
    await world.gateway.ends(payout.request_no, "SUCCEEDED")
    await trade.reaches(answer.payment, "SUCCEEDED")


async def test_a_request_from_before_a_rotation_is_replayed_after_it(
    world: World, trade: Caller, folder: Path
) -> None:
    """By the process that ran meanwhile, and by one that knows only the new key."""
    request = trade.beneficiary_request(account_no="DE0031415926")
    made = await trade.sends_beneficiary(request)
    make_key(folder)
    keys = read_keys(folder)
    vault = Vault("pay", world.database.app_url, SEALED)
    assert vault.reseal(keys, lambda _: None) == {keys[0]: 1}
    vault.reseal_probe(keys)
    assert await trade.sends_beneficiary(request) == made
    (folder / "secret.key").unlink()
    later = await world.start("serve", secret_key_file=folder)
    assert await later.sends_beneficiary(request) == made
    assert world.database.query("SELECT count(*) FROM beneficiary") == [(1,)]
