"""`TARGET TENANT RUNS BLOCKS`: drives so many runs of so many blocks, and says what it took.

The time is from the first block to the end of the last run, when all is reported and finished.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vwed.v1.record_service_pb2 import ListTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecordFilter, TaskRecordStatus

from vwed.client import connect
from vwed.client.executor import Executor, Run

_EVERY = 0.005
_ALL_SECONDS = 120


async def main(target: str, tenant: str, runs: int, blocks: int) -> None:
    executor = Executor(target, "executor-1", tenant=tenant, lease=60, concurrency=runs)
    began: list[tuple[float, float]] = []

    @executor.task()
    async def drive(run: Run) -> dict[str, int]:
        began.append((time.perf_counter(), time.process_time()))
        for n in range(blocks):
            async with run.block("drive", "drive", iteration=str(n)) as block:
                await asyncio.sleep(0)  # as code does that has something to wait for
                block.output = {"distance_m": 41.5, "station": "P-07"}
        return {"blocks": blocks}

    with _late() as late:
        serving = asyncio.create_task(executor.serve())
        async with asyncio.timeout(_ALL_SECONDS):
            await _all_ended(target, tenant, runs)
        since, cpu = min(began)
        took = time.perf_counter() - since, time.process_time() - cpu
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    late.sort()
    said = {
        "seconds": took[0],
        "cpu": took[1],
        "loop_held_p99_ms": late[int(0.99 * len(late))] * 1e3,
        "loop_held_most_ms": late[-1] * 1e3,
    }
    print(json.dumps(said))


async def _all_ended(target: str, tenant: str, runs: int) -> None:
    succeeded = TaskRecordFilter(statuses=[TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED])
    request = ListTaskRecordsRequest(filter=succeeded)
    async with connect(target, tenant=tenant) as client:
        while len((await client.records.ListTaskRecords(request)).task_records) < runs:  # noqa: ASYNC110 - of others
            await asyncio.sleep(0.05)


@contextmanager
def _late() -> Iterator[list[float]]:
    """Seconds by which timers went off too late, while entered."""
    late: list[float] = []

    async def look() -> None:
        while True:
            due = time.perf_counter() + _EVERY
            await asyncio.sleep(_EVERY)
            late.append(max(0.0, time.perf_counter() - due))

    looking = asyncio.create_task(look())
    try:
        yield late
    finally:
        looking.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
