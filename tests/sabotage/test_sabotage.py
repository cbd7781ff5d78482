"""The patches that take guards away still fit the code; `make sabotage` runs them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sabotage", ROOT / "scripts" / "sabotage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sabotage = _script()


@pytest.mark.parametrize("patch", sabotage.PATCHES, ids=lambda patch: patch.stem)
def test_a_patch_still_applies_and_names_tests_that_exist(patch: Path, tmp_path: Path) -> None:
    sabotage.copied(tmp_path)
    assert sabotage.applies(patch, tmp_path, check=True)
    assert [name for name in sabotage.tests_of(patch) if not (ROOT / name).is_file()] == []


def test_there_are_patches() -> None:
    assert len(sabotage.PATCHES) >= 3
