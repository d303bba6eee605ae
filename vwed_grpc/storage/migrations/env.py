"""Alembic's entry: runs the migrations on the connection that `storage.schema` hands over."""

from alembic import context

import vwed_grpc.storage.timelines  # noqa: F401 - its table belongs to the metadata
from vwed_grpc.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    compare_server_default=True,
    transaction_per_migration=True,
)
context.run_migrations()
