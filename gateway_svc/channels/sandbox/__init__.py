"""The sandbox channel, as the gateway calls it."""
