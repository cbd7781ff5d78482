"""What the parts of Paymesh promise each other is written once, and everything else follows it."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from payments.clearing.v1 import books_service_pb2, ledger_service_pb2
from payments.gateway.v1 import channel_service_pb2
from payments.pay.v1 import beneficiary_service_pb2, payment_service_pb2
from payments.trade.v1 import merchant_service_pb2, trade_service_pb2
from payments.type.v1 import error_pb2

import clearing_svc.consumers
import gateway_svc.orders.domain
import pay_svc.consumers
import pay_svc.payments.model
import trade_svc.consumers
import trade_svc.trades.refunds
from clearing_svc.ledger import loading
from paymesh.bus.topology import Topology
from paymesh.bus.topology.model import EVENTS_EXCHANGE
from paymesh.clock import SystemClock
from paymesh.db.migrate import ROOT, UnknownSchema, differences, migrate
from paymesh.errors import PaymentError
from paymesh.process import DEFINITIONS
from paymesh_ops.launch.provision import SERVICES
from tests.databases import Databases

CODE = ("paymesh", "trade_svc", "pay_svc", "gateway_svc", "clearing_svc", "paymesh_ops")
TOOLS = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

# ---- The generated code and the baseline ----


def _run(*argv: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=cwd, env=TOOLS, capture_output=True, text=True, timeout=600, check=False
    )


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_generated_code_is_what_the_protos_give(tmp_path: Path) -> None:
    """scripts/generate.sh into another folder gives gen/, byte for byte."""
    done = _run("scripts/generate.sh", str(tmp_path))
    assert done.returncode == 0, done.stderr
    ours, fresh = _tree(ROOT / "gen"), _tree(tmp_path / "gen")
    assert sorted(ours) == sorted(fresh)
    assert [path for path in fresh if ours[path] != fresh[path]] == []


TRADE_SERVICE = Path("protos/payments/trade/v1/trade_service.proto")


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """A copy of the protos and of how buf treats them."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def _breaking(contract: Path) -> subprocess.CompletedProcess[str]:
    return _run("buf", "breaking", "--against", str(ROOT / "protos/baseline.binpb"), cwd=contract)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_deleted_field_breaks_the_contract(contract: Path) -> None:
    """buf says which field is missing, and does not exit 0."""
    path = contract / TRADE_SERVICE
    _edit(path, "  string credential_id = 3;\n", "")
    done = _breaking(contract)
    assert done.returncode != 0
    assert "credential_id" in done.stdout


def test_an_added_field_does_not_break_the_contract(contract: Path) -> None:
    """Nor does the contract as it is."""
    assert _breaking(contract).returncode == 0
    added = "  string credential_id = 3;\n  // New.\n  string note = 99;\n"
    _edit(contract / TRADE_SERVICE, "  string credential_id = 3;\n", added)
    done = _breaking(contract)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- Methods ----

METHODS: tuple[MethodDescriptor, ...] = tuple(
    method
    for module in (
        trade_service_pb2,
        merchant_service_pb2,
        payment_service_pb2,
        beneficiary_service_pb2,
        channel_service_pb2,
        ledger_service_pb2,
        books_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
NO_SIDE_EFFECTS, IDEMPOTENT = 1, 2  # google.protobuf.MethodOptions.IdempotencyLevel
_id_of = [method.full_name for method in METHODS]


def test_every_service_of_the_protos_is_looked_at() -> None:
    """A new service is noticed here."""
    found = {
        line.split()[1]
        for path in (ROOT / "protos/payments").rglob("*.proto")
        for line in path.read_text().splitlines()
        if line.startswith("service ")
    }
    assert {method.containing_service.name for method in METHODS} == found


@pytest.mark.parametrize("method", METHODS, ids=_id_of)
def test_every_method_says_whether_it_may_be_repeated(method: MethodDescriptor) -> None:
    """Clients repeat calls: a method is a read, or has one effect per request_id."""
    level = method.GetOptions().idempotency_level
    assert level in {NO_SIDE_EFFECTS, IDEMPOTENT}
    reads = method.name.removeprefix("Batch").startswith(("Get", "List", "Watch"))
    assert (level == NO_SIDE_EFFECTS) == reads


def _request_of(input_type: Descriptor) -> Descriptor:
    """What one item of a batch asks, or the request itself."""
    items = input_type.fields_by_name.get("items")
    if items is None:
        return input_type
    assert items.message_type is not None
    request = items.message_type.fields_by_name.get("request")
    if request is None:
        return items.message_type
    assert request.message_type is not None
    return request.message_type


NAMED = {"PostJournals", "PostSplitJournal", "CloseDay"}
"""What they make has a name of the caller's: that makes it one, and a request_id is optional."""


@pytest.mark.parametrize(
    "method",
    [method for method in METHODS if method.GetOptions().idempotency_level == IDEMPOTENT],
    ids=lambda method: method.full_name,
)
def test_every_change_is_asked_for_under_a_uuid(method: MethodDescriptor) -> None:
    """request_id is field 1 of the request, or of each item's, and must be a UUID."""
    field = _request_of(method.input_type).fields_by_name.get("request_id")
    if field is None:
        assert method.name in NAMED
        return
    rules = field.GetOptions().Extensions[validate_pb2.field]
    optional = rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
    assert field.number == 1
    assert rules.string.uuid
    assert optional == (method.name in NAMED)


# ---- Events ----

PUBLISHED = {
    "clearing.account.status_changed",
    "gateway.channel.result",
    "pay.payment.succeeded",
    "pay.payment.failed",
    "pay.payment.closed",
    "pay.payment.returned",
    "pay.payment.suspended",
    "pay.instruction.succeeded",
    "pay.instruction.suspended",
    "pay.instruction.bounced",
    "trade.trade.paid",
    "trade.trade.closed",
    "trade.trade.refunded",
    "trade.trade.refund_failed",
    "trade.trade.refund_returned",
    "trade.trade.returned",
}
"""Every type of event that leaves its service."""

COMPUTED = {
    "pay_svc/payments/transition.py",
    "gateway_svc/orders/domain.py",
    "trade_svc/trades/refunds.py",
}
"""Where an event's type is not a literal; `_computed` says which they are."""


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for package in CODE:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def _computed() -> set[str]:
    pay, gateway = pay_svc.payments.model, gateway_svc.orders.domain
    return {
        *(f"pay.payment.{state.lower()}" for state in pay.PUBLISHED_PAYMENTS),
        *(f"pay.instruction.{state.lower()}" for state in pay.PUBLISHED_MOVEMENTS),
        *trade_svc.trades.refunds.ENDED_EVENTS.values(),
        *(name for name, published in gateway._EVENTS.values() if published),
    }


def test_the_events_that_the_code_publishes_are_known() -> None:
    """Every call of core.event(): its type is a literal, or comes from a table."""
    literal, elsewhere = set(), set()
    for path, tree in _sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id != "event" or path == "paymesh/core.py":
                continue
            type_ = node.args[1]
            if isinstance(type_, ast.Constant):
                literal.add(str(type_.value))
            else:
                elsewhere.add(path)
    assert elsewhere == COMPUTED
    assert literal | _computed() == PUBLISHED


@pytest.mark.parametrize("type_", sorted(PUBLISHED))
def test_every_published_event_reaches_a_queue(type_: str) -> None:
    """Not the queue of what nobody wanted."""
    topology = Topology.load(DEFINITIONS)
    queues = topology.route(EVENTS_EXCHANGE, type_)
    assert queues
    assert set(queues) <= set(topology.consumer_queues)


def _handlers() -> dict[str, set[str]]:
    """The event types that each queue's consumer knows."""
    core: Any = SimpleNamespace(shell=SimpleNamespace(process=None))
    clock = SystemClock()
    config = loading.load(loading.HERE)
    bookings = clearing_svc.consumers.bookings(config.templates)
    consumers = (
        pay_svc.consumers.channel_results(core, clock),
        trade_svc.consumers.payments(core, clock),
        trade_svc.consumers.accounts(core, clock),
        trade_svc.consumers.Notifier(core, core, clock)._consumer,
        clearing_svc.consumers.ledger(core, bookings, config.chart, clock),
    )
    return {consumer.queue: set(consumer.commands) for consumer in consumers}


def test_every_consumer_knows_what_comes_to_its_queue() -> None:
    """And nothing that never comes."""
    topology = Topology.load(DEFINITIONS)
    coming: dict[str, set[str]] = {queue: set() for queue in topology.consumer_queues}
    for type_ in PUBLISHED:
        for queue in topology.route(EVENTS_EXCHANGE, type_):
            coming[queue].add(type_)
    assert _handlers() == coming


# ---- Errors ----


def _refusals(of: type[PaymentError]) -> Iterator[type[PaymentError]]:
    yield of
    for refusal in of.__subclasses__():
        yield from _refusals(refusal)


def test_every_reason_of_a_refusal_is_in_the_contract() -> None:
    """Class attributes, and what is passed to Refused(reason=…)."""
    for name in CODE:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if module.name.rsplit(".", 1)[1] not in {"__main__", "env"}:
                importlib.import_module(module.name)
    reasons = {r.reason for r in _refusals(PaymentError) if r.__module__.split(".")[0] in CODE}
    for _, tree in _sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refused":
                for keyword in node.keywords:
                    if keyword.arg == "reason":
                        reasons |= {
                            str(leaf.value)
                            for leaf in ast.walk(keyword.value)
                            if isinstance(leaf, ast.Constant)
                        }
    names = error_pb2.ErrorReason.DESCRIPTOR.values_by_name
    known = {name.removeprefix("ERROR_REASON_") for name in names}
    assert reasons - known == set()
    assert len(reasons) > 15


# ---- Files and schemas ----

FOREIGN = tuple(
    "".join(parts)
    for parts in (
        ("/", "work/"),
        ("/", "root/"),
        ("files.", "pythonhosted"),
        ("pypi", ".org"),
    )
)
"""Folders of one machine and hosts of package registries (put together, so as not to be found)."""


def test_no_file_names_one_machine_or_a_registry() -> None:
    """What is in git works anywhere."""
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert len(paths) > 100
    found = [
        (str(path.relative_to(ROOT)), text)
        for path in paths
        if path.is_file()
        for text in FOREIGN
        if text.encode() in path.read_bytes()
    ]
    assert found == []


@pytest.fixture(scope="module")
def owner_urls(databases: Databases) -> dict[str, str]:
    """Freshly migrated databases, by service."""
    return {service: databases.new(service).owner_url for service in SERVICES}


@pytest.mark.parametrize("service", SERVICES)
def test_the_migrations_give_the_tables_that_the_code_declares(
    service: str, owner_urls: dict[str, str]
) -> None:
    """Alembic finds no difference."""
    metadata = importlib.import_module(f"{service}_svc.store").metadata
    assert differences(service, owner_urls[service], metadata) == []


def test_a_database_of_another_version_is_left_alone_and_it_is_said_what_to_do(
    owner_urls: dict[str, str],
) -> None:
    """Also where its schema's name begins as one of ours does."""
    with psycopg.connect(owner_urls["clearing"], autocommit=True) as connection:
        for name in ("clearing_0002", "unheard-of"):
            with connection.transaction(force_rollback=False):
                before = connection.execute("SELECT version_num FROM alembic_version").fetchall()
                connection.execute("DELETE FROM alembic_version")
                connection.execute("INSERT INTO alembic_version VALUES (%s)", [name])
            with pytest.raises(UnknownSchema, match=rf"{name}.*paymesh down --purge"):
                migrate("clearing", owner_urls["clearing"], app_role="paymesh_clearing_app")
            connection.execute("DELETE FROM alembic_version")
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO alembic_version VALUES (%s)", before)
