"""The README's commands, calls and robot, as they are pasted."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vwed.v1.block_record_pb2 import BlockRecordStatus

from tests.support.grpcurl import messages, shell
from tests.support.pages import blocks, sections
from tests.support.process import ENVIRONMENT, Process
from tests.support.steps import define, running
from vwed.client import connect, watch_run
from vwed_grpc.domain import lifecycle

README = "README.md"
SECTIONS = sections(README, "sh", "python")


def test_what_is_pasted_is_the_same_in_both_languages() -> None:
    def pasted(page: str) -> list[tuple[str, str]]:
        return [(block.language, block.text) for block in blocks(page)]

    assert pasted("README.zh.md") == pasted(README)


def test_the_pages_begin_as_the_readme() -> None:
    found = [block.text for block in blocks("docs/index.md")]
    assert found == [*SECTIONS["Start"], *SECTIONS["In the terminal"]]


async def test_the_calls_work_and_the_watch_shows_them(shared: Process, tmp_path: Path) -> None:
    *calls, watch, finish, look = _at(shared, SECTIONS["Look around with grpcurl"])
    assert len(calls) == 5

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

    done = await asyncio.to_thread(_paste, look, shared, tmp_path)
    assert done.returncode == 0, done.stderr
    tree, history = done.stdout.split('robot = "AMR-03"\n')
    assert tree.startswith("托盘配送 WMS-4711  SUCCEEDED")
    assert len(history.splitlines()) == 6 + 3, "all events, and the present states of the watch"
    assert (tmp_path / "timeline.svg").read_text().startswith("<svg")


async def test_the_terminal_lists_the_runs(shared: Process, tmp_path: Path) -> None:
    async with connect(shared.address) as client:
        open_run = await running(client, (await define(client)).id)
    (block,) = SECTIONS["In the terminal"]
    done = await asyncio.to_thread(_paste, block, shared, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(open_run.id) == 2


async def test_the_robot_drives_a_run_and_ends_at_sigterm(shared: Process, tmp_path: Path) -> None:
    program, start, order = _at(shared, SECTIONS["A robot of your own"])
    assert start == ".venv/bin/python robot.py\n"
    assert len(program.splitlines()) == 20
    (tmp_path / "robot.py").write_text(program)
    draw = _at(shared, SECTIONS["Look around with grpcurl"])[0]
    _paste(draw)  # it is there already, unless this test runs alone

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


def _paste(
    call: str, server: Process | None = None, where: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`server` is for what does not name one."""
    return subprocess.run(
        call,
        shell=True,
        cwd=where,
        env=ENVIRONMENT | ({"VWED_TARGET": server.address} if server else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _content(event: Any) -> tuple[str, str]:
    if block := event.get("block_record"):
        return block["block_id"], block["status"].removeprefix("BLOCK_RECORD_STATUS_")
    run = event["task_record"]
    return run["id"], run["status"].removeprefix("TASK_RECORD_STATUS_")
