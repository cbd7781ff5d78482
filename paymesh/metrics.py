"""Prometheus metrics of the runtime. Names follow the OpenMetrics conventions."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

BATCH_ITEMS = Histogram(
    "payments_batch_items",
    "Items in one transaction",
    ["aggregate"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
BATCH_RETRIES = Counter("payments_batch_retries", "Transactions tried again", ["aggregate"])
ITEMS_UNSAVED = Counter(
    "payments_items_unsaved",
    "Items that a defect kept from being saved: alert on any",
    ["aggregate"],
)
RPC_SECONDS = Histogram(
    "payments_rpc_seconds",
    "Time to answer",
    ["method", "code"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
EVENTS_PUBLISHED = Counter("payments_events_published", "Events confirmed by the bus", ["type"])
EVENTS_UNPUBLISHED = Counter("payments_events_unpublished", "Events left to the relay", ["why"])
EVENTS_HANDLED = Counter(
    "payments_events_handled", "Events by what became of them", ["queue", "outcome"]
)
EVENTS_PARKED = Gauge(
    "payments_events_parked",
    "Messages in the queue's dead letters now: alert on any",
    ["queue"],
)
EFFECTS = Counter("payments_effects", "Effects by what became of them", ["effect", "outcome"])
EFFECTS_IN_FLIGHT = Gauge("payments_effects_in_flight", "Effects being done now", ["executor"])
SECRETS_UNOPENED = Counter(
    "payments_secrets_unopened", "Secrets at rest that no key opened: alert on any"
)
KEYS_UNUSABLE = Gauge(
    "payments_keys_unusable", "1 while the encryption keys are not the database's: alert"
)
CALLBACKS = Counter("payments_callbacks", "Channel callbacks by answer", ["channel", "outcome"])
CHANNEL_WAITING_FUNDS = Counter(
    "payments_channel_waiting_funds",
    "Refunds and payouts that a channel put off because our money there does not suffice",
    ["channel"],
)
