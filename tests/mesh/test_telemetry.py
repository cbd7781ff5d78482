"""One purchase can be followed: by its traces, its metrics and its log lines."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial

import aiohttp
import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from payments.trade.v1 import trade_events_pb2, trade_pb2
from payments.type.v1 import money_pb2

from paymesh import telemetry
from paymesh.app import App
from paymesh.bus.rabbitmq import RabbitBus
from paymesh.bus.topology import Topology
from paymesh.context import Context
from paymesh.ids import new_id
from paymesh.outbox import to_messages
from paymesh.process import DEFINITIONS
from paymesh.store.port import StoredEvent
from paymesh_ops.clients.requests import eventually
from paymesh_ops.clients.shop import Shop
from paymesh_ops.launch.mesh import Mesh, MeshPlan
from tests.mesh.conftest import TIME_SCALE

pytestmark = pytest.mark.slow

EXPORTER = InMemorySpanExporter()
"""One for the process: a tracer provider can be set once."""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Tracing on, for what is opened in this test; off again behind it."""
    monkeypatch.setattr(telemetry, "_enabled", False)  # puts back what it was
    if isinstance(trace.get_tracer_provider(), telemetry.TracerProvider):
        telemetry._enabled = True
    else:
        telemetry.start("test", "none", to=EXPORTER)
    EXPORTER.clear()
    return EXPORTER


def _spans() -> list[ReadableSpan]:
    telemetry.flush()
    return list(EXPORTER.get_finished_spans())


def _trace_id(span: ReadableSpan) -> int:
    return int(span.get_span_context().trace_id)


def _traces(span: ReadableSpan) -> set[int]:
    """The trace that a span is in, and those that it is linked to."""
    return {_trace_id(span), *(link.context.trace_id for link in span.links)}


def _named(end: str, traces: set[int]) -> list[ReadableSpan]:
    return [s for s in _spans() if s.name.endswith(end) and _traces(s) & traces]


WAY = (
    "TradeService/CreateTrade",
    "TradeService/PayTrade",
    "BatchCreatePaymentsRequest send",
    "PaymentService/BatchCreatePayments",
    "BatchPrepayRequest send",
    "ChannelService/BatchPrepay",
)
"""From the shop to the gateway."""


async def _purchase(shop: Shop, name: str) -> tuple[int, trade_pb2.Trade]:
    """A purchase under one span of the shop's; its trace id."""
    with trace.get_tracer("shop").start_as_current_span(name) as span:
        created = await shop.purchase()
        return span.get_span_context().trace_id, created


async def test_one_trace_leads_from_the_order_to_the_gateway(
    traced: InMemorySpanExporter, apps: dict[str, App], shop: Shop
) -> None:
    """Through both batches; every server span says which chain it worked for."""
    trace_id, created = await _purchase(shop, "purchase")
    await shop.reaches(created, trade_pb2.TRADE_STATE_PAID)
    for name in WAY:
        found = _named(name, {trace_id})
        assert found, name
        if name.startswith(("TradeService", "PaymentService", "ChannelService")):
            servers = [s for s in found if s.kind is trace.SpanKind.SERVER]
            chains = {(s.attributes or {}).get("payments.business_id") for s in servers}
            assert chains == {created.business_id}, name


async def test_a_second_purchase_has_a_trace_of_its_own(
    traced: InMemorySpanExporter, apps: dict[str, App], shop: Shop
) -> None:
    """Not the trace of the purchase before it."""
    await _purchase(shop, "first")
    trace_id, _ = await _purchase(shop, "second")
    for name in WAY:
        assert _named(name, {trace_id}), name


async def test_a_consumers_batch_belongs_to_the_trace_of_the_call_behind_the_event(
    traced: InMemorySpanExporter, apps: dict[str, App], shop: Shop
) -> None:
    """CloseTrade's event carries its traceparent to who notifies the merchant."""
    created = await shop.order()
    with trace.get_tracer("shop").start_as_current_span("close") as span:
        trace_id = span.get_span_context().trace_id
        await shop.trades.CloseTrade(
            shop.close_request(created),
            timeout=30,
        )
    await shop.hears(created, "trade.closed")

    async def look() -> ReadableSpan | None:
        found = _named("trade.notifications process", {trace_id})
        return found[0] if found else None

    batch = await eventually("span of the consumer", look, timeout_s=60)
    assert _trace_id(batch) == trace_id
    [link] = batch.links
    [served] = [s for s in _named("/CloseTrade", {trace_id}) if s.kind is trace.SpanKind.SERVER]
    assert link.context.span_id == served.get_span_context().span_id
    assert (batch.attributes or {})["payments.business_id"] == created.business_id


def test_a_batch_of_many_origins_is_linked_to_each_and_a_child_of_none(
    traced: InMemorySpanExporter,
) -> None:
    """Whatever span happens to be at hand; a traceparent that is none is left out."""
    one, other = (f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01" for _ in range(2))
    with trace.get_tracer("test").start_as_current_span("at hand"):
        with telemetry.batch_span("many", [one, "", other, one, "00-bad"]):
            telemetry.mark_chains(["biz_a", "", "biz_b", "biz_a"])
        with telemetry.batch_span("single", ["", one, one]):
            telemetry.mark_chains(["biz_a", "biz_a"])
        with telemetry.batch_span("none", []):
            pass
    spans = {span.name: span for span in _spans()}
    ids = [int(t.split("-")[1], 16) for t in (one, other)]
    assert [link.context.trace_id for link in spans["many"].links] == ids
    assert spans["many"].parent is None
    assert (spans["many"].attributes or {})["payments.business_ids"] == ("biz_a", "biz_b")
    assert _trace_id(spans["single"]) == ids[0]
    assert (spans["single"].attributes or {})["payments.business_id"] == "biz_a"
    assert spans["none"].parent is None


def test_without_an_exporter_there_is_no_tracing() -> None:
    """No interceptors, no headers, no spans."""
    telemetry.start("test", "none")
    assert not telemetry.enabled()
    assert telemetry.server_interceptors() == []
    assert telemetry.client_interceptors() == []
    assert telemetry.traceparent() == ""
    before = len(_spans())
    with telemetry.batch_span("off", [f"00-{'a' * 32}-{'b' * 16}-01"]):
        telemetry.mark(business_id="biz_a")
        assert not trace.get_current_span().get_span_context().is_valid
    assert len(_spans()) == before


# ---- A real process ----


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ledger_metrics(real_plan: MeshPlan) -> Iterator[str]:
    """The ledger's worker as a process of its own, and where its metrics are."""
    port = _free_port()
    mesh = Mesh(real_plan, extra={"clearing-work": {"PAYMESH_METRICS_PORT": str(port)}})
    try:
        mesh.start(["clearing-work"])
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        mesh.stop()


@pytest.fixture
async def bus(real_plan: MeshPlan) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(real_plan.amqp_url, Topology.load(DEFINITIONS).scaled(TIME_SCALE))
    await bus.start()
    yield bus
    await bus.close()


def _paid(context: Context, trade_id: str, minor_units: int) -> StoredEvent:
    payload = trade_events_pb2.TradePaid(
        trade_id=trade_id,
        merchant_id=context.merchant_id,
        product_code="INSTANT",
        payment_id=new_id("pay", bucket=0),
        amount=money_pb2.Money(currency_code="EUR", minor_units=minor_units),
    )
    return StoredEvent(
        id=new_id("evt", bucket=0),
        type="trade.trade.paid",
        aggregate_id=trade_id,
        sequence=3,
        state="PAID",
        occurred_at=datetime.now(UTC),
        context=context,
        traceparent="",
        payload=payload.SerializeToString(),
        published=True,
    )


async def _booked(plan: MeshPlan, trade_id: str) -> bool | None:
    with psycopg.connect(plan.reader_urls["clearing"]) as connection:
        found = connection.execute("SELECT FROM journal WHERE business_key = %s", [trade_id])
        return found.fetchone() is not None or None


@pytest.mark.slow
async def test_a_process_shows_its_metrics_and_logs_whose_event_it_parked(
    ledger_metrics: str, real_plan: MeshPlan, bus: RabbitBus
) -> None:
    """A trade is paid twice with different amounts: the second event is parked."""
    context = Context(
        business_id=new_id("biz", bucket=0),
        merchant_id=new_id("mer", bucket=0),
        order_type="shop",
    )
    trade_id = new_id("trd", bucket=0)
    for minor_units in (1000, 2000):
        messages = to_messages([_paid(context, trade_id, minor_units)])
        assert await bus.publish([message for message, _ in messages]) == [None]
        await eventually("booking", partial(_booked, real_plan, trade_id), timeout_s=60)

    path = real_plan.home / "run" / "clearing-work.log"

    async def parked() -> dict[str, str] | None:
        for line in path.read_text().splitlines():
            if "event.parked" in line and context.business_id in line:
                return dict(json.loads(line))
        return None

    line = await eventually("line of the parked event", parked, timeout_s=60)
    assert line["role"] == "clearing-work"
    assert line["business_id"] == context.business_id
    assert line["level"] == "warning"
    assert line["reason"].startswith("JOURNAL_KEY_REUSED")

    async with aiohttp.ClientSession() as http, http.get(ledger_metrics) as response:
        shown = await response.text()
    assert 'payments_batch_items_count{aggregate="account"}' in shown
    for outcome in ("done", "parked"):
        name = f'payments_events_handled_total{{outcome="{outcome}",queue="clearing.ledger"}}'
        assert name in shown
