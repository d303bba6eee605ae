"""Backups: the whole database in pg_dump's own format, and back again in one transaction."""

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

import sqlalchemy as sa
from psycopg.conninfo import make_conninfo

from vwed_grpc.storage.incarnation import HOLD_SECONDS
from vwed_grpc.storage.models import Base, Timeline
from vwed_grpc.storage.schema import HEAD
from vwed_grpc.storage.timelines import ADD

Program = Callable[[str, int], str]
"""The path of one of PostgreSQL's programs, of a major version."""

_FIRST = ("timelines", "service_pulse")
"""Each transaction begins by reading them: who has locked them waits for those that go on, and
keeps all others out."""
_OF_THE_SERVICE = (*_FIRST, "seal_keys")
"""These have rows in a database that holds nothing of anybody's yet."""


class DumpError(RuntimeError):
    """A backup or restore that did not take place; the message is one line for people."""


def backup(engine: sa.Engine, file: Path, program: Program) -> None:
    """Writes the database as it is at one moment. Raises DumpError; then there is no file.

    The timelines stay behind, so what is restored is another copy of the data, by whatever means.
    """
    if file.exists() and not file.is_file():
        raise DumpError(f"{file} is not a file")  # a device would be replaced by one
    with engine.connect() as connection:
        major = _major(connection)
        if not sa.inspect(connection).has_table("alembic_version"):
            raise DumpError("the database holds nothing of this service")
    draft = file.with_name(f"{file.name}.part")
    dsn, environment = _target(engine)
    try:
        _run(
            [
                *(program("pg_dump", major), "--format=custom", "--no-owner", "--no-privileges"),
                *("--exclude-table-data=timelines", f"--file={draft}", f"--dbname={dsn}"),
            ],
            environment,
        )
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def restore(engine: sa.Engine, file: Path, program: Program, *, force: bool) -> None:
    """Puts a backup in place of what there is, all of it or nothing. Raises DumpError.

    Servers may be running: they wait meanwhile, and find another copy of the data afterwards. Until
    it is there none of them may still believe in the old one, so that is locked for long enough.
    """
    with engine.connect() as connection:
        major = _major(connection)
        there = [name for name in _names() if sa.inspect(connection).has_table(name)]
        if not force and _holds_anything(connection, there):
            raise DumpError("the database is not empty; --force replaces what is in it")
    no_backup = f"{file} is no backup of this service"
    try:
        listed = _run([program("pg_restore", major), "--list", str(file)], {})
    except DumpError as exc:
        raise DumpError(f"{no_backup}: {exc}") from exc
    if "TABLE public alembic_version " not in listed:
        raise DumpError(no_backup)
    dsn, environment = _target(engine)
    _pipe(
        [program("pg_restore", major), "--no-owner", "--no-privileges", "--file=-", str(file)],
        [
            *(program("psql", major), "--no-psqlrc", "--quiet", "--output=/dev/null"),
            *("--set=ON_ERROR_STOP=1", "--single-transaction", f"--dbname={dsn}"),
            *("--command", _away_with(there), "--file=-", "--command", _AFTERWARDS),
        ],
        environment,
    )
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text("ANALYZE"))


def _names() -> Sequence[str]:
    return [*_FIRST, *sorted(Base.metadata.tables.keys() - set(_FIRST)), "alembic_version"]


def _holds_anything(connection: sa.Connection, tables: Sequence[str]) -> bool:
    return any(
        connection.scalar(sa.select(sa.exists(sa.select(sa.text("1")).select_from(sa.table(name)))))
        for name in tables
        if name not in (*_OF_THE_SERVICE, "alembic_version")
    )


def _away_with(there: Sequence[str]) -> str:
    """Locks and drops what is there; who reads it meanwhile waits, and so does this for them."""
    sequences = [f"DROP SEQUENCE IF EXISTS {name};" for name in Base.metadata._sequences]
    if not there:
        return " ".join(sequences) or "SELECT"
    believed = Timeline.__tablename__ in there
    return f"""
        SET LOCAL lock_timeout = '800ms';
        DO $$ BEGIN
            FOR n IN 1 .. 100 LOOP
                BEGIN
                    LOCK TABLE {", ".join(there)} IN ACCESS EXCLUSIVE MODE;
                    RETURN;
                EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                    PERFORM pg_sleep(random() / 10);
                END;
            END LOOP;
            RAISE EXCEPTION 'other sessions do not let go of the tables';
        END $$;
        SET LOCAL lock_timeout = 0;
        SELECT pg_sleep({HOLD_SECONDS if believed else 0});
        DROP TABLE {", ".join(there)};
        {" ".join(sequences)}
    """


_AFTERWARDS = f"""
    RESET search_path;
    RESET statement_timeout;
    DO $$ DECLARE
        found text := (SELECT version_num FROM alembic_version);
        since text := split_part(obj_description('alembic_version'::regclass, 'pg_class'), '=', 2);
    BEGIN
        IF found > '{HEAD}' AND (since > '{HEAD}') IS NOT FALSE THEN
            RAISE EXCEPTION
                'the backup has schema %, which this release ({HEAD}) does not know', found;
        END IF;
    END $$;
    -- In another cluster the numbers of transactions begin anew, and these would be yet to come, or
    -- those of some that still run there.
    UPDATE task_record_events SET xact = (pg_current_xact_id()::text)::bigint
     WHERE xact >= (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint;
    DO $$ BEGIN
        IF to_regclass('timelines') IS NOT NULL THEN {ADD}; END IF;
    END $$;
"""  # noqa: S608 - texts of our own


def _major(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000


def _target(engine: sa.Engine) -> tuple[str, Mapping[str, str]]:
    """The database as libpq's programs take it; the password is for no list of processes."""
    given: dict[str, Any] = {**engine.dialect.create_connect_args(engine.url)[1]}
    given.pop("context", None)  # psycopg's, of what SQLAlchemy adds
    password = given.pop("password", None)
    environment = {"PGPASSWORD": str(password)} if password else {}
    return make_conninfo(**given, target_session_attrs="read-write"), environment


def _run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    with TemporaryFile() as said:
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own
            command,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DumpError(_complaint(said))
    return done.stdout


def _pipe(source: Sequence[str], sink: Sequence[str], environment: Mapping[str, str]) -> None:
    """Runs one into the other, which gets to the end of what it reads only if that is all of it.

    Raises DumpError.
    """
    with TemporaryFile() as source_said, TemporaryFile() as sink_said:
        reading = subprocess.Popen(source, stdout=subprocess.PIPE, stderr=source_said)  # noqa: S603 - PostgreSQL's own
        writing = subprocess.Popen(  # noqa: S603 - PostgreSQL's own
            sink, stdin=subprocess.PIPE, stderr=sink_said, env=dict(environment)
        )
        with reading, writing:
            try:
                sink_end = cast("IO[bytes]", writing.stdin)
                shutil.copyfileobj(cast("IO[bytes]", reading.stdout), sink_end)
                sink_end.flush()
                if reading.wait():
                    writing.kill()
            except BrokenPipeError:
                reading.kill()  # the other has failed, and says why
            except BaseException:
                writing.kill()
                reading.kill()
                raise
        if writing.returncode > 0:
            raise DumpError(_complaint(sink_said))
        if writing.returncode:
            raise DumpError(_complaint(source_said))


def _complaint(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
    line = next((line for line in lines if "ERROR" in line or "error:" in line), lines[-1])
    return line.removeprefix("ERROR:  ")
