"""The renderer of the tests does what kustomize does, and every file of k8s/ is rendered."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from paymesh.db.migrate import ROOT
from tests.k8s.cluster import FOLDERS, both, rendered
from tests.k8s.kustomize import build, merged


def test_every_file_is_used() -> None:
    """Each file of k8s/ is named by a kustomization, or is one, or is the maker of secrets."""
    named = {ROOT / "k8s" / "make_secrets.py"}
    for path in (ROOT / "k8s").rglob("kustomization.yaml"):
        wanted = yaml.safe_load(path.read_text())
        entries = [*wanted.get("resources", ()), *(p["path"] for p in wanted.get("patches", ()))]
        for generator in wanted.get("configMapGenerator", ()):
            entries += [*generator.get("envs", ()), *generator.get("files", ())]
        named |= {path, *((path.parent / entry).resolve() for entry in entries)}
    files = {path for path in (ROOT / "k8s").rglob("*") if path.is_file()}
    assert {path for path in files if path.suffix != ".pyc"} - named == set()


def test_a_patch_merges_as_kustomize_does() -> None:
    """Lists of a pod by their key, new elements first; other lists whole; null removes."""
    old = {"a": 1, "b": 2, "env": [{"name": "x", "value": "1"}], "args": ["old"]}
    new = {"b": None, "env": [{"name": "y"}, {"name": "x", "value": "2"}], "args": ["new"]}
    assert merged(old, new) == {
        "a": 1,
        "env": [{"name": "y"}, {"name": "x", "value": "2"}],
        "args": ["new"],
    }


def test_what_the_renderer_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("helmCharts: []\n")
    with pytest.raises(AssertionError, match="helmCharts"):
        build(tmp_path)


if shutil.which("kubectl"):

    @both
    def test_kubectl_renders_the_same(where: str) -> None:
        """The real kustomize makes exactly what ours makes; only where there is a kubectl."""
        command = ["kubectl", "kustomize", str(FOLDERS[where])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        theirs = {
            (body["kind"], body["metadata"]["name"]): body
            for body in yaml.safe_load_all(done.stdout)
        }
        ours = {(body["kind"], body["metadata"]["name"]): body for body in rendered(where)}
        assert ours == theirs
