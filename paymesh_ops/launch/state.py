"""What the supervisor tells the commands, and which one is wanted at all: two small files."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from paymesh_ops.launch.home import write_atomically

Phase = Literal["starting", "ready", "failed"]


@dataclass(frozen=True)
class State:
    """How far the mesh is. `steps` were begun, the last is at work; `servers` are looked after."""

    phase: Phase
    steps: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    error: str = ""

    def write(self, home: Path) -> None:
        write_atomically(home / "supervisor.state", json.dumps(asdict(self)))


def read_state(home: Path) -> State | None:
    """None if no supervisor has said anything yet."""
    try:
        said = json.loads((home / "supervisor.state").read_bytes())
    except FileNotFoundError:
        return None
    return State(said["phase"], tuple(said["steps"]), tuple(said["servers"]), said["error"])


def want(home: Path) -> str:
    """From now on only the supervisor with this ticket is wanted, and it has said nothing yet."""
    (home / "supervisor.state").unlink(missing_ok=True)
    ticket = secrets.token_hex(8)
    write_atomically(home / "supervisor.wanted", ticket)
    return ticket


def want_none(home: Path) -> None:
    """One that was spawned, but has not begun yet when all others are ended, must not begin."""
    (home / "supervisor.wanted").unlink(missing_ok=True)


def is_wanted(home: Path, ticket: str) -> bool:
    try:
        return (home / "supervisor.wanted").read_text() == ticket
    except FileNotFoundError:
        return False
