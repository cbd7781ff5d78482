"""Keeps a mesh running in the background: `python -m paymesh_ops.launch.supervisor HOME TICKET`.

Started by `paymesh up`, ended by `paymesh down` (SIGTERM); it ends by itself when it is not wanted
any more. There is one per home: it holds a lock for as long as it lives.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from paymesh.bus.topology import Topology
from paymesh.process import DEFINITIONS
from paymesh.settings import SettingsWrong, require_all
from paymesh_ops.launch.living import end_processes
from paymesh_ops.launch.locks import InUse, held
from paymesh_ops.launch.mesh import REFUSALS, Mesh, MeshNotReady, prepare
from paymesh_ops.launch.state import State, is_wanted
from paymesh_ops.launch.tending import tend_servers
from paymesh_ops.launch.work import SUPERVISOR, lock_of

_POLL_S = 0.2
_WRONG = (*REFUSALS, MeshNotReady, TimeoutError)


class _Stopped(BaseException):
    """SIGTERM or SIGINT, once."""


def main() -> None:
    """Says in the state file how far it is, then tends what it has started."""
    home, ticket = Path(sys.argv[1]), sys.argv[2]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        require_all()
        if not is_wanted(home, ticket):
            return
        with held(lock_of(home, SUPERVISOR), "paymesh up's supervisor"):
            _run(home, ticket)
    except (InUse, SettingsWrong) as error:
        sys.exit(str(error))
    except _Stopped:
        print("stopped", flush=True)


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # what is undone now is not disturbed
    raise _Stopped


def _run(home: Path, ticket: str) -> None:
    steps: list[str] = []

    def progress(step: str) -> None:
        steps.append(step)
        State("starting", tuple(steps)).write(home)

    try:
        progress("the supervisor")
        end_processes(home)
        mesh = Mesh(prepare(home, progress=progress))
        servers = tend_servers(home, Topology.load(DEFINITIONS))
        try:
            mesh.start(progress=progress)
            State("ready", tuple(steps), servers).write(home)
            while is_wanted(home, ticket):
                for name in mesh.tend():
                    print(f"started {name} again", flush=True)
                time.sleep(_POLL_S)
        finally:
            mesh.stop()
    except _WRONG as error:
        State("failed", tuple(steps), error=str(error)).write(home)
        sys.exit(f"failed: {error}")


if __name__ == "__main__":
    main()
