"""Keeps a mesh running in the background: `python -m paymesh.launch.supervisor HOME`.

Started by `paymesh up`, ended by `paymesh down` (SIGTERM to its recorded process id).
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from paymesh.launch.home import write_atomically
from paymesh.launch.mesh import REFUSALS, Mesh, MeshNotReady, prepare
from paymesh.settings import SettingsWrong, require_all

STATE_FILE = "supervisor.state"


def main() -> None:
    """Writes `starting`, then `ready` or `failed: …` to its state file."""
    home = Path(sys.argv[1])
    state = home / STATE_FILE
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        require_all()
        mesh = Mesh(prepare(home))
    except (SettingsWrong, *REFUSALS) as error:
        write_atomically(state, f"failed: {error}")
        sys.exit(str(error))
    try:
        mesh.start()
    except MeshNotReady as error:
        mesh.stop()
        write_atomically(state, f"failed: {error}")
        sys.exit(1)
    write_atomically(state, "ready")
    while not stopping:
        for name in mesh.tend():
            print(f"started {name} again", flush=True)
        time.sleep(0.2)
    mesh.stop()
    write_atomically(state, "stopped")


if __name__ == "__main__":
    main()
