"""Channel orders, as plain functions, and the calls that they owe."""
