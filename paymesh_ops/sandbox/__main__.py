"""`python -m paymesh_ops.sandbox`: the sandbox channel as one process.

It prints one line on stdout when it serves, logs to stderr, stops gracefully on SIGTERM (exit 0),
and may be killed at any moment: what it has answered is in the book.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvicorn
import uvloop

from paymesh.settings import SettingsWrong, require_known
from paymesh.signing import Signer, Verifier, serial_of
from paymesh_ops.sandbox.app import SandboxApp
from paymesh_ops.sandbox.book import BookError
from paymesh_ops.sandbox.callbacks import LADDER_S, CallbackLimits
from paymesh_ops.sandbox.faults import Faults
from paymesh_ops.sandbox.service import Sandbox

CONCURRENCY_MAX = 4000
STOP_TIMEOUT_S = 5
DEFAULT_LADDER = ",".join(f"{wait_s:g}" for wait_s in LADDER_S)


class _Server(uvicorn.Server):
    """uvicorn that says when it is ready and lets go of held answers when it stops."""

    def __init__(self, config: uvicorn.Config, app: SandboxApp, ready_line: str) -> None:
        super().__init__(config)
        self._app = app
        self._ready_line = ready_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            print(self._ready_line, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.stopping.set()
        await super().shutdown(sockets)


def main(
    book: Annotated[Path, typer.Option(help="Folder of the book; made if missing.")],
    key: Annotated[Path, typer.Option(help="The channel's private key (PEM).")],
    merchant_key: Annotated[
        list[Path], typer.Option(help="A public key of the merchant (PEM); may be repeated.")
    ],
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public_url: Annotated[
        str, typer.Option(help="How payers reach it; http://HOST:PORT if not given.")
    ] = "",
    faults: Annotated[
        Path | None, typer.Option(help="Knobs at start (JSON), as PUT /admin/faults takes them.")
    ] = None,
    callback_ladder_s: Annotated[
        str, typer.Option(help="Seconds between tries of a callback, with commas.")
    ] = DEFAULT_LADDER,
    callback_timeout_s: Annotated[
        float, typer.Option(min=0.05, max=60, help="A try that takes longer has failed.")
    ] = 5.0,
) -> None:
    """Run the sandbox channel. Keys have the serial that follows from them (signing.serial_of)."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        require_known()
        limits = CallbackLimits(ladder_s=_ladder(callback_ladder_s), timeout_s=callback_timeout_s)
        knobs = Faults()
        if faults is not None:
            knobs.replace(json.loads(faults.read_bytes()))
        signer = Signer(key.read_bytes())
        merchants = [path.read_bytes() for path in merchant_key]
        verifier = Verifier({serial_of(pem): pem for pem in merchants})
        listener = socket.create_server((host, port), backlog=2048)
    except (OSError, ValueError, SettingsWrong) as error:
        sys.exit(f"the sandbox cannot start: {error}")
    url = public_url.rstrip("/") or f"http://{host}:{listener.getsockname()[1]}"

    # uvicorn raises the signal again after it has stopped; with these it ends as an exit 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ok = runner.run(_serve(listener, url, book, signer, verifier, knobs, limits))
    raise SystemExit(0 if ok else 1)


async def _serve(
    listener: socket.socket,
    url: str,
    book: Path,
    signer: Signer,
    verifier: Verifier,
    faults: Faults,
    limits: CallbackLimits,
) -> bool:
    """Serve until told to stop; False if it could not start or the book has failed."""
    try:
        sandbox = Sandbox(book_folder=book, signer=signer, faults=faults, limits=limits)
    except (BookError, OSError) as error:
        print(f"the book cannot be opened: {error}", file=sys.stderr)
        return False
    broken = False

    def stop_broken() -> None:
        # Memory is ahead of the disk; only a restart from the book makes it true again.
        nonlocal broken
        broken = True
        server.should_exit = True

    app = SandboxApp(
        sandbox, signer=signer, verifier=verifier, public_url=url, on_failure=stop_broken
    )
    config = uvicorn.Config(
        app.asgi,
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONCURRENCY_MAX,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )
    orders = len(sandbox.state.orders)
    server = _Server(config, app, f"sandbox ready {url} serial={signer.serial} orders={orders}")
    await server.serve(sockets=[listener])
    return server.started and not broken


def _ladder(text: str) -> tuple[float, ...]:
    waits = tuple(float(part) for part in text.split(",") if part.strip())
    if len(waits) > 50 or not all(0 <= wait_s <= 3600 for wait_s in waits):
        raise ValueError("the ladder has at most 50 rungs of 0 to 3600 s")
    return waits


if __name__ == "__main__":
    typer.run(main)
