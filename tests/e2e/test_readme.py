"""The README's calls, as they are pasted."""

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.grpcurl import messages, shell
from tests.support.process import ENVIRONMENT, Process

README = Path(__file__).parents[2] / "README.md"


async def test_the_calls_work_and_the_watch_shows_them(shared: Process) -> None:
    calls = re.findall(r"^```sh\n(grpcurl .*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert len(calls) == 7, "six calls, and the one that ends the run"
    *calls, watch, finish = [call.replace("127.0.0.1:50051", shared.address) for call in calls]

    for call in calls:
        assert (done := _paste(call)).returncode == 0, done.stderr
    async with shell(watch) as watching:
        told = messages(watching)
        snapshot = await anext(told)
        assert snapshot["snapshot"]
        assert [_content(event) for event in snapshot["events"]] == [
            ("order-4711", "RUNNING"),
            ("pick-robot", "SUCCEEDED"),
            ("to-station", "RUNNING"),
        ]

        assert (done := await asyncio.to_thread(_paste, finish)).returncode == 0, done.stderr
        changes = [event async for message in told for event in message["events"]]
        # The block that was left open is closed before the run's own last event.
        assert [_content(event) for event in changes] == [
            ("to-station", "CANCELED"),
            ("order-4711", "SUCCEEDED"),
        ]
        seqs = [int(event["seq"]) for event in (*snapshot["events"], *changes)]
        assert seqs == sorted(set(seqs))
        assert await asyncio.wait_for(watching.wait(), 60) == 0


def _paste(call: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        call, shell=True, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


def _content(event: Any) -> tuple[str, str]:
    if block := event.get("block_record"):
        return block["block_id"], block["status"].removeprefix("BLOCK_RECORD_STATUS_")
    run = event["task_record"]
    return run["id"], run["status"].removeprefix("TASK_RECORD_STATUS_")
