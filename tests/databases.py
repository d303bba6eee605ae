"""Databases that tests have to themselves."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine


@contextmanager
def own_database(postgres_url: str) -> Iterator[str]:
    """A migrated database, dropped in the end; the URL's user may create databases."""
    name = f"vwed_test_{uuid.uuid4().hex[:12]}"
    admin = sync_engine(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    url = sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    engine = sync_engine(url)
    schema.migrate(engine)
    engine.dispose()
    yield url
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    admin.dispose()
