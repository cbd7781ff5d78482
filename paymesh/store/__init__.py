"""The store: one port, two adapters (PostgreSQL and memory), one contract suite."""
