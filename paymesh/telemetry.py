"""Traces: off unless an exporter is named; then every hop, batch and effect has its span.

PAYMESH_TRACES: `none` (default), `otlp` (OTEL_EXPORTER_OTLP_ENDPOINT says where) or `console`.
A batch has one span with links to the spans that its items came from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Exporter = Literal["none", "otlp", "console"]
_propagator = TraceContextTextMapPropagator()
_enabled = False


def start(service: str, exporter: Exporter, *, to: SpanExporter | None = None) -> None:
    """Sets the process's tracer up. `to` gives an exporter of one's own (tests)."""
    global _enabled
    if exporter == "none" and to is None:
        return
    if to is None:
        if exporter == "otlp":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

            to = OTLPSpanExporter()
        else:
            to = ConsoleSpanExporter()
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(
            TracerProvider(resource=Resource.create({"service.name": service}))
        )
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(BatchSpanProcessor(to))
    _enabled = True


def enabled() -> bool:
    return _enabled


def flush() -> None:
    """Sends what is buffered; at shutdown."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.force_flush(5000)


def server_interceptors() -> list[Any]:
    """opentelemetry-instrumentation-grpc for aio servers, where tracing is on."""
    if not _enabled:
        return []
    from opentelemetry.instrumentation.grpc import aio_server_interceptor

    return [aio_server_interceptor()]  # type: ignore[no-untyped-call]


def client_interceptors() -> list[Any]:
    """opentelemetry-instrumentation-grpc for aio channels, where tracing is on."""
    if not _enabled:
        return []
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    return list(aio_client_interceptors())  # type: ignore[no-untyped-call]


def traceparent() -> str:
    """The W3C trace context of the present span; empty when there is none."""
    if not _enabled:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


def mark(**attributes: str) -> None:
    """Puts attributes such as business_id on the present span."""
    if _enabled:
        span = trace.get_current_span()
        for name, value in attributes.items():
            span.set_attribute(f"payments.{name}", value)


def mark_chains(business_ids: Iterable[str]) -> None:
    """Puts on the present span which chains it worked for: business_id, or business_ids of many."""
    if not _enabled:
        return
    ids = list(dict.fromkeys(filter(None, business_ids)))
    if len(ids) == 1:
        mark(business_id=ids[0])
    elif ids:
        trace.get_current_span().set_attribute("payments.business_ids", ids)


@contextlib.contextmanager
def batch_span(name: str, traceparents: Sequence[str]) -> Iterator[None]:
    """One span for a batch, linked to where its items came from; nothing when tracing is off."""
    if not _enabled:
        yield
        return
    origins = [_propagator.extract({"traceparent": t}) for t in dict.fromkeys(traceparents) if t]
    contexts = [trace.get_current_span(origin).get_span_context() for origin in origins]
    contexts = [context for context in contexts if context.is_valid]
    # A batch from one origin continues its trace; a batch from many only links to them. Never the
    # span at hand: a batcher's task keeps that of whoever happened to come first.
    parent = origins[0] if len(origins) == 1 else Context()
    links = [trace.Link(context) for context in contexts]
    tracer = trace.get_tracer("paymesh")
    with tracer.start_as_current_span(name, context=parent, links=links):
        yield
