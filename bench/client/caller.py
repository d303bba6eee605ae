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
from copy import deepcopy
from typing import Any
from uuid import uuid4

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
        pairs: dict[str, tuple[Method, Method, list[Any]]] = {
            "GetTaskRecord": (
                RecordServiceStub(channel).GetTaskRecord,
                client.records.GetTaskRecord,
                [GetTaskRecordRequest(id=RUN)] * CALLERS,
            ),
            "IncrementDataCache": (
                _with_request_id(CacheServiceStub(channel).IncrementDataCache),
                client.cache.IncrementDataCache,
                [
                    IncrementDataCacheRequest(task_record_id=RUN, key=f"n-{n}", int_delta=1)
                    for n in range(CALLERS)
                ],
            ),
        }
        found: dict[str, list[list[float]]] = {name: [] for name in pairs}
        for n in range(-1, 2 * rounds):
            for name, (stub, ours, requests) in pairs.items():
                took = {}
                # Each goes first as often as the other: what went before warms the caches.
                for method in (stub, ours) if n % 2 else (ours, stub):
                    took[method] = await _call(method, requests, calls)
                if n >= 0:  # the first round warms up
                    found[name].append([took[stub][0], *took[ours]])
    print(json.dumps(found))


def _with_request_id(stub: Method) -> Method:
    """Else the service does less for the stub, and who waits for longer polls more often."""

    def call(request: Any) -> Awaitable[Any]:
        request.request_id = str(uuid4())
        return stub(request)

    return call


async def _call(method: Method, requests: list[Any], calls: int) -> tuple[float, float]:
    """Seconds of CPU a call, calls a second; a caller makes its request again and again."""
    left = iter(range(calls))

    async def caller(request: Any) -> None:
        for _ in left:
            await method(request)

    gc.collect()
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*map(caller, deepcopy(requests)))  # a stub's caller fills them in
    return (time.process_time() - cpu) / calls, calls / (time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
