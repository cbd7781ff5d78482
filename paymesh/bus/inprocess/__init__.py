"""A bus inside one process, for the embedded default and for tests: no server, nothing durable.

It routes by the same topology as RabbitMQ does, ladder and dead letters included. Since it forgets
everything when the process ends, it confirms a message only when every bound handler has committed
it, parked it, or sent what was left of it up the retry ladder: until then the publisher's outbox
keeps the row, so a crash loses nothing but retries that wait on the ladder. Publishing the same id
again while the first is still here joins it, so an outbox that tries again makes no copies.
"""

from paymesh.bus.inprocess.bus import InProcessBus
from paymesh.bus.inprocess.limits import InProcessLimits

__all__ = ["InProcessBus", "InProcessLimits"]
