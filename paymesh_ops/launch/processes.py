"""Start a server that outlives us, and find, signal and await it by process id, never by name."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

_POLL_S = 0.02
_SPAWN_TIMEOUT_S = 60.0
_PS_TIMEOUT_S = 5.0
_HELPFUL_CHARS_MAX = 300
_PF_EXITING = 0x4  # linux/sched.h


@dataclass(frozen=True)
class Account:
    """An operating system user to run a server as."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Who a server that refuses root runs as: nobody if we are root, else None (ourselves)."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


_BECOME = (
    "import os, sys; gid, uid = map(int, sys.argv[1:3]); os.setgroups([]); os.setgid(gid); "
    # libfaketime puts it there, for the memory that another user cannot open.
    "os.environ.pop('FAKETIME_SHARED', None); "
    "os.setuid(uid); os.execv(sys.argv[3], sys.argv[3:])"
)


def _as(account: Account | None, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` as somebody else. subprocess's own `user` forks, and gRPC's
    handlers may crash such a child when gRPC is at work in this process."""
    if account is None:
        return list(argv)
    ids = [str(account.gid), str(account.uid)]
    return [sys.executable, "-I", "-S", "-c", _BECOME, *ids, *argv]


def spawn(
    argv: Sequence[str | Path],
    *,
    directory: Path,
    log: Path,
    env: Mapping[str, str],
    account: Account | None = None,
) -> int:
    """Start a detached process in `directory`, its output appended to `log`; returns its pid.

    It gets a session of its own and init as its parent: Ctrl-C at our terminal does not reach it,
    it outlives us, and nobody has to reap it. Raises OSError, subprocess.SubprocessError.
    """
    with log.open("ab") as output:
        shell = subprocess.run(
            _as(
                account,
                ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", *map(str, argv)],
            ),
            cwd=directory,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            timeout=_SPAWN_TIMEOUT_S,
            check=True,
        )
    return int(shell.stdout)


def command_of(pid: int) -> str | None:
    """The command line of a process; None if it is gone (a zombie is), "" while it is exiting."""
    if not Path("/proc/self/stat").exists():
        return _command_from_ps(pid)
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # After the name in parentheses: state, five ids, flags, …; the number of threads is the 18th.
    fields = stat.rpartition(b")")[2].split()
    state, flags, threads = fields[0], int(fields[6]), int(fields[17])
    if state in (b"Z", b"X") and threads <= 1:
        return None
    if state in (b"Z", b"X") or flags & _PF_EXITING:
        return ""  # its memory is gone, its sockets may still be open
    return b" ".join(words).decode(errors="replace").strip() or f"[{pid}]"


def find(marker: str) -> dict[int, str]:
    """Living processes, without ourselves, with `marker` in their command line: it by their id."""
    if not Path("/proc/self/stat").exists():
        return _found_by_ps(marker)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    commands = {pid: command_of(pid) or "" for pid in pids if pid != os.getpid()}
    return {pid: command for pid, command in commands.items() if marker in command}


def end(marker: str, *, polite_s: float = 0.0, kill_s: float = 10.0) -> None:
    """Ends all processes with the marker: SIGTERM, after `polite_s` seconds SIGKILL.

    Also one that is being started at the moment: it is over when nothing is found twice.
    Raises TimeoutError if one cannot be killed.
    """
    polite_until = time.monotonic() + polite_s
    nothing = 0
    while nothing < 2:
        found = find(marker)
        nothing = 0 if found else nothing + 1
        polite = time.monotonic() < polite_until
        for pid in found:
            send(pid, marker, signal.SIGTERM if polite else signal.SIGKILL)
        for pid in found:
            left_s = max(0.0, polite_until - time.monotonic()) if polite else kill_s
            if not wait_until_gone(pid, marker, timeout_s=left_s) and not polite:
                raise TimeoutError(f"process {pid} cannot be killed: {found[pid][:200]}")


def working_in(directory: Path) -> list[int]:
    """Processes whose working directory it is, as far as we may know; none where no /proc is."""
    place, found = directory.resolve(), []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if entry.readlink() == place:
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it ended while we looked, or is somebody else's
    return found


def exists(pid: int) -> bool:
    """Whether the process id is taken, be it by a zombie or by somebody else's process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_running(pid: int, marker: str) -> bool:
    """Whether `pid` is alive and still the process we mean: `marker` is in its command line."""
    return marker in (command_of(pid) or "")


def send(pid: int, marker: str, signum: signal.Signals) -> None:
    """Signal the process if it is still the one we mean; one that is gone is no error."""
    if is_running(pid, marker):
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            return  # it ended between the look and the signal


def wait_until_gone(pid: int, marker: str, *, timeout_s: float) -> bool:
    """Whether the process ended within `timeout_s` seconds, so that its ports are free again."""
    deadline = time.monotonic() + timeout_s
    while (command := command_of(pid)) is not None:
        if command and marker not in command:
            return True  # the pid belongs to another process by now
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def tail(file: Path, *, offset: int = 0, bytes_max: int = 2_000) -> str:
    """The last `bytes_max` bytes that were written to a log after `offset`, for a message."""
    if not file.exists():
        return ""
    with file.open("rb") as log:
        log.seek(max(offset, file.stat().st_size - bytes_max))
        return log.read(bytes_max).decode(errors="replace").strip()


def _found_by_ps(marker: str) -> dict[int, str]:
    """As find, where there is no /proc (macOS)."""
    listed = subprocess.run(
        ["ps", "-axo", "pid=,command="],
        capture_output=True,
        text=True,
        timeout=_PS_TIMEOUT_S,
        check=True,
    )
    lines = (line.strip().partition(" ") for line in listed.stdout.splitlines())
    return {
        int(pid): command
        for pid, _, command in lines
        if marker in command and int(pid) != os.getpid()
    }


def _command_from_ps(pid: int) -> str | None:
    """As command_of, where there is no /proc (macOS)."""
    listed = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=_PS_TIMEOUT_S,
        check=False,  # 1 says that there is no such process
    )
    status, _, command = listed.stdout.strip().partition(" ")
    return None if not status or status.startswith("Z") else command.strip()


def first_helpful_line(said: str) -> str:
    """What a log says went wrong: the error that the first traceback ends with, else its last line.

    An error may have several lines; they are made one, cut where it is long.
    """
    lines = [line for line in said.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if line.startswith("Traceback "):
            # Frames are indented; from the next line that is not it is the error.
            error = list(dropwhile(lambda later: later.startswith(" "), lines[number + 1 :]))
            return " ".join(" ".join(error).split())[:_HELPFUL_CHARS_MAX]
    return lines[-1][:_HELPFUL_CHARS_MAX] if lines else ""
