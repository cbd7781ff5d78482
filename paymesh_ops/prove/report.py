"""What page and terminal have in common: the end of a log, and the command that repeats a step."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from paymesh.db.migrate import ROOT
from paymesh_ops.launch.processes import tail
from paymesh_ops.prove.run import Ended, Proof

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def repeated(proof: Proof, ended: Ended | None = None) -> str:
    """The command that runs a step, or all of them, with the same seed."""
    names = [e.step.name for e in proof.ended] if ended is None else [ended.step.name]
    return f".venv/bin/paymesh prove {' '.join(names)} --seed {proof.seed}"


def end_of_log(ended: Ended, lines: int) -> str:
    """Its last lines."""
    if ended.log is None:
        return ""
    text = tail(ended.log, bytes_max=200 * lines)
    return impersonal("\n".join(text.splitlines()[-lines:]))


def impersonal(text: str) -> str:
    """Without colours, and without what tells whose machine it is: folders and the host's name."""
    text = _ANSI.sub("", text).replace(f"{ROOT}/", "").replace(str(ROOT), ".")
    text = text.replace(str(Path.home()), "~")
    host = socket.gethostname()
    return re.sub(rf"\b{re.escape(host)}\b", "host", text) if host != "localhost" else text
