"""Every pod is restricted, bounded, probed, and ends in time."""

from __future__ import annotations

from typing import Any

from paymesh.db.migrate import ROOT
from tests.k8s.cluster import (
    both,
    environment,
    kind,
    main_containers,
    service_of,
    workloads,
)
from tests.k8s.kustomize import Manifest, containers, pod_of


@both
def test_the_namespace_enforces_restricted(where: str) -> None:
    labels = kind(where, "Namespace")["paymesh"]["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@both
def test_every_pod_is_restricted(where: str) -> None:
    """The restricted standard, and beyond it: read-only, no account's token, no links."""
    for name, workload in workloads(where).items():
        pod = pod_of(workload) or {}
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] == context["runAsGroup"] == 10001, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert {tuple(set(volume) - {"name"}) for volume in pod["volumes"]} <= {
            ("emptyDir",), ("secret",), ("configMap",)
        }, name  # fmt: skip
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert not any("hostPort" in port for port in container.get("ports", ())), name


@both
def test_every_container_has_bounds(where: str) -> None:
    for name, workload in workloads(where).items():
        for container in containers(workload):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}, name


@both
def test_mounts_have_volumes_and_tmp_is_writable(where: str) -> None:
    for name, workload in workloads(where).items():
        volumes = {volume["name"]: volume for volume in (pod_of(workload) or {})["volumes"]}
        for container in containers(workload):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(mounts.values()) <= set(volumes), name
            if container["name"] == "paymesh":
                assert "emptyDir" in volumes[mounts["/tmp"]], name


@both
def test_pods_end_in_their_own_time(where: str) -> None:
    """Drain 5 s, calls 15 s, a batch 10 s, confirms 5 s: below 45. No hook before it."""
    for name, workload in kind(where, "Deployment").items():
        pod = pod_of(workload) or {}
        assert pod["terminationGracePeriodSeconds"] == 45, name
        assert not any("lifecycle" in container for container in pod["containers"]), name
        if name != "sandbox":
            rolling = workload["spec"]["strategy"]["rollingUpdate"]
            assert rolling == {"maxUnavailable": 0, "maxSurge": 1}, name


def _port(name_or_number: Any, container: Manifest) -> int:
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    return int(ports.get(name_or_number, name_or_number))


@both
def test_serve_is_probed_by_grpc_under_its_own_name(where: str) -> None:
    """Ready as its service; alive as a server. Both on the port that it listens on."""
    for name, workload, container in main_containers(where):
        if not name.endswith("-serve"):
            continue
        listen = environment(where, container)["PAYMESH_LISTEN"] or ""
        probes = [container[f"{probe}Probe"]["grpc"] for probe in ("startup", "readiness",
                                                                  "liveness")]  # fmt: skip
        assert {probe["port"] for probe in probes} == {int(listen.rpartition(":")[2])}
        service = container["readinessProbe"]["grpc"]["service"]
        source = (ROOT / f"{service_of(workload)}_svc" / "bootstrap.py").read_text()
        package, _, last = service.rpartition(".")
        assert f'services_by_name["{last}"]' in source
        assert package == f"payments.{service_of(workload)}.v1"


@both
def test_http_is_probed_on_health(where: str) -> None:
    for name in ("gateway-ingress", "sandbox"):
        for found, _, container in main_containers(where):
            if found == name:
                for probe in ("startup", "readiness", "liveness"):
                    request = container[f"{probe}Probe"]["httpGet"]
                    assert request["path"] == "/health"
                    assert _port(request["port"], container) in {7080, 8080}
    ingress = kind(where, "Deployment")["gateway-ingress"]
    [container] = (pod_of(ingress) or {})["containers"]
    listen = environment(where, container)["PAYMESH_INGRESS_LISTEN"] or ""
    assert _port("http", container) == int(listen.rpartition(":")[2])


@both
def test_work_is_ready_with_its_file(where: str) -> None:
    for name, _, container in main_containers(where):
        if name.endswith("-work"):
            [command] = [container["readinessProbe"]["exec"]["command"]]
            assert command[-1] == environment(where, container)["PAYMESH_READY_FILE"]
