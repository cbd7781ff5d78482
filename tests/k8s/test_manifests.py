"""The manifests of k8s/: valid for the API, complete, and each part finds the others."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import tomllib
from typing import Any

import kubernetes_validate
import pytest

from paymesh.db.migrate import ROOT
from paymesh.process import main
from paymesh_ops.launch.mesh import PROCESSES
from paymesh_ops.launch.provision import ROLES, SERVICES
from tests.k8s.cluster import (
    both,
    environment,
    kind,
    main_containers,
    rendered,
    role_of,
    service_of,
    workloads,
)
from tests.k8s.kustomize import Manifest, containers

OPERATORS = {"postgresql.cnpg.io/v1", "rabbitmq.com/v1beta1"}
NEWEST = kubernetes_validate.latest_version().rpartition(".")[0]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@both
@pytest.mark.parametrize("version", ["1.29", NEWEST])
def test_every_built_in_kind_is_valid(where: str, version: str) -> None:
    """Strictly: no unknown field, for the oldest and the newest Kubernetes that we mean."""
    ours = [body for body in rendered(where) if body["apiVersion"] not in OPERATORS]
    assert len(ours) > 40
    for body in ours:
        assert kubernetes_validate.validate(body, version, strict=True) == version


def test_a_misspelt_field_is_noticed() -> None:
    body = kind("base", "Deployment")["trade-serve"]
    body["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(body, "1.29", strict=True)


def _fields(body: Manifest, *paths: str) -> list[Any]:
    found = []
    for path in paths:
        value: Any = body
        for part in path.split("."):
            value = value[part]
        found.append(value)
    return found


@both
def test_the_operators_find_what_they_need(where: str) -> None:
    """Fields that their schemas require, and sizes that they accept."""
    cluster = kind(where, "Cluster")["postgres"]
    instances, size = _fields(cluster, "spec.instances", "spec.storage.size")
    assert instances >= 1
    assert size.endswith("Gi")
    synchronous = cluster["spec"]["postgresql"].get("synchronous")
    assert synchronous is None or synchronous["number"] < instances
    assert all(isinstance(v, str) for v in cluster["spec"]["postgresql"]["parameters"].values())
    for database in kind(where, "Database").values():
        name, owner, of = _fields(database, "spec.name", "spec.owner", "spec.cluster.name")
        assert (owner, of) == (f"{name}_owner", "postgres")
    broker = kind(where, "RabbitmqCluster")["broker"]
    replicas, storage = _fields(broker, "spec.replicas", "spec.persistence.storage")
    assert replicas % 2 == 1
    assert storage.endswith("Gi")


def _roles(service: str) -> tuple[str, ...]:
    """The roles that a service's __main__ offers."""
    tree = ast.parse((ROOT / f"{service}_svc" / "__main__.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "roles":
            return tuple(ast.literal_eval(node.value))
    return tuple(inspect.signature(main).parameters["roles"].default)


@both
def test_every_role_has_its_workload(where: str) -> None:
    """A Deployment per process that `make up` starts, and a Job per migration."""
    sandbox = {"sandbox"} if where == "dev" else set()
    assert set(kind(where, "Deployment")) == set(PROCESSES) - {"sandbox"} | sandbox
    roles = {
        (service_of(workload), role_of(workload))
        for workload in workloads(where).values()
        if service_of(workload)
    }
    assert roles == {(service, role) for service in SERVICES for role in _roles(service)}


@both
def test_jobs_carry_the_version_of_the_image(where: str) -> None:
    """A Job can't be changed: a new version needs a new name."""
    suffix = "-" + VERSION.replace(".", "-")
    expected = {f"{service}-migrate{suffix}" for service in SERVICES} | {f"topology{suffix}"}
    assert set(kind(where, "Job")) == expected
    images = {c["image"] for body in workloads(where).values() for c in containers(body)}
    assert images == {f"paymesh:{VERSION}"}


@both
def test_the_modules_that_containers_run_exist(where: str) -> None:
    for _, _, container in main_containers(where):
        assert "command" not in container
        module = container["args"][0]
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations:
            spec = importlib.util.find_spec(f"{module}.__main__")
        assert spec is not None, module


@both
def test_every_database_and_role_is_made_by_the_operator(where: str) -> None:
    """The same names as on one machine: an owner and an application role per service, a reader."""
    cluster = kind(where, "Cluster")["postgres"]
    roles = {role["name"]: role for role in cluster["spec"]["managed"]["roles"]}
    assert set(roles) == set(ROLES)
    assert all(role["login"] and not role.get("superuser") for role in roles.values())
    names = {body["spec"]["name"] for body in kind(where, "Database").values()}
    assert names == {f"paymesh_{service}" for service in SERVICES}


def test_a_commit_is_on_two_machines() -> None:
    [synchronous] = _fields(kind("base", "Cluster")["postgres"], "spec.postgresql.synchronous")
    assert synchronous == {"method": "any", "number": 1, "dataDurability": "required"}
    assert kind("base", "Cluster")["postgres"]["spec"]["instances"] == 3
    assert kind("base", "RabbitmqCluster")["broker"]["spec"]["replicas"] == 3


@both
def test_the_database_has_connections_for_all_pods(where: str) -> None:
    """At their largest, with one more of each while it is rolled out, and some for people."""
    scaled = kind(where, "HorizontalPodAutoscaler")
    wanted = 0
    for name, workload, container in main_containers(where):
        if workload["kind"] == "Deployment" and service_of(workload):
            pods = (
                scaled[name]["spec"]["maxReplicas"]
                if name in scaled
                else workload["spec"]["replicas"]
            )
            wanted += (pods + 1) * int(environment(where, container)["PAYMESH_DATABASE_POOL"] or 0)
    parameters = kind(where, "Cluster")["postgres"]["spec"]["postgresql"]["parameters"]
    assert 0 < wanted <= int(parameters["max_connections"]) - 30


@both
def test_every_resource_has_its_step_and_namespace(where: str) -> None:
    """The label by which `kubectl apply -k … -l paymesh/step=…` takes one step after the other."""
    steps = {"Job": "prepare", "Deployment": "run", "Service": "run", "Cluster": "servers"}
    for body in rendered(where):
        if body["kind"] != "Namespace":
            step = body["metadata"]["labels"]["paymesh/step"]
            assert step in {"servers", "prepare", "run"}
            assert steps.get(body["kind"], step) == step
            assert body["metadata"]["namespace"] == "paymesh"


def _selected(where: str, selector: dict[str, str]) -> set[str]:
    return {
        name
        for name, workload in kind(where, "Deployment").items()
        if selector.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    }


@both
def test_selectors_find_exactly_their_pods(where: str) -> None:
    """Of Deployments and disruption budgets; a Deployment without a budget is not drained well."""
    for name, workload in kind(where, "Deployment").items():
        assert _selected(where, workload["spec"]["selector"]["matchLabels"]) == {name}
    budgets = kind(where, "PodDisruptionBudget")
    assert set(budgets) >= set(kind(where, "Deployment")) - {"sandbox"}
    for name, budget in budgets.items():
        spec = budget["spec"]
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow", name
        assert spec["maxUnavailable"] == 1, name
        expected = {name} if name != "broker" else set()
        assert _selected(where, spec["selector"]["matchLabels"]) == expected
    broker = budgets["broker"]["spec"]["selector"]["matchLabels"]
    assert broker == {"app.kubernetes.io/name": "broker"}  # the operator's own label


@both
def test_what_answers_calls_scales(where: str) -> None:
    """serve and ingress by an autoscaler; nobody else fixes their number."""
    scaled = kind(where, "HorizontalPodAutoscaler")
    deployments = kind(where, "Deployment")
    assert set(scaled) == {name for name in deployments if name.endswith(("-serve", "-ingress"))}
    for name, scaler in scaled.items():
        assert scaler["spec"]["scaleTargetRef"] == {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": name,
        }
        assert "replicas" not in deployments[name]["spec"]
        least, most = scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
        assert (least, most) == (1, 1) if where == "dev" else 2 <= least < most


@both
def test_grpc_services_are_headless(where: str) -> None:
    """So that a name gives every pod, and round_robin shares the calls."""
    services = kind(where, "Service")
    for service in SERVICES:
        spec = services[service]["spec"]
        assert spec["clusterIP"] == "None"
        assert _selected(where, spec["selector"]) == {f"{service}-serve"}
    assert "clusterIP" not in services["callbacks"]["spec"]
    assert _selected(where, services["callbacks"]["spec"]["selector"]) == {"gateway-ingress"}


@both
def test_targets_name_services_and_their_ports(where: str) -> None:
    """Every address of the mesh in the settings leads to a Service of ours."""
    services = kind(where, "Service")
    seen = set()
    for _, _, container in main_containers(where):
        for name, value in environment(where, container).items():
            found = re.fullmatch(r"(?:dns:///|http://)([a-z-]+)(?::(\d+))?", value or "")
            if found:
                seen.add(name)
                [port] = services[found[1]]["spec"]["ports"]
                assert port["port"] == int(found[2] or 80), name
    expected = {"PAYMESH_PAY_TARGET", "PAYMESH_GATEWAY_TARGET", "PAYMESH_CLEARING_TARGET"}
    assert seen == expected | (
        {"PAYMESH_SANDBOX_URL", "PAYMESH_CALLBACK_BASE_URL"} if where == "dev" else set()
    )
