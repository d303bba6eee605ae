"""The schema's versions: what this release wants, what the database has, how to get there.

Revisions are numbered 0001, 0002, …; a migration that older releases can live with leaves
`compatible_since` in the comment of the version table, so a newer schema can say so.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

HEAD = "0007"
COMPATIBLE_SINCE = "0001"
"""Releases that want this schema, or a later one, can work with `HEAD`."""
_LOCK = 0x56574544  # one migration at a time, whoever starts it


class SchemaMismatchError(RuntimeError):
    """The database's schema is not one that this release can work with; one line for people."""


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def migrate(engine: sa.Engine) -> str:
    """Brings the schema to `HEAD`; answers the revision it had before ("" for none)."""
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(_LOCK)))
        try:
            before = _revision(connection)
            connection.commit()
            if before <= HEAD:
                config = alembic_config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.execute(
                    sa.text(
                        f"COMMENT ON TABLE alembic_version IS 'compatible_since={COMPATIBLE_SINCE}'"
                    )
                )
                connection.commit()
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK)))
            connection.commit()
    return before


def check(connection: sa.Connection) -> None:
    """Raises SchemaMismatchError unless this release can work with the database's schema."""
    revision = _revision(connection)
    if revision == HEAD:
        return
    if revision < HEAD:
        found = f"has schema {revision}" if revision else "has no schema yet"
        raise SchemaMismatchError(
            f"the database {found}, this release needs {HEAD}: run `vwed-grpc migrate`"
        )
    comment = connection.scalar(
        sa.text("SELECT obj_description('alembic_version'::regclass, 'pg_class')")
    )
    since = str(comment or "").removeprefix("compatible_since=")
    if not since or since > HEAD:
        raise SchemaMismatchError(
            f"the database has schema {revision}, which this release ({HEAD}) does not know"
        )


def _revision(connection: sa.Connection) -> str:
    if not sa.inspect(connection).has_table("alembic_version"):
        return ""
    return connection.scalar(sa.text("SELECT version_num FROM alembic_version")) or ""
