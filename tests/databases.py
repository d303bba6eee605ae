"""Databases of a test's own, on the PostgreSQL of the test run."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine


@contextmanager
def empty_database(postgres_url: str) -> Iterator[str]:
    """The URL of a database that is there while entered."""
    name = f"vwed_test_{uuid.uuid4().hex[:12]}"
    admin = sync_engine(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@contextmanager
def migrated_database(postgres_url: str) -> Iterator[str]:
    with empty_database(postgres_url) as url:
        engine = sync_engine(url)
        schema.migrate(engine)
        engine.dispose()
        yield url
