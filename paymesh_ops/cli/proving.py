"""`paymesh prove`: the long proof, its progress, its page."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from paymesh.db.migrate import ROOT
from paymesh.text import escape
from paymesh_ops.cli.running import console, fail
from paymesh_ops.launch.home import home


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two at once would take each other's servers away, and time."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise fail("a long proof is running here already: wait for it, or end it") from None
        yield


def prove(
    steps: Annotated[
        list[str] | None, typer.Argument(metavar="[STEP]…", help="Some steps; default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="0: from today's date.")] = 0,
    patience: Annotated[
        float, typer.Option(min=0.1, help="Limits are so many times as long: slow machines.")
    ] = 1.0,
    keep_going: Annotated[
        bool, typer.Option(help="Also run what comes after a step that is red.")
    ] = True,
) -> None:
    """The long proof, an hour at most; exit 1 if a step is red or was left out.

    Runs on servers of its own. Logs, results and a page that says what was seen go to build/prove/.
    """
    from paymesh_ops.prove.display import display, print_summary
    from paymesh_ops.prove.page import write
    from paymesh_ops.prove.run import Options
    from paymesh_ops.prove.run import prove as run_steps
    from paymesh_ops.prove.steps import chosen

    now = datetime.now(UTC)
    try:
        wanted = chosen(steps or [])
    except ValueError as error:
        raise fail(escape(str(error))) from error
    folder = ROOT / "build" / "prove" / f"{now:%Y%m%d-%H%M%S}"
    options = Options(
        seed=seed or int(f"{now:%Y%m%d}"),
        folder=folder,
        home=home() / "prove",
        patience=patience,
        keep_going=keep_going,
    )
    with _alone(options.home):
        folder.mkdir(parents=True)
        usual = sum(step.usual_s for step in wanted) / 60
        console.print(f"{len(wanted)} steps, about {usual:.0f} minutes, seed {options.seed}")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with display(console, wanted) as shown:
            proof = run_steps(wanted, options, shown)
    print_summary(console, proof)
    console.print(f"page: {write(proof)}", soft_wrap=True)
    raise typer.Exit(0 if proof.proven else 1)
