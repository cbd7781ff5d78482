"""What merchants are told: in order, signed, again until they take it."""
