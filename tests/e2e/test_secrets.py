"""Nothing that is secret is ever written down, however much is logged and whatever goes wrong."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from vwed.v1.record_service_pb2 import GetTaskRecordRequest

from tests.support.calls import create_def
from tests.support.certificates import Authority
from tests.support.process import ENVIRONMENT, Process
from tests.support.tokens import SECRET, jwk, token, write_keys
from vwed.client import connect

DATABASE_PASSWORD, REDIS_PASSWORD = "p4ssw0rd-of-postgres", "p4ssw0rd-of-redis"


async def test_a_whole_run_tells_no_secret(postgres_url: str, tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("server")
    keys = tmp_path / "keys"
    write_keys(keys, "HS256")
    database = with_password(postgres_url)
    audit = tmp_path / "audit.log"
    server = Process(
        tmp_path / "data",
        *("--workers", "2"),
        VWED_DATABASE_URL=database,
        VWED_REDIS_URL=f"redis://vwed:{REDIS_PASSWORD}@127.0.0.1:1",
        VWED_LOG_LEVEL="debug",
        VWED_TLS_CERT=str(files.certificate),
        VWED_TLS_KEY=str(files.key),
        VWED_TOKEN_KEYS=str(keys),
        VWED_AUDIT_LOG=str(audit),
        VWED_DRAIN_SECONDS="0",
    )
    good, bad = token(kid=None), f"{token(kid=None)}x"
    migrate(database)
    try:
        server.start()
        trusted = grpc.ssl_channel_credentials((tmp_path / "authority.pem").read_bytes())
        for sent in (good, bad):
            async with connect(
                server.address, token=sent, credentials=trusted, bare=True
            ) as client:
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await client.records.GetTaskRecord(
                        GetTaskRecordRequest(id="none"), wait_for_ready=True
                    )
                if sent is good:
                    await create_def(client)
                assert sent not in str(raised.value)
        keys.write_text("hunter2")  # too short: the log says so
        workers = server.workers()
        assert len(workers) == 2
        processes = command_lines(workers)
    finally:
        server.close()
    told = {"log": server.log.read_text(), "audit": audit.read_text(), "processes": processes}
    assert "redis is away" in told["log"]
    assert "token refused" in told["log"]
    assert "CreateTaskDef" in told["audit"]
    private = "".join(files.key.read_text().splitlines()[1:-1])
    secrets = [
        SECRET,
        jwk("HS256")["k"],
        DATABASE_PASSWORD,
        REDIS_PASSWORD,
        good,
        good.split(".")[2],
        private,
    ]
    found = [
        (where, secret) for where, text in told.items() for secret in secrets if secret in text
    ]
    assert not found


def command_lines(pids: Sequence[int]) -> str:
    return "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)


def with_password(url: str) -> str:
    """PostgreSQL trusts whoever comes, and does not look at it."""
    scheme, _, rest = url.partition("://")
    user, at, where = rest.rpartition("@")
    name = user.partition(":")[0] if at else "postgres"
    return f"{scheme}://{name}:{DATABASE_PASSWORD}@{where}"


def migrate(url: str) -> None:
    command = ["vwed-grpc", "migrate"]
    environment = {**ENVIRONMENT, "VWED_DATABASE_URL": url}
    subprocess.run(command, env=environment, check=True, capture_output=True)
