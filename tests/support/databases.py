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
    """The URL of a database that is there while entered.

    Commits do not wait for the disk: who wants to know what a crash leaves has a server of its own.
    """
    name = f"vwed_test_{uuid.uuid4().hex[:12]}"
    admin = sync_engine(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        connection.execute(sa.text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
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

    Nothing is logged, and all indexes are built after it, in memory: that takes a quarter of the
    time. They are vacuumed then and not later by themselves, for who counts the pages that are
    touched would count that.
    """
    with migrated_database(postgres_url) as url:
        engine = sync_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL maintenance_work_mem = '512MB'"))
            # Else VACUUM finds rows whose commit is not on the disk yet, and marks no page.
            connection.execute(sa.text("SET LOCAL synchronous_commit = on"))
            indexes = connection.execute(_INDEXES, {"tables": [*tables]}).all()
            assert indexes
            for table in tables:
                connection.execute(sa.text(f"ALTER TABLE {table} SET UNLOGGED"))
                connection.execute(sa.text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
            for index in indexes:
                connection.execute(sa.text(index.drop))
            for statement in [*statements, *(index.build for index in indexes)]:
                connection.execute(sa.text(statement))
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text(f"VACUUM ANALYZE {', '.join(tables)}"))
            # Else it says what it has touched when it ends, a moment after it was told to.
            connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
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


_INDEXES = sa.text("""
    SELECT CASE WHEN c.oid IS NULL THEN format('DROP INDEX %s', indexrelid::regclass)
           ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', indrelid::regclass, conname)
           END AS drop,
           CASE WHEN c.oid IS NULL THEN pg_get_indexdef(indexrelid)
           ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', indrelid::regclass, conname,
                       pg_get_constraintdef(c.oid))
           END AS build
      FROM pg_index LEFT JOIN pg_constraint c ON conindid = indexrelid
     WHERE indrelid = ANY(CAST(:tables AS regclass[]))
""")
"""Of each index of some tables, what drops it, and what builds it as it was."""
