"""Runs many commands as processes of their own without importing everything for each.

`python -m tests.runtime.forking` imports what the commands import, then forks a child for each case
of its standard input ([{argv, env}], JSON) and prints [{code, out}]: exit code and all output.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

MODULES = (
    *(f"{service}_svc.bootstrap" for service in ("trade", "pay", "gateway", "clearing")),
    "paymesh.process",
    *(f"paymesh_ops.{name}" for name in ("cli.main", "launch.supervisor", "sandbox.app")),
)


def run(case: dict[str, Any]) -> int:
    """The child's part; what `python -m` would do."""
    os.environ.clear()
    os.environ.update(case["env"])
    sys.argv = list(case["argv"])
    sys.modules.pop(sys.argv[0], None)  # it runs as __main__
    try:
        runpy.run_module(case["argv"][0], run_name="__main__", alter_sys=True)
    except SystemExit as exit_:
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
            return 1
        return int(exit_.code or 0)
    except BaseException:
        traceback.print_exc()
        return 99
    return 0


def main() -> None:
    cases = json.load(sys.stdin)
    for module in MODULES:
        importlib.import_module(module)
    children = []
    for case in cases:
        output = tempfile.TemporaryFile()  # noqa: SIM115
        pid = os.fork()
        if pid == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            code = run(case)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        children.append((pid, output))
    results = []
    for pid, output in children:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        results.append({"code": code, "out": Path(f"/dev/fd/{output.fileno()}").read_text()})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
