"""What grpcurl finds out about a server by asking it."""

import time

import pytest

from tests.support.grpcurl import call, grpcurl
from tests.support.process import Process
from tests.support.waiting import PATIENCE

SERVICES = {"vwed.v1.TaskDefService", "vwed.v1.RecordService", "vwed.v1.CacheService"}


def test_reflection_lists_and_describes(shared: Process) -> None:
    listed = grpcurl(shared.address, "list")
    assert {*listed.stdout.split()} > SERVICES
    described = grpcurl(shared.address, "describe", "vwed.v1.RecordService")
    assert described.returncode == 0
    assert "returns ( stream .vwed.v1.WatchTaskRecordResponse )" in described.stdout
    message = grpcurl(shared.address, "describe", "vwed.v1.TaskRecord")
    assert "lease_epoch" in message.stdout


def test_a_method_is_described_with_its_comment(shared: Process) -> None:
    described = grpcurl(shared.address, "describe", "vwed.v1.CacheService.TouchDataCache")
    assert (described.returncode, described.stderr) == (0, "")
    assert described.stdout == (
        "vwed.v1.CacheService.TouchDataCache is a method:\n"
        "// A new expiration; the value stays.\n"
        "rpc TouchDataCache ( .vwed.v1.TouchDataCacheRequest ) returns ( .vwed.v1.DataCache );\n"
    )
    missing = grpcurl(shared.address, "describe", "vwed.v1.CacheService.NoSuchMethod")
    assert missing.returncode != 0
    assert "Symbol not found: vwed.v1.CacheService.NoSuchMethod" in missing.stderr


@pytest.mark.parametrize(
    ("symbol", "comment"),
    [
        ("vwed.v1.TaskRecord", "// Output only: who created the run (x-vwed-actor)."),
        ("vwed.v1.View", "// Without config, parameters_schema, input, result, input_data,"),
        (
            "vwed.v1.SignalTaskRecordRequest",
            "// retry_block, skip_block and complete_block are the documented names.",
        ),
        ("vwed.v1.CacheService", "// How the blocks of a run hand values to each other."),
        ("google.rpc.RetryInfo", "// Clients should wait at least this long between retrying"),
    ],
)
def test_comments_reach_whoever_asks(shared: Process, symbol: str, comment: str) -> None:
    assert comment in grpcurl(shared.address, "describe", symbol).stdout


def test_health(shared: Process) -> None:
    for service in ("", *SERVICES):
        until = time.monotonic() + PATIENCE
        while (health := _health(shared, service)) != "SERVING":
            assert time.monotonic() < until, (service, health)


def _health(server: Process, service: str) -> str:
    answer = call(server.address, "grpc.health.v1.Health/Check", service=service)
    status: str = answer["status"]
    return status


def test_channelz(shared: Process) -> None:
    answer = call(shared.address, "grpc.channelz.v1.Channelz/GetServers")
    (server,) = answer["server"]
    assert int(server["data"]["calls_started"]) >= 1


def test_an_error_says_its_reason(shared: Process) -> None:
    done = grpcurl("-d", '{"id": "none"}', shared.address, "vwed.v1.RecordService/GetTaskRecord")
    assert done.returncode != 0
    assert "NotFound" in done.stderr
    assert '"reason":"TASK_RECORD_NOT_FOUND"' in done.stderr
