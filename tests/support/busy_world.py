"""A server whose calls last as long as a test wants, to fill each class of calls."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import grpc
from vwed.v1 import record_service_pb2 as pb
from vwed.v1 import record_service_pb2_grpc

from tests.support.waiting import until_true
from vwed_grpc.limits import Limits
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.health import Health
from vwed_grpc.rpc.introspection import introspection
from vwed_grpc.rpc.options import server_options
from vwed_grpc.rpc.registration import Handlers

if TYPE_CHECKING:
    from vwed.v1.record_service_pb2_grpc import RecordServiceAsyncStub

Calls = list[asyncio.Task[None]]
RECORDS = "vwed.v1.RecordService"
LIMITS = Limits(
    live_calls=4,
    urgent_calls=2,
    bulk_calls=4,
    figures_calls=4,
    probe_calls=2,
    waits=4,
    waits_of_connection=100,
    uploads=2,
    slow_uploads=2,
)

PLACES = {"live": 4, "urgent": 6, "bulk": 4, "figures": 4, "claims": 4, "watches": 4}
"""All that a tenant gets while it is alone; what is urgent has the reserve and the live places."""


class Records:
    """One method of each class; the calls of tenant "slow" stay until they are released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.working = Counter[str]()

    async def _work(self, call: Call) -> None:
        self.working[call.tenant] += 1
        if call.tenant == "slow":
            await self.released.wait()
        self.working[call.tenant] -= 1

    async def GetTaskRecord(self, _: Any, call: Call) -> bytes:  # noqa: N802 - the RPC's name
        await self._work(call)
        return b""

    async def CreateTaskRecord(self, _: Any, call: Call) -> bytes:  # noqa: N802 - the RPC's name
        await self._work(call)
        return b""

    async def HeartbeatTaskRecord(self, _: Any, call: Call) -> bytes:  # noqa: N802 - the RPC's name
        await self._work(call)
        return b""

    async def ListTaskRecords(self, _: Any, call: Call) -> bytes:  # noqa: N802 - the RPC's name
        await self._work(call)
        return b""

    async def SummarizeTaskRecords(self, _: Any, call: Call) -> bytes:  # noqa: N802 - the RPC's name
        await self._work(call)
        return b""

    async def ClaimTaskRecords(self, _: Any, call: Call) -> bytes:  # noqa: N802 - the RPC's name
        async with call.waiting():
            await self._work(call)
        return b""

    async def WatchTaskRecord(self, _: Any, call: Call) -> AsyncIterator[bytes]:  # noqa: N802 - the RPC's name
        yield b""
        await self._work(call)


class World:
    def __init__(
        self, target: str, servicer: Records, edge: Edge, stub: "RecordServiceAsyncStub"
    ) -> None:
        self.target = target
        self.servicer = servicer
        self.edge = edge
        self.stub = stub

    async def call(self, kind: str, tenant: str) -> None:
        of: dict[str, Callable[..., Awaitable[Any]]] = {
            "live": lambda **given: self.stub.GetTaskRecord(
                pb.GetTaskRecordRequest(id="r"), **given
            ),
            "urgent": lambda **given: self.stub.HeartbeatTaskRecord(
                pb.HeartbeatTaskRecordRequest(id="r"), **given
            ),
            "bulk": lambda **given: self.stub.ListTaskRecords(pb.ListTaskRecordsRequest(), **given),
            "figures": lambda **given: self.stub.SummarizeTaskRecords(
                pb.SummarizeTaskRecordsRequest(end_time=DAY), **given
            ),
            "claims": lambda **given: self.stub.ClaimTaskRecords(
                pb.ClaimTaskRecordsRequest(executor_id="e"), **given
            ),
        }
        if kind == "watches":
            watch = self.stub.WatchTaskRecord(
                pb.WatchTaskRecordRequest(task_record_id="r"), metadata=as_tenant(tenant)
            )
            async for _ in watch:
                pass
        else:
            await of[kind](metadata=as_tenant(tenant), timeout=20)

    async def fill(self, stack: AsyncExitStack, kind: str, count: int, working: int) -> Calls:
        """Calls of tenant "slow", of which so many get to work."""
        calls = [asyncio.create_task(self.call(kind, "slow")) for _ in range(count)]

        async def end() -> None:
            self.servicer.released.set()
            await asyncio.gather(*calls, return_exceptions=True)

        stack.push_async_callback(end)
        await until_true(lambda: self.servicer.working["slow"] == working)
        return calls


def as_tenant(tenant: str) -> tuple[tuple[str, str], ...]:
    return (("x-vwed-tenant", tenant),)


DAY = pb.SummarizeTaskRecordsRequest().end_time
DAY.to.seconds = 86_400
getattr(DAY, "from").seconds = 1


@asynccontextmanager
async def serving_world(
    limits: Limits = LIMITS, options: Mapping[str, int] = MappingProxyType({})
) -> AsyncIterator[World]:
    """With health, reflection and channelz; `options` are of gRPC's core, and win over ours."""
    own = {**dict(server_options(limits)), **options}
    server = grpc.aio.server(options=[*own.items(), ("grpc.so_reuseport", 0)])
    records, edge = Records(), Edge(limits)

    async def probe() -> None:
        """There is no store."""

    servicers = introspection([RECORDS], Health({RECORDS: lambda: None}, probe))
    server.add_generic_rpc_handlers((Handlers({**servicers, RECORDS: [records]}, edge),))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            stub = record_service_pb2_grpc.RecordServiceStub(channel)
            yield World(target, records, edge, stub)
    finally:
        await server.stop(None)
