"""The README's calls and its robot, as they are pasted."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vwed.v1.block_record_pb2 import BlockRecordStatus

from tests.support.grpcurl import messages, shell
from tests.support.process import ENVIRONMENT, Process
from vwed.client import connect, watch_run
from vwed_grpc.domain import lifecycle

SECTIONS = {
    head: re.findall(r"^```(?:sh|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for head, text in re.findall(
        r"^## (.*?)\n(.*?)(?=^## |\Z)",
        (Path(__file__).parents[2] / "README.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
}


async def test_the_calls_work_and_the_watch_shows_them(shared: Process) -> None:
    calls = _at(shared, SECTIONS["Look around with grpcurl"])[1:]
    assert len(calls) == 7, "six calls, and the one that ends the run"
    *calls, watch, finish = calls

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


async def test_the_robot_drives_a_run_and_ends_at_sigterm(shared: Process, tmp_path: Path) -> None:
    program, start, order = _at(shared, SECTIONS["A robot of your own"])
    assert start == ".venv/bin/python robot.py\n"
    assert len(program.splitlines()) == 20
    (tmp_path / "robot.py").write_text(program)
    define = _at(shared, SECTIONS["Look around with grpcurl"])[1]
    _paste(define)  # it is there already, unless this test runs alone

    robot = await asyncio.create_subprocess_exec(
        sys.executable,
        "robot.py",
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        assert (done := _paste(order)).returncode == 0, done.stderr
        async with connect(shared.address) as client:
            told = [event async for event in watch_run(client, "order-4712", after_seq=0)]
        robot.terminate()
        said, _ = await asyncio.wait_for(robot.communicate(), 60)
    finally:
        if robot.returncode is None:
            robot.kill()
    assert (robot.returncode, said) == (0, b"")
    assert told[-1].task_record.status == lifecycle.SUCCEEDED
    blocks = [event.block_record for event in told if event.HasField("block_record")]
    ended = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
    assert [(block.block_id, block.attempt) for block in blocks if block.status == ended] == [
        ("pick-robot", 1),
        ("to-station", 1),
        ("set-down", 2),
    ]


def _at(server: Process, blocks: Sequence[str]) -> list[str]:
    return [block.replace("127.0.0.1:50051", server.address) for block in blocks]


def _paste(call: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        call, shell=True, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


def _content(event: Any) -> tuple[str, str]:
    if block := event.get("block_record"):
        return block["block_id"], block["status"].removeprefix("BLOCK_RECORD_STATUS_")
    run = event["task_record"]
    return run["id"], run["status"].removeprefix("TASK_RECORD_STATUS_")
