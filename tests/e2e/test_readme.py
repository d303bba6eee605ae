"""The README's calls, run as they are pasted."""

import re
import subprocess
from pathlib import Path

from tests.e2e.conftest import BIN, Process, grpcurl

README = (Path(__file__).parents[2] / "README.md").read_text()
CALLS = [block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "-d '" in block]


def test_the_calls_work_as_pasted_and_the_watch_ends_with_the_run(server: Process) -> None:
    assert len(CALLS) == 7, "six calls, and the one that ends the run"
    *calls, watch, finish = [call.replace("127.0.0.1:50051", server.address) for call in CALLS]
    for call in calls:
        done = _shell(call)
        assert done.returncode == 0, done.stderr
    with subprocess.Popen(
        watch, shell=True, text=True, stdout=subprocess.PIPE, env={"PATH": f"{BIN}:/usr/bin:/bin"}
    ) as watching:
        assert watching.stdout is not None
        seen = ""
        while '"bookmark_seq"' not in seen:  # the whole snapshot has come
            seen += watching.stdout.readline()
        assert _shell(finish).returncode == 0
        rest, _ = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert '"block_id": "to-station"' in seen
    # The block that was left open is closed before the run's own last event.
    assert rest.index("BLOCK_RECORD_STATUS_CANCELED") < rest.index("TASK_RECORD_STATUS_SUCCEEDED")


def test_grpcurl_finds_its_way(server: Process) -> None:
    listed = subprocess.run(
        [BIN / "grpcurl", "-plaintext", server.address, "list"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert {"vwed.v1.TaskDefService", "vwed.v1.RecordService", "vwed.v1.CacheService"} <= set(
        listed.stdout.split()
    )
    health = grpcurl(
        server.address, "grpc.health.v1.Health/Check", '{"service": "vwed.v1.RecordService"}'
    )
    assert '"SERVING"' in health.stdout
    assert "server" in grpcurl(server.address, "grpc.channelz.v1.Channelz/GetServers").stdout
    missing = grpcurl(server.address, "vwed.v1.RecordService/GetTaskRecord", '{"id": "none"}')
    assert missing.returncode != 0
    assert "NotFound" in missing.stderr
    assert "TASK_RECORD_NOT_FOUND" in missing.stderr


def _shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": f"{BIN}:/usr/bin:/bin"},
    )
