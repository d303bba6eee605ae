"""The embedded service on a disk that fills: it refuses to write, reads on, and recovers."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ListTaskRecordsRequest,
    PruneTaskRecordsRequest,
    StreamBlockReportsRequest,
)

from tests.support.calls import set_entry
from tests.support.steps import block, create, define, get, refused, report, running
from tests.support.waiting import until_true
from vwed.client import Client, connect
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

DISK, RESERVE = 320 << 20, 64
LEFT = 40 << 20
"""Less than the reserve, and enough for what is written all the same."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    tmp_path.chmod(0o755)
    home = tmp_path / "disk"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", home], check=True)
    try:
        yield home
    finally:
        subprocess.run(["umount", home], check=True)


def fill(disk: Path) -> Path:
    """A file that leaves little room."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    file = disk / "ballast"
    with file.open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, free - LEFT)
    return file


async def takes_writes(client: Client) -> bool:
    with suppress(grpc.aio.AioRpcError):
        await define(client)
        return True
    return False


async def test_it_refuses_early_reads_on_and_recovers(disk: Path, tenant: str) -> None:
    settings = Settings(
        listen="127.0.0.1:0", data_dir=disk / "data", redis_url="none", disk_reserve_mib=RESERVE
    )
    async with (
        serving(settings) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        run, other = await running(client, lease=60), await create(client)
        stream: Any = client.records.StreamBlockReports()
        batch = StreamBlockReportsRequest(
            task_record_id=run.id, batch_id="1", block_records=[block("a", RUNNING)]
        )
        await stream.write(batch)
        assert not (await stream.read()).error.code
        ballast = fill(disk)

        async def is_full() -> bool:
            return not await takes_writes(client)

        await until_true(is_full, every=0.2)
        for write in (
            create(client, run.task_def_id),
            report(client, run.id, block("b", RUNNING)),
            set_entry(client, run.id, "key", int_value=1),
        ):
            with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL"):
                await write
        await stream.write(batch)
        assert (await stream.read()).error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert (await get(client, run.id, strong=True)).seq == 3
        assert (
            len((await client.records.ListTaskRecords(ListTaskRecordsRequest())).task_records) == 2
        )
        await client.records.HeartbeatTaskRecord(
            HeartbeatTaskRecordRequest(
                id=run.id, executor_id=run.executor_id, lease_epoch=run.lease_epoch
            )
        )
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=other.id, force=True))
        now = Timestamp()
        now.FromDatetime(datetime.now(UTC))
        await client.records.PruneTaskRecords(PruneTaskRecordsRequest(ended_before=now))
        stream.cancel()
        ballast.unlink()
        await until_true(lambda: takes_writes(client), every=0.2)
        await report(client, run.id, block("b", RUNNING))
