"""The schema's versions: what this release wants, what the database has, how to get there.

Revisions are numbered 0001, 0002, …; a migration that older releases can live with leaves
`compatible_since` in the comment of the version table, so a newer schema can say so.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import sqlalchemy as sa

from vwed_grpc.storage.demands import lacking

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0007"
COMPATIBLE_SINCE = "0001"
"""Releases that want this schema, or a later one, can work with `HEAD`."""
_LOCK = 0x56574544  # one migration at a time, whoever starts it
_TABLE = """
    SELECT to_regclass('alembic_version') IS NOT NULL AS is_there,
           obj_description(to_regclass('alembic_version'), 'pg_class') AS comment
"""
_REVISION = "SELECT version_num FROM alembic_version"


class SchemaMismatchError(RuntimeError):
    """The database's schema is not one that this release can work with; one line for people."""


def alembic_config() -> "Config":
    """Where the migrations are; a database is not named."""
    # A hundred modules, for who brings a schema up to date; servers look at one, as a rule.
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def migrate(engine: sa.Engine) -> str:
    """Brings the schema to `HEAD`; answers the revision it had before ("" for none).

    Raises SchemaMismatchError if the database cannot have it.
    """
    with engine.connect() as connection:
        major = int(str(connection.scalar(sa.text("SHOW server_version_num")))) // 10_000
        if lack := lacking(major, str(connection.scalar(sa.text("SHOW server_encoding")))):
            raise SchemaMismatchError(lack)
        connection.execute(sa.select(sa.func.pg_advisory_lock(_LOCK)))
        try:
            before = ""
            if sa.inspect(connection).has_table("alembic_version"):
                before = connection.scalar(sa.text(_REVISION)) or ""
            connection.commit()
            if before < HEAD:
                _upgrade(connection)
            if before <= HEAD:
                connection.execute(
                    sa.text(
                        f"COMMENT ON TABLE alembic_version IS 'compatible_since={COMPATIBLE_SINCE}'"
                    )
                )
                connection.commit()
        finally:
            connection.rollback()  # of what failed; else that it did is all that comes of it
            connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK)))
            connection.commit()
    return before


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - as in `alembic_config`

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def check(connection: asyncpg.Connection) -> None:
    """Raises SchemaMismatchError unless this release can work with the database's schema."""
    table = await connection.fetchrow(_TABLE)
    revision: str = (await connection.fetchval(_REVISION) if table["is_there"] else None) or ""
    if revision == HEAD:
        return
    if revision < HEAD:
        has = f"has schema {revision}" if revision else "has no schema yet"
        raise SchemaMismatchError(
            f"the database {has}, this release needs {HEAD}: run `vwed-grpc migrate`"
        )
    since = (table["comment"] or "").removeprefix("compatible_since=")
    if not since or since > HEAD:
        raise SchemaMismatchError(
            f"the database has schema {revision}, which this release ({HEAD}) does not know"
        )
