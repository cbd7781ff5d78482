"""Encryption keys of the gateway: a payout is the same one under another key."""

from __future__ import annotations

from pathlib import Path

from gateway_svc.store import SEALED
from paymesh.resealing import Vault
from paymesh.secretbox import make_key, read_keys
from tests.gateway.gateway_world import STUCK, Database, Gateways, m, new_request_no
from tests.ops.sandbox.sandbox_actors import World


async def test_a_payout_from_before_a_rotation_is_the_same_after_it(
    gateways: Gateways, sandbox: World, database: Database, tmp_path: Path
) -> None:
    """Sent again under its request_id it is replayed, under another one it is the same order; also
    by a process that knows only the new key."""
    make_key(tmp_path)
    caller = gateways.caller(await gateways.start("serve", secret_key_file=tmp_path))
    payee = m.Payee(account_no=STUCK, account_name="Han Meimei")
    request = caller.payout_request(new_request_no(), payee=payee)
    await caller.stub.Payout(request, metadata=caller.metadata, timeout=5)
    make_key(tmp_path)
    keys = read_keys(tmp_path)
    vault = Vault("gateway", database.app_url, SEALED)
    assert vault.reseal(keys, lambda _: None) == {keys[0]: 1}
    vault.reseal_probe(keys)
    (tmp_path / "secret.key").unlink()
    later = gateways.caller(await gateways.start("serve", secret_key_file=tmp_path))
    for sender in (caller, later):
        await sender.stub.Payout(request, metadata=sender.metadata, timeout=5)
        await sender.payout(request.request_no, payee=payee)
    assert database.query("SELECT count(*) FROM channel_order") == [(1,)]
