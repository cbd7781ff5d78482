"""Encryption keys of the whole mesh: rotated under load, lost, and another one in their place."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from paymesh.ids import new_id
from paymesh.secretbox import make_key, read_keys
from paymesh_ops.check import check
from paymesh_ops.clients.shop import Shop
from paymesh_ops.launch.mesh import Mesh, MeshNotReady, MeshPlan, prepare
from tests.mesh.conftest import shop_of
from tests.mesh.flows import bounced_withdrawal, purchase, withdrawal

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
COMMAND_TIMEOUT_S = 300.0


async def keys(plan: MeshPlan, *arguments: str) -> str:
    """What `paymesh keys …` says on this mesh."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "paymesh_ops.cli.main", "keys", *arguments),
        env={**os.environ, **plan.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    text, _ = await asyncio.wait_for(process.communicate(), COMMAND_TIMEOUT_S)
    assert process.returncode == 0, text.decode()
    return text.decode()


async def meanwhile(shop: Shop, work: Awaitable[str]) -> tuple[str, int]:
    """What the work gives, while purchases and withdrawals come one after the other, and how many;
    each ends as it should, and its merchant hears of it."""
    ended = asyncio.Event()
    done = 0

    async def guest(flow: Callable[[Shop], Awaitable[None]]) -> None:
        nonlocal done
        while not ended.is_set():
            await flow(shop)
            done += 1

    async def ends() -> str:
        try:
            return await work
        finally:
            ended.set()

    flows = (purchase, withdrawal, bounced_withdrawal)
    text, *_ = await asyncio.gather(ends(), *(guest(flow) for flow in flows))
    return text, done


@pytest.mark.prove
async def test_a_rotation_under_load_loses_nothing(real_mesh: Mesh, real_plan: MeshPlan) -> None:
    """Every flow ends; nothing is left under the old key, which is removed; the same merchant goes
    on; all invariants hold, and the channel agrees."""
    folder = real_plan.home / "keys"
    [old] = read_keys(folder)
    async with shop_of(real_plan, patience_s=PATIENCE_S) as shop:
        for flow in (purchase, withdrawal):
            await flow(shop)
        text, done = await meanwhile(shop, keys(real_plan, "rotate"))
        assert "all is sealed by secret_0002.key" in text
        assert done >= 3
        text, done = await meanwhile(
            shop, keys(real_plan, "rotate", "--drop-old", "--wait-s", "12")
        )
        assert f"removed: secret.key ({old.id})" in text
        assert done >= 3
        [new] = read_keys(folder)
        text = await keys(real_plan, "status")
        assert re.search(rf"secret_0002.key +{new.id} +seals( +[1-9]\d* and the probe){{3}}", text)
        for flow in (purchase, withdrawal):
            await flow(shop)
        await asyncio.sleep(3)
        results = await check(real_plan.reader_urls, grace_s=1, sandbox_book=await shop.book())
    assert [finding for result in results for finding in result.findings] == []
    logs = "".join(path.read_text() for path in (real_plan.home / "run").glob("*.log"))
    assert not re.findall("effect.defect|secret.unopened|keys.unusable", logs)


def refusal(mesh: Mesh, name: str, folder: Path) -> str:
    """The first line of what is said when a process is started with this folder of keys."""
    mesh.extra[name] = {"PAYMESH_SECRET_KEY_FILE": str(folder)}
    with pytest.raises(MeshNotReady) as error:
        mesh.restart([name])
    mesh.extra.clear()
    mesh.restart([name])
    return str(error.value).splitlines()[0]


def test_who_has_not_the_key_of_his_database_does_not_start(
    real_mesh: Mesh, real_plan: MeshPlan, tmp_path: Path
) -> None:
    """Each sealing service in a role of its own: lost, another one, cut off. A sentence, no
    traceback, is the first that is seen."""
    lost, other, short = (tmp_path / name for name in ("lost", "other", "short"))
    for folder in (lost, other, short):
        folder.mkdir()
    make_key(other)
    (short / "secret.key").write_bytes(bytes(31))
    database = real_plan.databases["trade"]
    assert refusal(real_mesh, "pay-work", lost).startswith(
        f"pay-work exited with 1: pay: no key in {lost} (PAYMESH_SECRET_KEY_FILE): put the one "
        "back that was there, from your copy; only new databases take a new one, of 32 random "
        "bytes, named *.key"
    )
    assert refusal(real_mesh, "trade-serve", other).startswith(
        f"trade-serve exited with 1: trade: no key in {other} (PAYMESH_SECRET_KEY_FILE) opens what "
        f"the database {database} keeps: put the key that was used before back as one more *.key "
        "there, from your copy; a new one cannot replace it"
    )
    assert refusal(real_mesh, "gateway-ingress", short).startswith(
        f"gateway-ingress exited with 1: gateway: the key {short / 'secret.key'} has 31 bytes "
        "instead of 32: put the right one there, from your copy"
    )
    for name in ("pay-work", "trade-serve", "gateway-ingress"):
        assert "Traceback" not in (real_plan.home / "run" / f"{name}.log").read_text()


def test_no_key_is_made_for_databases_that_were_in_use(
    real_mesh: Mesh, real_plan: MeshPlan, plan_home: Callable[[str], Path], admin_url: str
) -> None:
    """A home that lost its key, and a new home on old databases: only a sentence comes up."""
    prefix = real_plan.databases["pay"].removesuffix("pay")
    home = plan_home(f"new-{new_id('run', bucket=0)}")
    try:
        plan = prepare(
            home, time_scale=0.1, prefix=prefix, admin_url=admin_url, amqp_url=real_plan.amqp_url
        )
        assert list((home / "keys").glob("*.key")) == []
        mesh = Mesh(plan)
        with pytest.raises(MeshNotReady) as error:
            mesh.start(["gateway-serve"])
        mesh.stop()
    finally:
        shutil.rmtree(home)
    assert str(error.value).startswith(
        f"gateway-serve exited with 1: gateway: no key in {home / 'keys'} "
        "(PAYMESH_SECRET_KEY_FILE): put the one back that was there"
    )
