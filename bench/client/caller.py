"""`python -m bench.client.caller TARGET ROUNDS CALLS`: a process that calls by both, in turns.

Prints a JSON object: by RPC a list of rounds, each [seconds of CPU a call of the stub, of the
client, calls a second of the client].
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from vwed.v1.cache_service_pb2 import IncrementDataCacheRequest
from vwed.v1.cache_service_pb2_grpc import CacheServiceStub
from vwed.v1.record_service_pb2 import GetTaskRecordRequest
from vwed.v1.record_service_pb2_grpc import RecordServiceStub

from bench.seed import RUN
from vwed.client import connect

CALLERS = 32
Method = Callable[[Any], Awaitable[Any]]


async def main(target: str, rounds: int, calls: int) -> None:
    async with grpc.aio.insecure_channel(target) as channel, connect(target) as client:
        pairs: dict[str, tuple[Method, Method, Any]] = {
            "GetTaskRecord": (
                RecordServiceStub(channel).GetTaskRecord,
                client.records.GetTaskRecord,
                GetTaskRecordRequest(id=RUN),
            ),
            "IncrementDataCache": (
                CacheServiceStub(channel).IncrementDataCache,
                client.cache.IncrementDataCache,
                IncrementDataCacheRequest(task_record_id=RUN, key="counted", int_delta=1),
            ),
        }
        found: dict[str, list[list[float]]] = {name: [] for name in pairs}
        for n in range(-1, 2 * rounds):
            for name, (stub, ours, request) in pairs.items():
                took = {}
                # Each goes first as often as the other: what went before warms the caches.
                for method in (stub, ours) if n % 2 else (ours, stub):
                    took[method] = await _call(method, request, calls)
                if n >= 0:  # the first round warms up
                    found[name].append([took[stub][0], *took[ours]])
    print(json.dumps(found))


async def _call(method: Method, request: Any, calls: int) -> tuple[float, float]:
    """Seconds of CPU a call, calls a second."""
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            await method(request)

    gc.collect()
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return (time.process_time() - cpu) / calls, calls / (time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
