"""The one alembic environment. `paymesh.db.migrate` puts the connection into the attributes."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes.get("metadata"),
    transaction_per_migration=True,
    include_object=lambda _object, name, type_, *_: (
        not (type_ == "table" and str(name).startswith("outbox_") and name != "outbox_due")
    ),
)
with context.begin_transaction():
    context.run_migrations()
