"""A pytest plugin that writes down what each test does as it does it: one JSON object a line.

`pytest -p tests.ops.prove.pytest_plugin --record FILE`. So a run that is ended in the middle has
told what passed and where it was. Lines: {"tests": how many}, {"begins": a name}, and
recording.Test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

WHY_LINES = 60
"""The end of what a failed test says is kept."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", metavar="FILE", help="write what each test does to this file")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--record")
    # The workers of xdist report to who started them.
    if file and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(Path(file)), "paymesh-recorder")


class _Recorder:
    def __init__(self, file: Path) -> None:
        self._out = file.open("w", encoding="utf-8", buffering=1)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:
            self._write(tests=len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        self._write(tests=len(ids))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(begins=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test is its call; but a setup that fails or skips, and a teardown that fails, count."""
        if report.when != "call" and report.passed:
            return
        outcome = report.outcome if report.when == "call" or report.skipped else "error"
        why = report.longreprtext.splitlines()[-WHY_LINES:] if report.failed else []
        self._write(
            name=report.nodeid,
            outcome=outcome,
            seconds=round(report.duration, 3),
            properties=dict(report.user_properties),
            why="\n".join(why),
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            why = "\n".join(report.longreprtext.splitlines()[-WHY_LINES:])
            self._write(name=report.nodeid, outcome="error", seconds=0, properties={}, why=why)

    def pytest_unconfigure(self) -> None:
        self._out.close()

    def _write(self, **line: Any) -> None:
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
