"""Alembic's entry: runs the migrations on the connection that `storage.schema` hands over."""

from alembic import context

from vwed_grpc.storage.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=True,
    transaction_per_migration=True,
)
context.run_migrations()
