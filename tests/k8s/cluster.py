"""What the two kustomizations make, by kind and name, for the tests to ask."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import pytest

from paymesh.db.migrate import ROOT
from paymesh.settings import ServiceSettings
from tests.k8s.kustomize import Manifest, build, pod_of

FOLDERS = {"base": ROOT / "k8s" / "base", "dev": ROOT / "k8s" / "overlays" / "dev"}

both = pytest.mark.parametrize("where", sorted(FOLDERS))


@cache
def _rendered(where: str) -> list[Manifest]:
    return build(FOLDERS[where])


def rendered(where: str) -> list[Manifest]:
    return copy.deepcopy(_rendered(where))


def kind(where: str, *kinds: str) -> dict[str, Manifest]:
    """The manifests of these kinds, by name."""
    return {
        body["metadata"]["name"]: body for body in rendered(where) if body["kind"] in set(kinds)
    }


def workloads(where: str) -> dict[str, Manifest]:
    """What has pods, by name. Those of PostgreSQL and RabbitMQ are their operators' concern."""
    return {body["metadata"]["name"]: body for body in rendered(where) if pod_of(body) is not None}


def settings_of(service: str) -> type[ServiceSettings]:
    found: Any = getattr(
        import_module(f"{service}_svc.settings"), f"{service.capitalize()}Settings"
    )
    return found


def environment(where: str, container: Manifest) -> dict[str, str | None]:
    """What a container finds in its environment; None for what comes from a Secret."""
    maps = kind(where, "ConfigMap")
    found: dict[str, str | None] = {}
    for source in container.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]["data"]
    for variable in container.get("env", ()):
        found[variable["name"]] = variable.get("value")
    return found


def service_of(workload: Manifest) -> str:
    """trade, pay, gateway or clearing; "" for a workload of none."""
    module = _main(workload).get("args", [""])[0]
    return str(module.removesuffix("_svc")) if module.endswith("_svc") else ""


def role_of(workload: Manifest) -> str:
    return str(_main(workload)["args"][1])


def _main(workload: Manifest) -> Manifest:
    [container] = (pod_of(workload) or {})["containers"]
    return container


def main_containers(where: str) -> Iterator[tuple[str, Manifest, Manifest]]:
    """(name of the workload, workload, its container)."""
    for name, workload in workloads(where).items():
        yield name, workload, _main(workload)
