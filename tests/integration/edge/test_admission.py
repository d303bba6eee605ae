"""Nobody takes the places of others: each class of calls, over a real channel."""

import asyncio
import uuid
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from vwed.v1 import record_service_pb2 as pb
from vwed.v1 import task_record_pb2
from vwed.v1.task_def_service_pb2 import ListTaskDefsRequest

from tests.support.busy_world import LIMITS, PLACES, RECORDS, as_tenant, serving_world
from tests.support.calls import create_def, create_run
from tests.support.half_sent import half_sending
from tests.support.steps import block, get, report, running
from tests.support.waiting import until_true
from vwed.client import connect, error_info
from vwed_grpc import server
from vwed_grpc.limits import Limits
from vwed_grpc.settings import Settings

KINDS = ("live", "urgent", "bulk", "figures", "claims", "watches")
SHARED = {
    "live": {"live", "claims", "watches"},
    "urgent": {"urgent", "live", "claims", "watches"},
    "claims": set[str](),
    "watches": set[str](),
}
"""Whose places those are, too: a claim looks in a live one, and a watch's request is read in one.
Of waits the newest are ended when another tenant comes, so they keep nobody out."""


@pytest.mark.parametrize("full", KINDS)
async def test_who_fills_a_class_keeps_nobody_out_of_the_others(full: str) -> None:
    async with serving_world() as world, AsyncExitStack() as stack:
        await world.fill(stack, full, 2 * PLACES[full], PLACES[full])
        for kind in KINDS:
            if kind not in SHARED.get(full, {full}):
                await world.call(kind, "other")


@pytest.mark.parametrize("full", ["live", "bulk", "figures"])
async def test_a_place_that_is_given_back_is_for_the_other_tenant(full: str) -> None:
    async with serving_world() as world, AsyncExitStack() as stack:
        await world.fill(stack, full, 8, 4)
        other = asyncio.create_task(world.call(full, "other"))
        world.servicer.released.set()
        await other


@pytest.mark.parametrize("full", ["live", "bulk", "figures", "urgent"])
async def test_a_tenant_that_asks_keeps_its_half(full: str) -> None:
    async with serving_world() as world, AsyncExitStack() as stack:
        await world.call(full, "other")
        half = 5 if full == "urgent" else 2  # of the reserve, and all of the live places
        await world.fill(stack, full, 8, half)
        for _ in range(10):
            await world.call(full, "other")


async def test_waits_of_who_has_more_than_half_make_room() -> None:
    async with serving_world() as world, AsyncExitStack() as stack:
        calls = await world.fill(stack, "claims", 4, 4)
        for kind in ("claims", "watches"):
            await world.call(kind, "other")
        ended, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for call in ended:
            error = call.exception()
            assert isinstance(error, grpc.aio.AioRpcError)
            assert (info := error_info(error))
            assert info.reason == "TOO_MANY_WAITS"


HALF_SENT = 40


async def test_half_sent_requests_hold_little_and_nobody_up() -> None:
    size = 4_000_000
    assert LIMITS.upload_seconds == 10  # of which this is a twentieth
    limits = LIMITS.model_copy(update={"upload_seconds": 0.5})
    async with serving_world(limits) as world, half_sending(world.target) as sender:
        sender.open(f"/{RECORDS}/CreateTaskRecord", "slow", HALF_SENT, size)
        most = 0
        while sender.sent:
            await world.call("live", "other")
            most = max(most, sender.held)
        of_reading = (limits.uploads + limits.slow_uploads) * size
        assert 0 < most <= of_reading + HALF_SENT * (64 << 10) * 2
        assert len(sender.trailers) == HALF_SENT  # each has a status
        assert not any(b"are not a" in trailers for trailers in sender.trailers)


async def test_a_large_request_that_comes_whole_is_taken() -> None:
    async with serving_world() as world:
        run = task_record_pb2.TaskRecord(task_def_id="d")
        run.input["text"] = "x" * 900_000
        request = pb.CreateTaskRecordRequest(task_record=run)
        for tenant in ("a", "b"):
            await world.stub.CreateTaskRecord(request, metadata=as_tenant(tenant))


async def test_bytes_of_requests_at_work_are_bounded() -> None:
    async with (
        serving_world(Limits(large_request_bytes=1 << 20)) as world,
        AsyncExitStack() as stack,
    ):
        run = task_record_pb2.TaskRecord(task_def_id="d")
        run.input["text"] = "x" * 900_000
        request = pb.CreateTaskRecordRequest(task_record=run)

        async def create(tenant: str) -> None:
            await world.stub.CreateTaskRecord(request, metadata=as_tenant(tenant))

        first = asyncio.create_task(create("slow"))
        stack.callback(world.servicer.released.set)
        await until_true(lambda: world.servicer.working["slow"] == 1)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await create("slow")
        info = error_info(refused.value)
        assert info
        assert info.reason == "TOO_MANY_REQUEST_BYTES"
        await world.call("live", "other")
        world.servicer.released.set()
        await first
        await create("slow")


async def test_of_a_burst_none_ends_without_a_word() -> None:
    async with serving_world(Limits()) as world:
        ended = await asyncio.gather(
            *(world.call("live", "a") for _ in range(3_000)), return_exceptions=True
        )
    failed = [each for each in ended if each is not None]
    assert all(isinstance(each, grpc.aio.AioRpcError) and error_info(each) for each in failed)


async def test_idle_streams_hold_no_place(settings: Settings) -> None:
    few = settings.model_copy(update={"live_calls": 1, "urgent_calls": 1})
    async with (
        server.serving(few) as port,
        connect(f"127.0.0.1:{port}", tenant="streams", bare=True) as client,
    ):
        run = await running(client)
        watches, streams = list[Any](), list[Any]()
        for n in range(5):
            watches.append(
                client.records.WatchTaskRecord(pb.WatchTaskRecordRequest(task_record_id=run.id))
            )
            assert (await watches[-1].read()).events
            streams.append(client.records.StreamBlockReports())
            batch = pb.StreamBlockReportsRequest(task_record_id=run.id)
            batch.block_records.add(block_id=f"b{n}")
            await streams[-1].write(batch)
            assert (await streams[-1].read()).seqs
        for _ in range(5):
            await get(client, run.id)
            await report(client, run.id, block("a"))
        for call in (*watches, *streams):
            assert not call.done()
            call.cancel()


async def test_claimers_of_the_service_wait_without_a_place(settings: Settings) -> None:
    """Twenty for each place: the calls of their own tenant and of others go on."""
    few = settings.model_copy(update={"live_calls": 2})
    async with (
        server.serving(few) as port,
        connect(f"127.0.0.1:{port}", tenant="claims", bare=True) as client,
        connect(f"127.0.0.1:{port}", tenant="others", bare=True) as other,
    ):
        run = await create_run(other, (await create_def(other, uuid.uuid4().hex)).id)
        wait = pb.ClaimTaskRecordsRequest(
            executor_id="e",
            filter=task_record_pb2.TaskRecordFilter(task_types=["none"]),
            wait=Duration(seconds=60),
        )
        claims = [asyncio.ensure_future(client.records.ClaimTaskRecords(wait)) for _ in range(40)]
        for _ in range(20):
            await get(other, run.id)
            await client.definitions.ListTaskDefs(ListTaskDefsRequest())
        assert not any(claim.done() for claim in claims)
        for claim in claims:
            claim.cancel()
        await asyncio.gather(*claims, return_exceptions=True)
