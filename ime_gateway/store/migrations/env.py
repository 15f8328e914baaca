"""What Alembic runs for each migration: on the connection it was given, within that transaction."""

from alembic import context

from ime_gateway.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=context.config.attributes["connection"].dialect.name == "sqlite",
)
context.run_migrations()
