"""Databases of a test's own, on the PostgreSQL of the test run."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from vwed_grpc.storage import pulse, schema
from vwed_grpc.storage.database import Database, sync_engine
from vwed_grpc.storage.incarnation import Incarnation


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


@contextmanager
def filled_database(
    postgres_url: str, tables: Sequence[str], statements: Sequence[str]
) -> Iterator[str]:
    """The URL of a migrated database whose tables the statements have filled with many rows.

    Nothing is logged, and indexes are built after it: that takes a third of the time.
    """
    with migrated_database(postgres_url) as url:
        engine = sync_engine(url)
        with engine.begin() as connection:
            for table in tables:
                connection.execute(sa.text(f"ALTER TABLE {table} SET UNLOGGED"))
            indexes = connection.execute(
                sa.text(
                    "SELECT indexname, indexdef FROM pg_indexes"
                    " WHERE tablename = ANY(:tables) AND indexname !~ '_pkey$'"
                ),
                {"tables": [*tables]},
            ).all()
            assert indexes
            for index in indexes:
                connection.execute(sa.text(f"DROP INDEX {index.indexname}"))
            for statement in statements:
                connection.execute(sa.text(statement))
            for index in indexes:
                connection.execute(sa.text(index.indexdef))
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text(f"VACUUM ANALYZE {', '.join(tables)}"))
        engine.dispose()
        yield url


async def incarnation_of(url: str) -> Incarnation:
    """As a server finds it."""
    database = Database(url, connections=8, statement_timeout=5.0)
    try:
        await pulse.beat(database.probe)
        return database.incarnation.value
    finally:
        await database.close()
