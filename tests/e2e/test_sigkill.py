"""A server that is killed in the middle of a demo loses nothing that it acknowledged."""

import asyncio
import re
from collections import defaultdict
from pathlib import Path

import grpc
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import ReportBlockRequest, WatchTaskRecordRequest

from tests.support.calls import create_def, create_run, finish_run, get_entry, start_run
from tests.support.console import Console, follow
from tests.support.grpcurl import shell
from tests.support.process import Process
from tests.support.waiting import until_true
from tests.support.watching import watch_to_end
from vwed.client import Client, connect

LINES = 25
"""So many more the demo prints before each kill."""


async def test_what_was_acknowledged_is_there_and_watches_go_on(
    server: Process, tmp_path: Path
) -> None:
    demo = f"vwed-grpc demo --speed 0.02 --target {server.address}"
    console = Console(server.address, tmp_path / "console.log")
    await console.start()
    async with shell(demo) as playing, connect(server.address, deadline=5) as client:
        run = (await create_run(client, (await create_def(client)).id)).id
        await start_run(client, run)
        watching = asyncio.create_task(_watch(client, run))
        browsing = asyncio.create_task(follow(console, f"/api/runs/{run}/stream?after=0"))
        traffic = _Traffic(client, run)
        reporting = asyncio.create_task(traffic.report())

        output = await _read(playing)
        await traffic.grows_beyond(10)
        server.kill()
        acknowledged = [len(traffic.blocks)]
        await asyncio.to_thread(server.start)
        output += await _read(playing)
        await traffic.grows_beyond(acknowledged[0])
        server.kill()
        server.kill_embedded()  # as if the machine went
        acknowledged.append(len(traffic.blocks))
        await asyncio.to_thread(server.start)
        output += await _read(playing)

        rest, _ = await asyncio.wait_for(playing.communicate(), 60)
        output += rest.decode()
        assert playing.returncode == 0, output
        await traffic.grows_beyond(acknowledged[1])
        traffic.enough.set()
        await asyncio.wait_for(reporting, 30)

        await finish_run(client, run)
        seen = await asyncio.wait_for(watching, 30)
        assert [*seen] == list(range(1, len(seen) + 1)), "no gap, no repeat"
        assert traffic.blocks.items() <= seen.items(), "nothing acknowledged is lost"
        assert [block for block in seen.values() if block] == [*traffic.blocks.values()]
        assert await asyncio.wait_for(browsing, 30) == [*seen], "nor in a browser"
        kept = await watch_to_end(client, run, after_seq=0)
        assert [event.seq for event in kept.changes] == [*seen]
        for key, version in traffic.entries.items():
            assert (await get_entry(client, run, key)).version == version
    await console.close()
    _check_demo(output)


class _Traffic:
    """Reports one block after the other, and a value with each, until it is enough."""

    def __init__(self, client: Client, run: str) -> None:
        self.enough = asyncio.Event()
        self.blocks: dict[int, str] = {}
        """What was acknowledged: the block that each seq is of."""
        self.entries: dict[str, int] = {}
        """What was acknowledged: the version of each key."""
        self._client = client
        self._run = run

    async def grows_beyond(self, blocks: int) -> None:
        """Waits until more blocks than these were acknowledged."""
        await until_true(lambda: len(self.blocks) > blocks, what="the next report's answer")

    async def report(self) -> None:
        while not self.enough.is_set():
            name = f"block-{len(self.blocks)}"
            block = BlockRecord(
                block_id=name, status=BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
            )
            # Repeated until it is answered, which must not make it a second one.
            reported = await self._client.records.ReportBlock(
                ReportBlockRequest(task_record_id=self._run, block_record=block)
            )
            self.blocks[reported.seq] = name
            entry = DataCache(task_record_id=self._run, key=name, string_value=name)
            kept = await self._client.cache.SetDataCache(SetDataCacheRequest(data_cache=entry))
            self.entries[name] = kept.version
            await asyncio.sleep(0.01)


async def _watch(client: Client, run: str) -> dict[int, str]:
    """The block of each event (none: the run's own), with a new watch where the last one broke."""
    seen: dict[int, str] = {}
    while True:
        request = WatchTaskRecordRequest(task_record_id=run, after_seq=max(seen, default=0))
        try:
            async for message in client.records.WatchTaskRecord(request):
                for event in message.events:
                    assert event.seq not in seen
                    seen[event.seq] = event.block_record.block_id
        except grpc.aio.AioRpcError as exc:
            if exc.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)
        else:
            return seen


async def _read(playing: asyncio.subprocess.Process) -> str:
    assert playing.stdout
    lines = [await asyncio.wait_for(playing.stdout.readline(), 60) for _ in range(LINES)]
    assert lines[-1], "it has ended"
    return b"".join(lines).decode()


def _check_demo(output: str) -> None:
    """What the demo printed of each run has neither gap nor repeat."""
    seqs = defaultdict[str, list[int]](list)
    for name, seq in re.findall(r"^(\S+(?: #2)?) +[\d:.]{12} +(\d+) ", output, re.MULTILINE):
        seqs[name].append(int(seq))
    assert len(seqs) == 5, "four runs, and the one that is made anew"
    for name, told in seqs.items():
        assert told == list(range(1, len(told) + 1)), name
