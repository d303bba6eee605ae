"""The migrated schema is the tables' metadata, and every key begins with the tenant."""

import uuid

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.support.databases import incarnation_of
from vwed_grpc.storage import schema
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.database import sync_engine, sync_sessions
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.tables import idempotency_keys, metadata


def test_migrated_schema_equals_metadata(database_url: str) -> None:
    engine = sync_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_every_key_begins_with_the_tenant(database_url: str) -> None:
    engine = sync_engine(database_url)
    inspector = sa.inspect(engine)
    tables = set(inspector.get_table_names()) - {"alembic_version"}
    assert tables == set(metadata.tables)
    for table in tables:
        keys: list[list[str | None]] = [
            [*inspector.get_pk_constraint(table)["constrained_columns"]]
        ]
        keys += [[*unique["column_names"]] for unique in inspector.get_unique_constraints(table)]
        keys += [i["column_names"] for i in inspector.get_indexes(table) if i["unique"]]
        assert all(key[0] == "tenant" for key in keys), (table, keys)
    engine.dispose()


def test_an_older_schema_is_refused_and_a_compatible_newer_one_taken(database_url: str) -> None:
    engine = sync_engine(database_url)
    with engine.connect() as connection, connection.begin() as transaction:
        schema.check(connection)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
        with pytest.raises(schema.SchemaMismatchError, match="run `vwed-grpc migrate`"):
            schema.check(connection)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        schema.check(connection)
        connection.execute(sa.text("COMMENT ON TABLE alembic_version IS 'compatible_since=9998'"))
        with pytest.raises(schema.SchemaMismatchError, match="does not know"):
            schema.check(connection)
        transaction.rollback()
    engine.dispose()


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    engine = sync_engine(database_url)
    assert schema.migrate(engine) == schema.HEAD
    engine.dispose()


def test_retries_from_before_learn_where_their_chain_began(database_url: str) -> None:
    name = f"vwed_test_{uuid.uuid4().hex[:12]}"
    admin = sync_engine(database_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
    engine = sync_engine(
        sa.make_url(database_url).set(database=name).render_as_string(hide_password=False)
    )
    chains = {
        "a": ("", ""), "b": ("a", "a"), "c": ("b", "a"), "e": ("gone", "gone"), "f": ("e", "gone"),
    }  # fmt: skip
    """Run -> what it retries, and where its chain began."""
    with engine.begin() as connection:
        config = schema.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for id_, (retry_of, _) in chains.items():
            connection.execute(
                sa.text(
                    "INSERT INTO task_records (tenant, id, status, retry_of, create_time,"
                    " update_time) VALUES ('t', :id, 8, :retry_of, now(), now())"
                ),
                {"id": id_, "retry_of": retry_of},
            )
    assert schema.migrate(engine) == "0001"
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT id, retry_chain FROM task_records"))
        assert dict(map(tuple, found)) == {id_: chain for id_, (_, chain) in chains.items()}
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name}"))
    admin.dispose()


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


async def test_async_and_sync_sessions_share_settings_and_tables(
    database_url: str, tenant: str
) -> None:
    engine = sync_engine(database_url)
    with sync_sessions(engine).begin() as session:
        session.execute(
            sa.insert(idempotency_keys).values(
                tenant=tenant,
                request_id="r",
                method="m",
                fingerprint=b"f",
                resource_ids=["a"],
                expire_time=sa.func.now(),
            )
        )
    engine.dispose()
    pool = Pool(Connector(database_url), connections=2)
    rows = await pool.select(
        sa.select(idempotency_keys.c.resource_ids).where(idempotency_keys.c.tenant == tenant)
    )
    assert rows[0][0] == ["a"]
    await pool.close()
