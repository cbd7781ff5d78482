"""Databases: engines, the runtime's own tables, migrations, and who may do what."""
