"""`vwed-grpc watch` and `top` follow runs through two SIGKILLs of the server, and say so."""

import asyncio
import json
import re
import signal

from vwed.v1.block_record_pb2 import BlockRecordStatus

from tests.support.calls import finish_run
from tests.support.process import BIN, ENVIRONMENT, Process
from tests.support.steps import block, define, history, report, running
from tests.support.terminal import UP, all_of, on_a_terminal, until_shown
from vwed.client import connect

CONFIG = {"blocks": [{"id": f"b{n}", "type": "drive", "name": f"驶向 {n}"} for n in range(6)]}
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


async def test_without_a_gap_or_a_repeat(server: Process) -> None:
    async with connect(server.address, tenant="kills") as client:
        run = await running(client, (await define(client, CONFIG)).id)
        where = ("--target", server.address, "--tenant", "kills")
        lines = await asyncio.create_subprocess_exec(
            str(BIN / "vwed-grpc"), "watch", run.id, "--after-seq", "0", "-o", "json", *where,
            env=ENVIRONMENT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        with (
            on_a_terminal("watch", run.id, "--exit-status", *where) as (tree, terminal),
            on_a_terminal("top", *where) as (top, another),
        ):
            await asyncio.to_thread(until_shown, terminal, "b5")  # both watch
            seen = asyncio.create_task(asyncio.to_thread(all_of, terminal))
            seen_of_top = asyncio.create_task(asyncio.to_thread(all_of, another))
            assert lines.stdout
            told = [await lines.stdout.readline()]
            for n in range(6):
                running_ = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
                answer = await report(client, run.id, block(f"b{n}", running_))
                if n in (1, 3):
                    while int(json.loads(told[-1])["seq"]) < answer.seqs[-1]:
                        told.append(await lines.stdout.readline())  # or two outages are one
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                done = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
                await report(client, run.id, block(f"b{n}", done))
            await finish_run(client, run.id)
            rest, said = await lines.communicate()
            told += rest.splitlines()
            shown = await seen
            assert await asyncio.to_thread(tree.wait) == 0
            top.send_signal(signal.SIGINT)
            shown_by_top = await seen_of_top
            assert await asyncio.to_thread(top.wait) == 130
        assert lines.returncode == 0
        events = await history(client, run.id)
    assert [int(json.loads(line)["seq"]) for line in told] == [e.seq for e in events]
    lost, back = f"connection lost, trying again: {server.address} is ", "connection is back"
    begins = [line[: len(lost)] for line in said.decode().splitlines()]
    assert begins == [lost, back, lost, back]
    for picture in shown, shown_by_top:
        assert "connection lost, trying again (" in picture
    # Each frame is drawn over the one before: what follows the last move up is the last one.
    frame = _CONTROL.sub("", shown[shown.rindex(UP) :]).replace("\r", "").split("\n")[:7]
    assert "SUCCEEDED  100% of 6" in frame[0]
    assert [line.split()[:2] for line in frame[1:]] == [["+", f"b{n}"] for n in range(6)]
    assert all("SUCCEEDED" in line for line in frame)
