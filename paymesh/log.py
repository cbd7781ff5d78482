"""Structured logs: one JSON line an event on stderr, with the business_id of the call at hand."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from types import TracebackType
from typing import Any

import structlog

from paymesh.db.errors import silence


def rendered(exc_info: Any) -> str:
    """A traceback in which no database's error tells what is in a row."""
    silence(exc_info[1])
    return "".join(traceback.format_exception(*exc_info)).rstrip()


class _Formatter(logging.Formatter):
    """For what libraries log by themselves."""

    def format(self, record: logging.LogRecord) -> str:
        for value in record.args if isinstance(record.args, tuple) else ():
            silence(value if isinstance(value, BaseException) else None)
        return super().format(record)

    def formatException(self, ei: Any) -> str:
        return rendered(ei)


def tell_of_task(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's exception handler, for tasks whose exception nobody wanted."""
    silence(context.get("exception"))
    loop.default_exception_handler(context)


def _tell_the_end(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """For what nobody caught."""
    print(rendered((kind, error, trace)), file=sys.stderr)


def start(role: str, *, level: str = "INFO", human: bool = False) -> None:
    """Sets the process's logs up. `human`: coloured lines instead of JSON."""
    renderer = (
        structlog.dev.ConsoleRenderer()
        if human
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(rendered),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    sys.excepthook = _tell_the_end
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # each reconnect is an error to it
