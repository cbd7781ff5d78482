"""Every guard can still be taken away, and has its test; `make sabotage` does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sabotage.guard import Guard
from tests.sabotage.guards import GUARDS
from tests.sabotage.places import Edit, NoPlace, edited, find, node_of

ROOT = Path(__file__).parents[2]
EVER = frozenset(
    {
        "inbox", "state and version", "ack after commit", "confirms", "returns", "refund sum",
        "refund sum, CHECK", "hold before payout", "overdraft", "one journal an event",
        "stored refusals", "callback signature", "amount, in the gateway",
        "amount, in the payment core", "public addresses", "no redirects",
    }
)  # fmt: skip
"""Without any of these money is lost: they may be joined by others, and not leave."""


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_has_its_place_and_can_be_taken_away(guard: Guard) -> None:
    """Each edit fits once, and what is left is Python."""
    for edit in guard.edits:
        path, text = edited(ROOT, edit)
        assert text != path.read_text()


def test_every_guard_has_a_test_that_exists() -> None:
    """In one file; a test that its class inherits may stand in another."""
    texts = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]
    for guard in GUARDS:
        name = node_of(ROOT, guard.test).partition("[")[0].rpartition("::")[2]
        assert any(f"def {name}(" in text for text in texts), name


def test_guards_are_told_apart_and_none_has_left() -> None:
    names = [guard.name for guard in GUARDS]
    assert len(set(names)) == len(names)
    assert EVER - set(names) == set()


def test_reliability_has_the_table_of_guards() -> None:
    """Row by row as declared: guard, harm, test."""
    text = (ROOT / "docs" / "RELIABILITY.md").read_text()
    rows = [line for line in text.split("## Guards")[1].split("\n## ")[0].splitlines() if line]
    assert rows[-len(GUARDS) :] == [guard.row for guard in GUARDS]


# Places


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "house"
    package.mkdir()
    (package / "rooms.py").write_text(
        '''"""Été."""
LIMIT = "WHERE a = b AND c"
class Door:
    """é"""; width = 1
    def open(self, who):
        if (who  and
                self.width > 0):
            return who
    async def close(self): return self.width > 0
def open(who): return who
'''
    )
    (package / "migrations.py").write_text(
        'table(check("x > 0", name="positive"), check("y > 0", name="other"))\n'
    )
    return tmp_path


def text_at(checkout: Path, edit: Edit) -> str:
    found = find(checkout, edit)
    return found.path.read_text()[found.start : found.end]


def test_a_place_is_found_by_name_wherever_it_stands_and_however_it_is_laid_out(
    checkout: Path,
) -> None:
    edit = Edit("house:Door.open", "if (who and self.width > 0):", "if True:")
    assert text_at(checkout, edit) == "if (who  and\n                self.width > 0):"
    assert edited(checkout, edit)[1].count("if True:\n            return who") == 1
    before = checkout / "house" / "rooms.py"
    before.rename(checkout / "house" / "hall.py")
    assert find(checkout, edit).path.name == "hall.py"
    assert text_at(checkout, Edit("house:LIMIT", "a = b")) == "a = b"
    assert text_at(checkout, Edit("house.migrations:positive", "> 0")) == "> 0"
    assert find(checkout, Edit("house.migrations:other", "> 0")).start > 40


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (Edit("house:Window.open", "who"), "nothing below house is called Window.open"),
        (Edit("elsewhere:Door.open", "who"), "nothing below elsewhere"),
        (Edit("house:Door.close", "self.width > 1"), "has 0 times"),
        (Edit("house:Door.close", "dth > 0"), "has 0 times"),
        (Edit("house:Door.open", "who"), "has 3 times"),
        (Edit("house:Door.close", "return self.width > 0", "return ("), "is no Python"),
    ],
)
def test_a_guard_without_its_place_says_so(checkout: Path, edit: Edit, why: str) -> None:
    """Before anything runs: a guard that is not taken away would seem to be unnoticed."""
    with pytest.raises(NoPlace, match=why):
        edited(checkout, edit)


def test_a_test_is_named_by_one_file_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "tests").mkdir(exist_ok=True)
        (tmp_path / "tests" / f"test_{name}.py").write_text(
            f"def test_{name}(): ...\nasync def test_both(): ...\nclass Test{name}: ...\n"
        )
    assert node_of(tmp_path, "test_b[x]") == "tests/test_b.py::test_b[x]"
    assert node_of(tmp_path, "Testa::test_x") == "tests/test_a.py::Testa::test_x"
    for missing in ("test_both", "test_c", "test_"):
        with pytest.raises(NoPlace, match="files have a test"):
            node_of(tmp_path, missing)
