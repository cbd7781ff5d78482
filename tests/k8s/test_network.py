"""Who may talk to whom: the policies, evaluated for every pair of pods and every port."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from itertools import product

from paymesh_ops.launch.provision import SERVICES
from tests.k8s.cluster import both, environment, kind, main_containers, rendered, workloads
from tests.k8s.kustomize import Manifest

Edge = tuple[str, str, int]
PORTS = (53, 80, 443, 4369, 5432, 5672, 6443, 7000, 7080, 8000, 8080, 15672, 25672, 35675)


@dataclass(frozen=True)
class Party:
    """A pod by its labels and its namespace's, or an address outside of the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = ""
    namespace_labels: dict[str, str] = field(default_factory=dict)
    address: str = ""


def _of(namespace: str, labels: dict[str, str], **more: str) -> Party:
    known = {"kubernetes.io/metadata.name": namespace} | more
    return Party(labels=labels, namespace=namespace, namespace_labels=known)


OUTSIDE = {
    "caller": _of("shop", {}, **{"paymesh/caller": "true"}),
    "stranger": _of("default", {}),
    "dns": _of("kube-system", {"k8s-app": "kube-dns"}),
    "controller": _of("ingress-nginx", {"app.kubernetes.io/component": "controller"}),
    "postgres-operator": _of("cnpg-system", {"app.kubernetes.io/name": "cloudnative-pg"}),
    "broker-operator": _of("rabbitmq-system", {}),
    "internet": Party(address="93.184.215.14"),
    "internet6": Party(address="2606:2800::1"),
    "private": Party(address="10.1.2.3"),
    "metadata": Party(address="169.254.169.254"),
}


def parties(where: str) -> dict[str, Party]:
    """Our pods by the name of their workload, the servers' as their operators label them."""
    ours = {
        name: _of("paymesh", workload["spec"]["template"]["metadata"]["labels"])
        for name, workload in workloads(where).items()
    }
    ours["postgres"] = _of("paymesh", {"cnpg.io/cluster": "postgres"})
    labels = {f"app.kubernetes.io/{key}": "rabbitmq" for key in ("component", "part-of")}
    ours["broker"] = _of("paymesh", labels | {"app.kubernetes.io/name": "broker"})
    return ours | OUTSIDE


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def _is_peer(peer: Manifest, party: Party) -> bool:
    """Whether an element of `from` or `to` means the party."""
    if "ipBlock" in peer:
        if not party.address:
            return False
        address = ipaddress.ip_address(party.address)
        blocks = [ipaddress.ip_network(peer["ipBlock"]["cidr"])]
        blocks += map(ipaddress.ip_network, peer["ipBlock"].get("except", ()))
        return address in blocks[0] and not any(address in block for block in blocks[1:])
    if party.address:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], party.namespace_labels):
            return False
    elif party.namespace != "paymesh":
        return False
    return selects(peer.get("podSelector", {}), party.labels)


def _is_port(rule: Manifest, port: int) -> bool:
    return any(
        entry["port"] <= port <= entry.get("endPort", entry["port"]) for entry in rule["ports"]
    )


def _allows(policies: list[Manifest], way: str, own: Party, other: Party, port: int) -> bool:
    """One side's word. Who is selected by no policy, or is not in our namespace, is free."""
    if own.namespace != "paymesh":
        return True
    peers = "from" if way == "Ingress" else "to"
    rules = []
    concerned = False
    for policy in policies:
        spec = policy["spec"]
        if way in spec["policyTypes"] and selects(spec["podSelector"], own.labels):
            concerned = True
            rules += spec.get(way.lower(), ())
    return not concerned or any(
        _is_port(rule, port)
        and (peers not in rule or any(_is_peer(peer, other) for peer in rule[peers]))
        for rule in rules
    )


def edges(where: str) -> set[Edge]:
    """(who, whom, port) of all that the policies allow."""
    policies = [body for body in rendered(where) if body["kind"] == "NetworkPolicy"]
    known = parties(where)
    return {
        (source, target, port)
        for (source, target), port in product(product(known, known), PORTS)
        if {source, target} - set(OUTSIDE)
        and _allows(policies, "Egress", known[source], known[target], port)
        and _allows(policies, "Ingress", known[target], known[source], port)
    }


def wanted(where: str) -> set[Edge]:
    """What the architecture draws."""
    names = set(workloads(where))
    ours = names | {"postgres", "broker"}
    running = {f"{service}-{role}" for service in SERVICES for role in ("serve", "work")}
    running.add("gateway-ingress")
    jobs = {name for name in names if "-migrate-" in name}
    topology = names - running - jobs - {"sandbox"}
    gateway = {"gateway-serve", "gateway-work", "gateway-ingress"}
    found = {(name, "dns", 53) for name in ours}
    found |= {("caller", name, 7000) for name in ("trade-serve", "gateway-serve")}
    for role in ("serve", "work"):
        found |= {(f"{caller}-{role}", "pay-serve", 7000) for caller in ("trade", "clearing")}
        found |= {(f"pay-{role}", f"{callee}-serve", 7000) for callee in ("gateway", "clearing")}
        found.add((f"trade-{role}", "clearing-serve", 7000))
    found.add(("controller", "gateway-ingress", 8080))
    for source in {*gateway, "trade-work"}:
        found |= {(source, target, 443) for target in ("internet", "internet6")}
    found |= {(name, "postgres", 5432) for name in running | jobs}
    found |= {(name, "broker", 5672) for name in running | topology}
    # The servers among themselves, with their operators, and with the API server.
    found |= {(name, "postgres", port) for name in ("postgres", "postgres-operator")
              for port in (5432, 8000)}  # fmt: skip
    found |= {("broker", "broker", port) for port in (4369, 25672, 35675)}
    found.add(("broker-operator", "broker", 15672))
    found |= {(name, target, port) for name in ("postgres", "broker") for port in (443, 6443)
              for target in OUTSIDE}  # fmt: skip
    if where == "dev":
        found |= {(name, "sandbox", 7080) for name in gateway}
        found.add(("sandbox", "gateway-ingress", 8080))
    return found


@both
def test_the_policies_allow_exactly_the_edges_of_the_architecture(where: str) -> None:
    """Nothing more, nothing less; what leaves must be let in on the other side too."""
    allowed, expected = edges(where), wanted(where)
    assert sorted(allowed - expected) == []
    assert sorted(expected - allowed) == []


@both
def test_every_target_in_the_settings_may_be_reached(where: str) -> None:
    """Each process may call what its settings name, on the port that they name."""
    allowed = edges(where)
    services = kind(where, "Service")
    calls = 0
    for name, _, container in main_containers(where):
        for variable, value in environment(where, container).items():
            if variable.endswith("_TARGET") or variable == "PAYMESH_SANDBOX_URL":
                host, _, port = (value or "").rpartition("/")[2].partition(":")
                selector = services[host]["spec"]["selector"]
                pods = [
                    pod for pod, party in parties(where).items()
                    if selects({"matchLabels": selector}, party.labels)
                ]  # fmt: skip
                assert pods, variable
                assert {(name, pod, int(port)) for pod in pods} <= allowed, variable
                calls += 1
    assert calls == (10 if where == "base" else 13)


def test_without_the_policies_everything_may_talk() -> None:
    """The evaluation itself: with none of them strangers get in, with the first alone nobody."""
    stranger, trade = parties("base")["stranger"], parties("base")["trade-serve"]
    assert _allows([], "Ingress", trade, stranger, 7000)
    deny = kind("base", "NetworkPolicy")["default-deny"]
    assert not _allows([deny], "Ingress", trade, stranger, 7000)
    assert not _allows([deny], "Egress", trade, stranger, 7000)
