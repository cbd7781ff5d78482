"""Makes the Secrets that the manifests name, with new random values, for `kubectl create -f -`.

`create` refuses what is there already: a second run changes nothing. Nothing is written to disk.
`--sandbox` adds the keys of the sandbox channel and of its merchant.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
from collections.abc import Mapping
from typing import Any

from paymesh.signing import generate_key_pair
from paymesh_ops.launch.provision import ROLES

NAMESPACE = "paymesh"
HOST = "postgres-rw"
"""The Service of the operator that leads to the primary."""


SEALING = ("trade", "pay", "gateway")
"""The services that keep secrets of others, each sealed under a key of its own."""


def secret(name: str, values: Mapping[str, bytes], *, type_: str = "Opaque") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            # The operator takes a new password over by itself.
            "labels": {"cnpg.io/reload": "true"} if type_ != "Opaque" else {},
        },
        "type": type_,
        "data": {key: base64.b64encode(value).decode() for key, value in values.items()},
    }


def database_secret(role: str) -> dict[str, Any]:
    """A role's password, and the URL of its service's database; the reader has no one database."""
    password = secrets.token_urlsafe(24)
    values = {"username": role, "password": password}
    if role.endswith(("_owner", "_app")):
        database = role.rpartition("_")[0]
        values["url"] = f"postgresql://{role}:{password}@{HOST}:5432/{database}?sslmode=require"
    return secret(
        role.replace("paymesh_", "database_").replace("_", "-"),
        {key: value.encode() for key, value in values.items()},
        type_="kubernetes.io/basic-auth",
    )


def sandbox_keys() -> dict[str, Any]:
    values = {}
    for name in ("sandbox", "merchant"):
        values[f"{name}.pem"], values[f"{name}.pub.pem"] = generate_key_pair()
    return secret("sandbox-keys", values)


def make(*, sandbox: bool) -> list[dict[str, Any]]:
    made = [database_secret(role) for role in ROLES]
    for service in SEALING:
        made.append(secret(f"{service}-keys", {"secret.key": secrets.token_bytes(32)}))
    return [*made, sandbox_keys()] if sandbox else made


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--sandbox"]):
        sys.exit("usage: make_secrets.py [--sandbox] | kubectl create -f -")
    if sys.stdout.isatty():
        sys.exit("these are secrets, not for a screen: pipe them to kubectl create -f -")
    items = make(sandbox="--sandbox" in sys.argv)
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout)
