"""What processes are told: settings that exist, files that are mounted, no secret in a manifest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from functools import cache
from urllib.parse import urlsplit

import kubernetes_validate

from paymesh.db.migrate import ROOT
from tests.k8s.cluster import (
    both,
    environment,
    kind,
    main_containers,
    rendered,
    service_of,
    settings_of,
    workloads,
)
from tests.k8s.kustomize import containers, pod_of

NOT_OURS = {"FORWARDED_ALLOW_IPS"}
"""What others read from the environment: uvicorn."""


@both
def test_every_variable_is_a_setting_of_its_service(where: str) -> None:
    for name, workload, _ in main_containers(where):
        service = service_of(workload)
        if not service:
            continue
        known = {f"PAYMESH_{field.upper()}" for field in settings_of(service).model_fields}
        for container in containers(workload):
            found = set(environment(where, container)) - NOT_OURS
            assert found <= known, name


@both
def test_what_a_service_needs_is_set(where: str) -> None:
    """Its database, its broker, its targets; the key where it keeps secrets of others."""
    for name, workload, container in main_containers(where):
        service = service_of(workload)
        if not service or workload["kind"] != "Deployment":
            continue
        found = set(environment(where, container))
        needed = {f"PAYMESH_{service.upper()}_DATABASE_URL", "PAYMESH_AMQP_URL", "PAYMESH_LISTEN"}
        fields = settings_of(service).model_fields
        needed |= {f"PAYMESH_{field.upper()}" for field in fields if field.endswith("_target")}
        sources = (ROOT / f"{service}_svc").rglob("*.py")
        if any("settings.secret_key_file" in path.read_text() for path in sources):
            needed.add("PAYMESH_SECRET_KEY_FILE")
        assert needed <= found, name
        assert f"PAYMESH_{service.upper()}_OWNER_URL" not in found, name


@both
def test_files_that_settings_name_are_mounted(where: str) -> None:
    """By a Secret that has them."""
    made = _made_secrets()
    for name, workload, container in main_containers(where):
        volumes = {volume["name"]: volume for volume in (pod_of(workload) or {})["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        variables = environment(where, container)
        paths = [value for key, value in variables.items() if key.endswith("_KEY_FILE") and value]
        paths += re.findall(r"=(/keys/\S+)", " ".join(container["args"]))
        for path in paths:
            folder, _, file = path.rpartition("/")
            if path in mounts:  # a folder of keys
                folder, file = path, "secret.key"
            source = volumes[mounts[folder]]["secret"]
            shown = {item["path"]: item["key"] for item in source.get("items", ())} or {file: file}
            assert shown[file] in made[source["secretName"]], name


Secrets = dict[str, dict[str, str]]


def _make_secrets() -> Secrets:
    """What k8s/make_secrets.py makes: the data of each Secret, by name."""
    command = [sys.executable, str(ROOT / "k8s" / "make_secrets.py"), "--sandbox"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    items = json.loads(done.stdout)["items"]
    for item in items:
        assert kubernetes_validate.validate(item, "1.29", strict=True)
    return {item["metadata"]["name"]: item["data"] for item in items}


@cache
def _made_secrets() -> Secrets:
    return _make_secrets()


def _references(where: str) -> set[tuple[str, str]]:
    """(Secret, key) that pods and operators ask for."""
    found = set()
    for workload in workloads(where).values():
        for container in containers(workload):
            for variable in container.get("env", ()):
                reference = variable["valueFrom"]["secretKeyRef"]
                found.add((reference["name"], reference["key"]))
        for volume in (pod_of(workload) or {})["volumes"]:
            if "secret" in volume:
                keys = [item["key"] for item in volume["secret"].get("items", ())]
                name = volume["secret"]["secretName"]
                found |= {(name, key) for key in keys or ["secret.key"]}
    for role in kind(where, "Cluster")["postgres"]["spec"]["managed"]["roles"]:
        name = role["passwordSecret"]["name"]
        found |= {(name, "username"), (name, "password")}
    return found


def test_every_secret_is_made_by_the_script_or_the_broker() -> None:
    """And the script makes none that nobody asks for."""
    wanted = _references("dev")
    made = {(name, key) for name, data in _made_secrets().items() for key in data}
    assert wanted - made == {("broker-default-user", "connection_string")}
    assert {name for name, _ in made} == {name for name, _ in wanted} - {"broker-default-user"}
    assert _references("base") <= wanted


def test_new_secrets_are_new_each_time() -> None:
    first, second = _made_secrets(), _make_secrets()
    for name, data in first.items():
        assert data != second[name], name


def test_database_urls_lead_to_the_database_of_the_role() -> None:
    for name, data in _made_secrets().items():
        if "url" in data:
            url = urlsplit(b64decode(data["url"]).decode())
            user = b64decode(data["username"]).decode()
            assert (url.hostname, url.port) == ("postgres-rw", 5432)
            assert url.username == user
            assert url.path == "/" + user.rpartition("_")[0]
            assert user.replace("_", "-") == name.replace("database-", "paymesh-")


@both
def test_no_secret_is_written_in_a_manifest(where: str) -> None:
    """Secrets are named, never made here; nothing that looks like one is a plain value."""
    assert kind(where, "Secret") == {}
    words = re.compile(r"(PASSWORD|SECRET|TOKEN|_KEY|DATABASE_URL|OWNER_URL|AMQP_URL)$")
    for name, workload in workloads(where).items():
        for container in containers(workload):
            for variable, value in environment(where, container).items():
                assert value is None or not words.search(variable), (name, variable)
    text = json.dumps(rendered(where))
    assert not re.search(r"://[^/\s\"]*:[^/\s\"]*@", text)
    assert "PRIVATE KEY" not in text
