"""As much of `kubectl kustomize` as k8s/ uses, so that the tests need no kubectl.

Anything else in a kustomization is refused. Where there is a kubectl, a test compares with it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
}
"""Lists of a pod whose elements a patch finds by this key; every other list is replaced whole."""

FIELDS = {
    *("apiVersion", "kind", "namespace", "nameSuffix", "labels", "resources"),
    *("configMapGenerator", "images", "patches"),
}
NOT_IN_A_NAMESPACE = {"Namespace"}


@dataclass
class Resource:
    """A manifest, and the name by which other files know it."""

    name: str
    body: Manifest
    hashed: bool = False


def build(folder: Path) -> list[Manifest]:
    """The manifests of a kustomization, names and references as the cluster gets them."""
    resources = _build(folder)
    for resource in resources:
        if resource.hashed:
            resource.body["metadata"]["name"] += "-" + _hash(resource.body)
    names = {
        resource.name: resource.body["metadata"]["name"]
        for resource in resources
        if resource.body["kind"] == "ConfigMap"
    }
    for resource in resources:
        _rename(resource.body, names)
    return [resource.body for resource in resources]


def load(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _build(folder: Path) -> list[Resource]:
    [wanted] = load(folder / "kustomization.yaml")
    unknown = set(wanted) - FIELDS
    assert not unknown, f"{folder}: kustomize.py does not know {unknown}"
    resources: list[Resource] = []
    for entry in wanted.get("resources", ()):
        path = folder / entry
        if path.is_dir():
            resources += _build(path)
        else:
            resources += [Resource(body["metadata"]["name"], body) for body in load(path)]
    for generator in wanted.get("configMapGenerator", ()):
        _generate(generator, folder, resources)
    for patch in wanted.get("patches", ()):
        [change] = load(folder / patch["path"])
        for resource in resources:
            if _matches(patch["target"], resource):
                resource.body = merged(resource.body, _without_name(change))
    for resource in resources:
        _transform(resource.body, wanted)
    return resources


def _generate(generator: Manifest, folder: Path, resources: list[Resource]) -> None:
    data: dict[str, str] = {}
    for name in generator.get("envs", ()):
        lines = (folder / name).read_text().splitlines()
        data.update(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name in generator.get("files", ()):
        data[name] = (folder / name).read_text()
    if generator.get("behavior") == "merge":
        [known] = [found for found in resources if found.name == generator["name"] and found.hashed]
        known.body["data"] |= data
        return
    body = {"apiVersion": "v1", "kind": "ConfigMap", "data": data}
    body["metadata"] = {"name": generator["name"]}
    resources.append(Resource(generator["name"], body, hashed=True))


def _matches(target: Manifest, resource: Resource) -> bool:
    """Kind and name are regular expressions over the whole."""
    return bool(
        re.fullmatch(target["kind"], resource.body["kind"])
        and re.fullmatch(target.get("name", ".*"), resource.name)
    )


def _without_name(patch: Manifest) -> Manifest:
    """With a target, kind and name of a patch say nothing."""
    return {key: value for key, value in patch.items() if key not in {"apiVersion", "kind"}} | {
        "metadata": {key: value for key, value in patch["metadata"].items() if key != "name"}
    }


def merged(old: Any, new: Any, field: str = "") -> Any:
    """A strategic merge: null removes, new elements of a list come first."""
    if isinstance(old, dict) and isinstance(new, dict):
        result = dict(old)
        for key, value in new.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merged(old.get(key), value, key)
        return result
    key = MERGE_KEYS.get(field)
    if isinstance(old, list) and isinstance(new, list) and key is not None:
        changes = {element[key]: element for element in new}
        known = {element[key] for element in old}
        return [copy.deepcopy(element) for element in new if element[key] not in known] + [
            merged(element, changes.get(element[key], {})) for element in old
        ]
    return copy.deepcopy(new)


def _transform(body: Manifest, wanted: Manifest) -> None:
    metadata = body["metadata"]
    if "namespace" in wanted and body["kind"] not in NOT_IN_A_NAMESPACE:
        metadata["namespace"] = wanted["namespace"]
    metadata["name"] += wanted.get("nameSuffix", "")
    for labels in wanted.get("labels", ()):
        assert set(labels) == {"pairs"}, labels
        metadata["labels"] = metadata.get("labels", {}) | labels["pairs"]
    for image in wanted.get("images", ()):
        for container in containers(body):
            name, _, _ = container.get("image", "").partition(":")
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image['newTag']}"


def pod_of(body: Manifest) -> Manifest | None:
    """The pod's specification in a workload."""
    if body["kind"] not in {"Deployment", "Job"}:
        return None
    pod: Manifest = body["spec"]["template"]["spec"]
    return pod


def containers(body: Manifest) -> Iterator[Manifest]:
    """All containers of a workload, those that only prepare too."""
    pod = pod_of(body) or {}
    yield from pod.get("initContainers", ())
    yield from pod.get("containers", ())


def _rename(body: Manifest, names: dict[str, str]) -> None:
    """References to ConfigMaps follow their names."""
    references = [
        source["configMapRef"]
        for container in containers(body)
        for source in container.get("envFrom", ())
        if "configMapRef" in source
    ]
    volumes = (pod_of(body) or {}).get("volumes", ())
    references += [volume["configMap"] for volume in volumes if "configMap" in volume]
    for reference in references:
        reference["name"] = names[reference["name"]]


def _hash(config_map: Manifest) -> str:
    """The suffix that kustomize gives, by the data alone; no letter of it makes a word."""
    known = {"data": config_map["data"], "kind": "ConfigMap", "name": ""}
    text = json.dumps(known, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return digest.translate(str.maketrans("013ae", "ghkmt"))
