"""The migrated schema is the tables' metadata, and every key begins with the tenant."""

import asyncio
import uuid

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner

from tests.support.databases import empty_database, incarnation_of, migrated_database
from tests.support.steps import sql
from tests.support.waiting import PATIENCE
from vwed_grpc.cli.main import main
from vwed_grpc.storage import models, schema
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.database import sync_engine
from vwed_grpc.storage.demands import lacking
from vwed_grpc.storage.reachable import NotReachable, until_reachable


def test_migrated_schema_equals_metadata(database_url: str) -> None:
    engine = sync_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, models.Base.metadata) == []
    engine.dispose()


_CATALOG = """
    SELECT c.relname || '.' || a.attname,
           concat_ws(' ', format_type(atttypid, atttypmod), collname, attnotnull,
                     pg_get_expr(adbin, adrelid))
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      LEFT JOIN pg_collation l ON l.oid = a.attcollation
     WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
     UNION ALL SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
     UNION ALL SELECT 'constraint ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace
     UNION ALL SELECT 'relation ' || relname, concat_ws(' ', relkind, reloptions) FROM pg_class
      WHERE relnamespace = 'public'::regnamespace
"""


def test_migrations_make_what_the_models_say_to_the_letter(
    database_url: str, postgres_url: str
) -> None:
    """Alembic compares neither the conditions and orders of indexes nor the options of tables."""
    migrated = _catalog(database_url)
    with empty_database(postgres_url) as url:
        engine = sync_engine(url)
        models.Base.metadata.create_all(engine)
        engine.dispose()
        assert _catalog(url) == {
            name: text for name, text in migrated.items() if "alembic_version" not in name
        }


def _catalog(url: str) -> dict[str, str]:
    engine = sync_engine(url)
    with engine.connect() as connection:
        found = {row[0]: row[1] for row in connection.execute(sa.text(_CATALOG))}
    engine.dispose()
    return found


def test_every_key_begins_with_the_tenant(database_url: str) -> None:
    engine = sync_engine(database_url)
    inspector = sa.inspect(engine)
    tables = set(inspector.get_table_names()) - {"alembic_version"}
    assert tables == set(models.Base.metadata.tables)
    for table in tables:
        keys: list[list[str | None]] = [
            [*inspector.get_pk_constraint(table)["constrained_columns"]]
        ]
        keys += [[*unique["column_names"]] for unique in inspector.get_unique_constraints(table)]
        keys += [i["column_names"] for i in inspector.get_indexes(table) if i["unique"]]
        assert all(key[0] == "tenant" for key in keys), (table, keys)
    engine.dispose()


async def test_all_text_is_compared_by_code_point(database_url: str) -> None:
    columns = await sql(
        database_url,
        "SELECT table_name, column_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'text'",
    )
    assert len(columns) > len(models.Base.metadata.tables)
    assert not [column for column in columns if column.collation_name != "C"]


async def test_an_older_schema_is_refused_and_a_compatible_newer_one_taken(
    database_url: str,
) -> None:
    connection = await Connector(database_url).connect(
        timeout=PATIENCE, server_settings={"application_name": "test"}
    )
    transaction = connection.transaction()
    await transaction.start()
    await schema.check(connection)
    await connection.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(schema.SchemaMismatchError, match="run `vwed-grpc migrate`"):
        await schema.check(connection)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await schema.check(connection)
    await connection.execute("COMMENT ON TABLE alembic_version IS 'compatible_since=9998'")
    with pytest.raises(schema.SchemaMismatchError, match="does not know"):
        await schema.check(connection)
    await transaction.rollback()
    await connection.close()


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    engine = sync_engine(database_url)
    assert schema.migrate(engine) == schema.HEAD
    engine.dispose()


async def test_a_role_that_may_not_migrate_hears_why(postgres_url: str) -> None:
    role = f"vwed_test_{uuid.uuid4().hex[:12]}"
    with empty_database(postgres_url) as url:
        admin = sync_engine(url).execution_options(isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(sa.text(f"CREATE ROLE {role} LOGIN PASSWORD 'a'"))
            connection.execute(sa.text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        theirs = sa.make_url(url).set(username=role, password="a")
        said = await migrated(theirs.render_as_string(hide_password=False))
        assert said == "Error: the database cannot be used: permission denied for schema public\n"
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP ROLE {role}"))
        admin.dispose()


async def test_a_database_of_another_encoding_is_refused(postgres_url: str) -> None:
    name = f"vwed_test_{uuid.uuid4().hex[:12]}"
    admin = sync_engine(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        made = "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        connection.execute(sa.text(f"CREATE DATABASE {name} {made}"))
        url = sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        why = "the encoding of the database must be UTF8, it is LATIN1"
        assert await migrated(url) == f"Error: {why}\n"
        with pytest.raises(NotReachable, match=why):
            await until_reachable(url, 60, schema.check)
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def test_an_older_postgresql_is_refused() -> None:
    assert lacking(14, "UTF8") == "PostgreSQL 15 or newer is needed, this is 14"
    assert not lacking(15, "UTF8")


async def migrated(url: str) -> str:
    """What the command says that does not migrate."""
    done = await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "--database-url", url])
    assert (done.exit_code, done.stdout) == (1, "")
    return done.stderr


async def test_every_copy_of_the_data_has_an_incarnation_of_its_own(database_url: str) -> None:
    """Else two of them would read each other's values in a Redis that they share."""
    url = sa.make_url(database_url)
    names = [f"vwed_test_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    admin = sync_engine(database_url).execution_options(isolation_level="AUTOCOMMIT")
    found = set()
    with admin.connect() as connection:
        template = "template0"
        for name in names:
            connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
            template = name
            own = url.set(database=name).render_as_string(hide_password=False)
            engine = sync_engine(own)
            schema.migrate(engine)
            engine.dispose()
            found.add(str(await incarnation_of(own)))
        for name in names:
            connection.execute(sa.text(f"DROP DATABASE {name}"))
    admin.dispose()
    assert len(found) == len(names)


async def test_a_timeline_begins_before_all_that_runs_on_it(postgres_url: str) -> None:
    """Else who resumes at its beginning waits for whatever somebody left open before that."""
    with migrated_database(postgres_url) as url:
        engine = sync_engine(url)
        with engine.connect() as left_open, engine.connect() as other:
            running = left_open.scalar(sa.text("SELECT pg_current_xact_id()::text::bigint"))
            other.execute(sa.text("DELETE FROM timelines"))
            other.commit()
            found = await incarnation_of(url)
        engine.dispose()
    assert found.beginnings[found.timeline].xact <= running
