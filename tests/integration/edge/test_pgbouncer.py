"""PgBouncer in transaction mode works, if it is named and the role has its settings."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.clusters import Cluster, clusters
from tests.support.feeding import feeding
from tests.support.pages import texts
from tests.support.steps import block, create, define, get, report, running
from vwed.client import connect
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.process.stores import CannotServeError
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine

_PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
ROUNDS = 20
pytestmark = pytest.mark.skipif(_PROGRAM is None, reason="pgbouncer is not installed")


@pytest.fixture
def server() -> Iterator[Cluster]:
    with clusters("one") as (cluster,):
        cluster.make()
        cluster.start()
        engine = sync_engine(cluster.url())
        schema.migrate(engine)
        engine.dispose()
        yield cluster


@pytest.fixture
def url(server: Cluster) -> Iterator[str]:
    """Through PgBouncer, which has fewer sessions than we have connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = server.home / "pgbouncer.ini"
    file.write_text(f"""
        [databases]
        postgres = host=127.0.0.1 port={server.port} user=postgres
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        default_pool_size = 3
        user = nobody
    """)
    server.home.chmod(0o755)  # it reads this as the user that it becomes
    assert _PROGRAM
    with subprocess.Popen([_PROGRAM, "--quiet", file], stderr=subprocess.DEVNULL) as bouncer:
        until = time.monotonic() + 30
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert time.monotonic() < until, "no pgbouncer"
            time.sleep(0.02)
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        bouncer.terminate()


async def test_it_works_by_name_alone(server: Cluster, url: str, tenant: str) -> None:
    own = Settings(listen="127.0.0.1:0", database_url=url, redis_url="none")
    named = own.model_copy(update={"database_url": f"{url}?pgbouncer=true"})
    for settings, said in ((own, "pgbouncer=true"), (named, "ALTER ROLE")):
        with pytest.raises(CannotServeError, match=said):
            async with serving(settings):
                pass
    (page,) = texts("docs/operations.md", "sql")
    for statement in page.splitlines():
        assert "ALTER ROLE vwed SET" in statement
        server.execute(statement.replace("vwed", "postgres"))
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    )
    async with (
        serving(named) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
        feeding(client, include_blocks=True) as feed,
    ):
        run = await running(client)
        for n in range(ROUNDS):
            await asyncio.gather(
                *(report(client, run.id, block(f"b{n}-{i}", RUNNING)) for i in range(5)),
                *(get(client, run.id, strong=True) for _ in range(5)),
                create(client, (await define(client)).id),
            )
        await feed.reach(run.id, 2 + 5 * ROUNDS)
    sessions = server.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    assert sessions[0][0] <= 1 + 3
