"""What the payment core asks of other services."""
