"""Structured logs: one JSON line an event on stderr, with the business_id of the call at hand."""

from __future__ import annotations

import logging
import sys

import structlog


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
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(message)s")
    logging.getLogger("pika").setLevel(logging.ERROR)  # it logs every reconnect as an error
