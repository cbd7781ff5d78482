"""Nothing around a mesh decides about money: not a proxy, not a PG variable, not a setting that
somebody made on a database or on a role."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import psycopg
import pytest

from paymesh.channel import DIRECT
from paymesh.db.migrate import ROOT
from paymesh.db.session import arguments, parse
from paymesh.http import open_url
from paymesh_ops.check import check
from paymesh_ops.clients.requests import eventually
from paymesh_ops.launch.mesh import Mesh, MeshPlan, prepare
from paymesh_ops.launch.provision import SERVICES
from paymesh_ops.launch.servers import Broker
from paymesh_ops.trace import Story, story
from tests.bus.contract import Management, in_vhost
from tests.mesh.conftest import TIME_SCALE, shop_of
from tests.runtime.test_sessions import VARIABLES, hostile

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
DECOYS = """
    SELECT format('CREATE TABLE decoy.%%I (LIKE public.%%I); GRANT ALL ON decoy.%%I TO PUBLIC',
        tablename, tablename, tablename)
    FROM pg_tables WHERE schemaname = 'public'
"""
FILLED = """
    SELECT relname FROM pg_stat_user_tables
    WHERE schemaname = 'decoy' AND n_tup_ins + n_tup_upd > 0
"""


class Eavesdropper:
    """A listener on loopback that counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.heard = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            self.heard += 1
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Eavesdropper]:
    """What every variable that a library looks for leads to."""
    eavesdropper = Eavesdropper()
    with pytest.MonkeyPatch.context() as patch:
        for name in PROXIES:
            patch.setenv(name, eavesdropper.url)
            patch.setenv(name.upper(), eavesdropper.url)
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            patch.delenv(name, raising=False)
        yield eavesdropper
    eavesdropper.close()


@pytest.fixture(scope="module")
def plan(
    proxy: Eavesdropper,
    plan_home: Callable[[str], Path],
    admin_url: str,
    rabbit: Broker,
    management: Management,
) -> Iterator[MeshPlan]:
    """Databases whose settings, and whose roles', mean something else; with decoys of all tables
    first in their search_path."""
    name = f"hostile_{secrets.token_hex(3)}"
    management.create_vhost(name)

    def prepared() -> MeshPlan:
        return prepare(
            plan_home("hostile"),
            time_scale=TIME_SCALE,
            prefix=f"{name}_",
            admin_url=admin_url,
            amqp_url=in_vhost(rabbit.amqp_url, name),
        )

    for database in prepared().databases.values():
        url = parse(admin_url).set(database=database).render_as_string(hide_password=False)
        with psycopg.connect(**arguments(url), autocommit=True) as admin:
            admin.execute("CREATE SCHEMA decoy")
            admin.execute("GRANT ALL ON SCHEMA decoy TO PUBLIC")
            for (statement,) in admin.execute(DECOYS, []).fetchall():
                admin.execute(statement)
            hostile(admin, database)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in VARIABLES.items():
            patch.setenv(variable, value)
        yield prepared()  # again, as each start does
    management.delete_vhost(name)


@pytest.fixture(scope="module")
def mesh(plan: MeshPlan) -> Iterator[Mesh]:
    """Every role a process, which inherits all of it."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in VARIABLES.items():
            patch.setenv(variable, value)  # who has connected has forgotten them
        mesh = Mesh(plan)
        try:
            mesh.start()
            yield mesh
        finally:
            mesh.stop()


def buy(plan: MeshPlan, folder: Path) -> str:
    """Runs README's client as it stands there; the trade's business_id."""
    [client] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    script = folder / "buy.py"
    script.write_text(client)
    done = subprocess.run(
        [sys.executable, str(script), plan.target("trade"), plan.target("gateway")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "gen")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "is paid" in done.stdout
    return done.stdout.split()[-1]


@pytest.mark.slow
async def test_a_purchase_goes_through_whatever_surrounds_it(
    mesh: Mesh, plan: MeshPlan, proxy: Eavesdropper, tmp_path: Path
) -> None:
    """Paid, booked once, checked, at the time that it was, in our tables; and no proxy heard it."""
    began = datetime.now(UTC) - timedelta(seconds=5)
    business_id = buy(plan, tmp_path)

    async def booked() -> Story | None:
        told = await story(plan.reader_urls, business_id)
        return told if len(told.journals) == 3 else None

    told = await eventually("third journal", booked, timeout_s=60)
    ended = datetime.now(UTC) + timedelta(seconds=5)
    assert all(began < moment.at < ended for moment in told.moments)
    assert all(began < journal.posted_at < ended for journal in told.journals)
    amounts = {entry.amount.minor for journal in told.journals for entry in journal.entries}
    assert amounts == {1234, 7}  # the price, and the fee of 0.6 %

    async with shop_of(plan) as shop:
        book = await shop.book()
        results = await check(plan.reader_urls, grace_s=1, sandbox_book=book)
    assert [finding for result in results for finding in result.findings] == []
    assert [order["paid_amount"] for order in book["orders"]] == [1234]
    for service in SERVICES:
        url = parse(plan.admin_url).set(database=plan.databases[service])
        with psycopg.connect(**arguments(url.render_as_string(hide_password=False))) as admin:
            assert admin.execute(FILLED).fetchall() == []
    assert mesh.deaths == []
    assert proxy.heard == 0


def test_who_asks_the_environment_is_heard_and_we_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel and an opener of the libraries go to the proxy; ours go where they are sent."""
    nobody = "127.0.0.1:1"
    for variable in PROXIES:
        monkeypatch.delenv(variable.upper(), raising=False)
    for variable in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(variable, raising=False)

    def heard(ask: Callable[[], object]) -> int:
        eavesdropper = Eavesdropper()
        for variable in PROXIES:
            monkeypatch.setenv(variable, eavesdropper.url)
        with pytest.raises((grpc.RpcError, OSError)):
            ask()
        eavesdropper.close()
        return eavesdropper.heard

    def call(*options: tuple[str, int]) -> object:
        with grpc.insecure_channel(nobody, options=options) as channel:
            return channel.unary_unary("/a/b")(b"", timeout=30)

    assert heard(call) > 0
    assert heard(lambda: call(DIRECT)) == 0
    assert heard(lambda: urllib.request.urlopen(f"http://{nobody}", timeout=30)) > 0
    assert heard(lambda: open_url(f"http://{nobody}", timeout=30)) == 0
