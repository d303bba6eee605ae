"""PostgreSQL given by its URL, as the README has it: migrated by hand, then served."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.databases import empty_database
from tests.support.grpcurl import call
from tests.support.pages import sections
from tests.support.process import BIN, ENVIRONMENT, Process
from vwed_grpc.storage.database import sync_engine


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    with empty_database(postgres_url) as url:
        yield url


def test_migrate_then_serve(empty_url: str, tmp_path: Path) -> None:
    (block,) = sections("README.md", "sh")["With servers of your own"]
    for shown, own in {
        "postgresql://vwed:secret@db.example/vwed": shlex.quote(empty_url),
        "rediss://:secret@cache.example/0": "none",
        ".venv/bin/": f"{BIN}/",
    }.items():
        assert shown in block
        block = block.replace(shown, own)
    prepare, serve = block.strip().rsplit("\n", 1)
    assert serve == f"{BIN}/vwed-grpc serve --listen 127.0.0.1:50051"  # as the process below
    data_dir = tmp_path / "data"
    server = Process(
        data_dir, VWED_DATABASE_URL=empty_url, VWED_REDIS_URL="none", VWED_DRAIN_SECONDS="0"
    )
    with pytest.raises(AssertionError, match=r"has no schema yet.*run `vwed-grpc migrate`"):
        server.start()
    _pretend_schema(empty_url, "0000")
    with pytest.raises(AssertionError, match=r"has schema 0000.*run `vwed-grpc migrate`"):
        server.start()
    _pretend_schema(empty_url, None)

    migrated = subprocess.run(
        prepare, shell=True,
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert migrated.stdout.startswith("schema none -> ")
    try:
        server.start()
        made = call(
            server.address,
            "vwed.v1.TaskDefService/CreateTaskDef",
            task_def={"id": "given", "name": "given"},
        )
        got = call(server.address, "vwed.v1.TaskDefService/GetTaskDef", id="given")
        assert got == made
    finally:
        server.close()
    assert not data_dir.exists(), "nothing is embedded, so nothing is kept"


def _pretend_schema(url: str, revision: str | None) -> None:
    engine = sync_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))
        if revision:
            connection.execute(sa.text("CREATE TABLE alembic_version (version_num text)"))
            connection.execute(
                sa.text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision}
            )
    engine.dispose()
