"""A command that starts or stops things: alone at its work, and interrupted with a clear end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from paymesh.text import escape
from paymesh_ops.cli.running import console, fail
from paymesh_ops.launch.home import home
from paymesh_ops.launch.locks import InUse
from paymesh_ops.launch.postgres import PostgresUnavailable
from paymesh_ops.launch.rabbitmq import RabbitUnavailable
from paymesh_ops.launch.work import at_work

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM, or the terminal was closed."""


@contextmanager
def alone(work: str, command: str, *, tidy: Callable[[], str]) -> Iterator[None]:
    """Holds the lock of `work` in the home meanwhile; fails, naming who does, if another does.

    When interrupted, `tidy` ends what was begun, undisturbed, and says what is left; then the
    process ends with exit code 130, whatever its threads are waiting for.
    """
    begun = False
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup and `&` of sh have it
            signal.signal(number, _interrupt)
    try:
        with at_work(home(), work, command):
            begun = True
            try:
                yield
            except Interrupted:
                _end(command, _tidied(tidy))
    except InUse as error:
        raise fail(escape(str(error))) from error
    except Interrupted:
        _end(command, "it had done its work" if begun else "it had begun nothing")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_the_loop() -> None:
    """To be called in a running loop that `alone` runs: whichever task is at work when the signal
    comes would keep Interrupted to itself; so the loop itself raises it, between its tasks."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if signal.getsignal(number) is _interrupt:
            loop.add_signal_handler(number, _raise)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted


def _raise() -> None:
    raise Interrupted


def _tidied(tidy: Callable[[], str]) -> str:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    try:
        return tidy()
    except (PostgresUnavailable, RabbitUnavailable, TimeoutError) as error:
        return f"something still runs ({error}); `paymesh down` tries again to end it"


def _end(command: str, left: str) -> NoReturn:
    console.print(f"[red]✗[/red] `{command}` was interrupted: {escape(left)}", soft_wrap=True)
    console.show_cursor()
    sys.stdout.flush()
    os._exit(INTERRUPTED)
