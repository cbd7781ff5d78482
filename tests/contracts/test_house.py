"""The house itself: no file that nobody reads to its end. Which room may know which other one is
said by import contracts in pyproject.toml."""

from __future__ import annotations

from tests.contracts.test_contracts import CODE, ROOT

LINES_MAX = 400


def test_no_file_is_too_long_to_be_read() -> None:
    files = [path for room in (*CODE, "tests", "scripts") for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 400
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in files}
    assert {name: count for name, count in lines.items() if count > LINES_MAX} == {}
