"""`paymesh keys`: which keys encrypt what is kept, and a new one in the place of the old."""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway_svc.store import SEALED as GATEWAY_SEALED
from pay_svc.store import SEALED as PAY_SEALED
from paymesh.resealing import Progress, Vault, VaultUnreachable
from paymesh.secretbox import Key, KeyUnusable, make_key, read_keys, sync_folder
from paymesh.text import escape
from paymesh_ops.cli.running import console, fail, plan_of_running
from trade_svc.store import SEALED as TRADE_SEALED

app = typer.Typer(help="The keys of what is encrypted in the databases.", no_args_is_help=True)

SEALED = {"trade": TRADE_SEALED, "pay": PAY_SEALED, "gateway": GATEWAY_SEALED}
IN_USE_AFTER_S = 3.0
"""By then every process has looked at the files of the keys."""
REMEMBERED_S = 10.0
"""By then nobody holds a row any more as it was before it was sealed anew."""
PASSES_MAX = 50

Found = dict[str, Counter[Key | None]]


@app.command()
def status() -> None:
    """The keys, and how many rows of each service they open; exit 1 if a row opens with none.

    Of the mesh that is up here; with PAYMESH_TRADE_DATABASE_URL and the like, of those databases.
    """
    path, vaults = _where()
    with _refusing(), console.status("looks …") as line:
        keys = read_keys(path)
        found = {vault.service: vault.look(keys, line.update) for vault in vaults}
        probes = {vault.service: vault.probe_key(keys) for vault in vaults}
    table = Table("key", "id", "", *found, box=None, header_style="bold")
    for key in (*reversed(keys), None):
        about = (key.name, key.id, "seals" if key == keys[-1] else "opens") if key else ("none",)
        marks = [
            f"{of[key]:,}" + (" and the probe" if probes[service] == key else "")
            for service, of in found.items()
        ]
        table.add_row(*about, *[""] * (3 - len(about)), *marks)
    console.print(table)
    raise typer.Exit(1 if None in probes.values() or _lost(found) else 0)


@app.command()
def rotate(
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="At the end, remove the keys that open nothing.")
    ] = False,
    wait_s: Annotated[
        float,
        typer.Option(
            min=0.0, help="Keys are removed so many seconds after the newest came, not earlier."
        ),
    ] = 120.0,
) -> None:
    """Make a new key and seal everything anew with it, while the mesh works.

    Stopped anywhere, the same command goes on where it was. With --drop-old after a rotation that
    is complete, it only removes the older keys.
    """
    path, vaults = _where()
    if path is None or not path.is_dir():
        raise fail("PAYMESH_SECRET_KEY_FILE must be a folder of keys, so that there may be two")
    if drop_old and len(vaults) < len(SEALED):
        raise fail(
            "--drop-old looks at the databases of all services that encrypt, or one that was not "
            "looked at could still need a key: set PAYMESH_…_DATABASE_URL of "
            f"{', '.join(SEALED)}; where each has keys of its own, remove the file yourself"
        )
    with _refusing(), _alone(path), console.status("looks …") as line:
        keys = read_keys(path)
        _require_probes(path, keys, vaults)
        complete = all(vault.probe_key(keys) == keys[-1] for vault in vaults)
        if complete and not (drop_old and len(keys) > 1):
            made = make_key(path)
            line.stop()
            console.print(f"[green]✓[/green] the new key is {escape(str(made))}")
            line.start()
            line.update("processes take it up …")
            time.sleep(IN_USE_AFTER_S)
            keys = read_keys(path)
        found = _sealed_anew(vaults, keys, line.update)
        if drop_old:
            _wait_out(path, keys, max(wait_s, 0.0), line.update)
            found = _sealed_anew(vaults, keys, line.update)  # nothing: that is the proof
            _require_probes(path, keys[-1:], vaults)
    _tell(found, keys)
    if drop_old and len(keys) > 1:
        _drop(path, keys[:-1])
    elif len(keys) > 1:
        old = ", ".join(escape(key.name) for key in keys[:-1])
        console.print(
            f"  {old} opens nothing any more in these databases; `paymesh keys rotate --drop-old` "
            "removes it. Backups from before still need it: keep a copy as long as them",
            soft_wrap=True,
        )
    raise typer.Exit(1 if _lost(found) else 0)


@app.command()
def reseal() -> None:
    """Seal everything anew with the newest key that is there: where keys come from elsewhere.

    Of the mesh that is up here; with PAYMESH_TRADE_DATABASE_URL and the like, of those databases.
    """
    path, vaults = _where()
    with _refusing(), console.status("looks …") as line:
        keys = read_keys(path)
        _require_probes(path, keys, vaults)
        found = _sealed_anew(vaults, keys, line.update)
    _tell(found, keys)
    raise typer.Exit(1 if _lost(found) else 0)


def _where() -> tuple[Path | None, list[Vault]]:
    """The keys and the databases: those that the environment names, or of the mesh that is up."""
    names = {service: f"PAYMESH_{service.upper()}_DATABASE_URL" for service in SEALED}
    environment = {**os.environ}
    if not any(name in environment for name in names.values()):
        environment = {**plan_of_running().environment}
    path = environment.get("PAYMESH_SECRET_KEY_FILE")
    vaults = [
        Vault(service, environment[name], SEALED[service])
        for service, name in names.items()
        if name in environment
    ]
    return Path(path) if path else None, vaults


@contextmanager
def _refusing() -> Iterator[None]:
    """What an operator can mend is said in a sentence; Ctrl-C is nothing bad."""
    try:
        yield
    except (KeyUnusable, VaultUnreachable) as error:
        raise fail(escape(str(error))) from error
    except FileExistsError as error:
        raise fail("somebody else has just made a key; look with `paymesh keys status`") from error
    except OSError as error:
        raise fail(escape(f"the keys cannot be changed here: {error}")) from error
    except KeyboardInterrupt as error:
        raise fail("stopped; the same command goes on where it was") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One rotation at a time; the lock goes with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise fail("another `paymesh keys rotate` is at work") from error
    finally:
        os.close(descriptor)


def _require_probes(path: Path | None, keys: Sequence[Key], vaults: Sequence[Vault]) -> None:
    shut = [vault.service for vault in vaults if vault.probe_key(keys) is None]
    if shut:
        raise KeyUnusable(
            f"no key in {path} opens the probe of {', '.join(shut)}: put the key that was used "
            "before back there, or, if these services were never started, start them first"
        )


def _sealed_anew(vaults: Sequence[Vault], keys: Sequence[Key], say: Progress) -> Found:
    """Passes over all databases until one finds nothing of older keys; what that one found."""
    for _ in range(PASSES_MAX):
        found = {vault.service: vault.reseal(keys, say) for vault in vaults}
        if not any(of[key] for of in found.values() for key in keys[:-1]):
            for vault in vaults:
                vault.reseal_probe(keys)  # last: it says that all is done
            return found
        time.sleep(0.2)
    raise KeyUnusable(
        "some rows are still sealed by an older key, for others hold them all the time: run the "
        "same command again"
    )


def _wait_out(path: Path, keys: Sequence[Key], wait_s: float, say: Progress) -> None:
    """Waits until nobody can still write what he sealed before he knew the newest key."""
    came = (path / keys[-1].name).stat().st_ctime
    left = max(came + wait_s - time.time(), min(wait_s, REMEMBERED_S))
    until = time.monotonic() + left
    while (left := until - time.monotonic()) > 0:
        say(f"older keys are removed when nobody can still be using them: {left:.0f} s …")
        time.sleep(min(1.0, left))


def _drop(path: Path, old: Sequence[Key]) -> None:
    for key in old:
        (path / key.name).unlink()
    sync_folder(path)
    names = ", ".join(f"{key.name} ({key.id})" for key in old)
    console.print(
        f"[green]✓[/green] removed: {escape(names)}. Backups from before still need it",
        soft_wrap=True,
    )


def _tell(found: Found, keys: Sequence[Key]) -> None:
    newest = keys[-1]
    rows = ", ".join(f"{of[newest]:,} of {service}" for service, of in found.items())
    console.print(f"[green]✓[/green] all is sealed by {escape(newest.name)} ({newest.id}): {rows}")
    if lost := _lost(found):
        console.print(f"[red]✗[/red] no key opens {lost:,} rows; `paymesh keys status` says whose")


def _lost(found: Found) -> int:
    return sum(of[None] for of in found.values())
