"""The reference: the same purchase chain as ours, built the way it is usually built.

ORM objects, a transaction for every step, a call for every hop, a message for every event with its
confirm awaited, consumers with prefetch 1. Nothing is slow on purpose. What the good case does not
need is left out, which flatters it: no outbox (a crash between commit and publish loses the event),
no retries beyond requeue, no validation, no telemetry, no notification of the merchant.
"""

from paymesh_ops.bench.naive.reference import Naive

__all__ = ["Naive"]
