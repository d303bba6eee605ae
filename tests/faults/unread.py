"""Watches that nobody reads, in a process of their own: `TARGET TENANT TOKEN RUN...` on stdin."""

import asyncio
import sys
from contextlib import AsyncExitStack
from itertools import cycle, islice
from typing import Any

from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import WatchTaskRecordRequest, WatchTaskRecordsRequest

from vwed.client import connect

CONNECTIONS = 10
OF_EACH = 25
"""Of many runs: from a token on, and as they are; of one run: from its beginning, and as it is."""


async def hold(target: str, tenant: str, token: str, *runs: str) -> None:
    """Opens them, says so, and keeps them until stdin ends."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(target, tenant=tenant, bare=True))
            for _ in range(CONNECTIONS)
        ]
        full = View.VIEW_FULL
        calls: list[Any] = []
        for client, run in islice(zip(cycle(clients), cycle(runs), strict=False), OF_EACH):
            r = client.records
            many = WatchTaskRecordsRequest(include_blocks=True, view=full, resume_token=token)
            one = WatchTaskRecordRequest(task_record_id=run, view=full)
            history = WatchTaskRecordRequest(task_record_id=run, view=full, after_seq=0)
            new = WatchTaskRecordsRequest(include_blocks=True, view=full)
            calls += [r.WatchTaskRecords(many), r.WatchTaskRecords(new)]
            calls += [r.WatchTaskRecord(one), r.WatchTaskRecord(history)]
        print("open", flush=True)  # noqa: T201 - to the test
        await asyncio.to_thread(sys.stdin.read)
        for call in calls:
            call.cancel()


if __name__ == "__main__":
    asyncio.run(hold(*sys.argv[1:]))
