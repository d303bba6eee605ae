"""The edge, over a real channel, around a servicer made for the purpose."""

import asyncio
import gc
import weakref
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    MutableMapping,
)
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # has no types
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # the same
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]  # the same
    reflection_pb2,
    reflection_pb2_grpc,
)
from grpc_status import rpc_status  # type: ignore[import-untyped]  # the same
from structlog.testing import capture_logs
from vwed.v1 import (
    block_record_pb2,
    record_service_pb2,
    record_service_pb2_grpc,
    task_def_service_pb2,
    task_def_service_pb2_grpc,
    task_record_pb2,
)

from tests.support.waiting import PATIENCE, until_true
from vwed_grpc.domain.errors import NotFound
from vwed_grpc.limits import Limits
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.errors import to_status
from vwed_grpc.rpc.health import Health
from vwed_grpc.rpc.introspection import introspection
from vwed_grpc.rpc.methods import Requests
from vwed_grpc.rpc.registration import Handlers

pytestmark = pytest.mark.usefixtures("each_call_is_logged")

TaskRecord = task_record_pb2.TaskRecord
RECORDS = "vwed.v1.RecordService"
DEFS = "vwed.v1.TaskDefService"


class Records:
    """Does what a test tells it by the id that it asks for."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.watching = asyncio.Event()
        self.closed = asyncio.Event()
        self.acts: dict[str, Callable[[], Awaitable[TaskRecord | bytes]]] = {}

    async def GetTaskRecord(  # noqa: N802 - the RPC's name
        self, request: record_service_pb2.GetTaskRecordRequest, call: Call
    ) -> TaskRecord | bytes:
        self.calls.append(call)
        if act := self.acts.get(request.id):
            return await act()
        return TaskRecord(id=request.id)

    async def CreateTaskRecord(  # noqa: N802 - the RPC's name
        self,
        request: record_service_pb2.CreateTaskRecordRequest,
        call: Call,  # noqa: ARG002 - part of the form
    ) -> TaskRecord:
        return request.task_record

    async def ClaimTaskRecords(  # noqa: N802 - the RPC's name
        self,
        request: record_service_pb2.ClaimTaskRecordsRequest,  # noqa: ARG002 - part of the form
        call: Call,  # noqa: ARG002 - part of the form
    ) -> record_service_pb2.ClaimTaskRecordsResponse:
        return record_service_pb2.ClaimTaskRecordsResponse()

    async def ReportBlock(  # noqa: N802 - the RPC's name
        self,
        request: record_service_pb2.ReportBlockRequest,
        call: Call,  # noqa: ARG002 - part of the form
    ) -> record_service_pb2.ReportBlockResponse:
        return record_service_pb2.ReportBlockResponse(block_record=request.block_record)

    async def WatchTaskRecord(  # noqa: N802 - the RPC's name
        self,
        request: record_service_pb2.WatchTaskRecordRequest,
        call: Call,  # noqa: ARG002 - part of the form
    ) -> AsyncIterator[record_service_pb2.WatchTaskRecordResponse | bytes]:
        try:
            for seq in range(3):
                yield record_service_pb2.WatchTaskRecordResponse(bookmark_seq=seq)
            self.watching.set()
            if request.task_record_id == "flood":
                while True:
                    yield b"\x0a\x00" * 100_000
            if request.task_record_id == "gone":
                raise NotFound("TASK_RECORD_DELETED", "it is deleted")
            if request.task_record_id != "ends":
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # closing may wait, too
            self.closed.set()

    async def StreamBlockReports(  # noqa: N802 - the RPC's name
        self, requests: Requests[record_service_pb2.StreamBlockReportsRequest], call: Call
    ) -> AsyncIterator[record_service_pb2.StreamBlockReportsResponse]:
        try:
            async for request, problem in requests:
                error = to_status(problem, call.request_id) if problem else None
                yield record_service_pb2.StreamBlockReportsResponse(
                    batch_id=request.batch_id, error=error
                )
        finally:
            self.closed.set()


class Defs:
    async def ImportTaskDefs(  # noqa: N802 - the RPC's name
        self,
        requests: Requests[task_def_service_pb2.ImportTaskDefsRequest],
        call: Call,  # noqa: ARG002 - part of the form
    ) -> task_def_service_pb2.ImportTaskDefsResponse:
        response = task_def_service_pb2.ImportTaskDefsResponse()
        index = 0
        async for _, problem in requests:
            if problem is None:
                response.created += 1
            else:
                response.errors.add(index=index, reason=problem.reason, message=problem.message)
            index += 1
        return response


class World:
    def __init__(
        self, edge: Edge, server: grpc.aio.Server, channel: grpc.aio.Channel, servicer: Records
    ) -> None:
        self.edge = edge
        self.stop = server.stop
        self.channel = channel
        self.servicer = servicer
        self.records = record_service_pb2_grpc.RecordServiceStub(channel)
        self.defs = task_def_service_pb2_grpc.TaskDefServiceStub(channel)

    def raw(self, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        return self.channel.unary_unary(f"/{RECORDS}/{method}")

    def get(self, id_: str = "run-1", *metadata: tuple[str, str]) -> Any:
        request = record_service_pb2.GetTaskRecordRequest(id=id_)
        return self.records.GetTaskRecord(request, metadata=metadata, timeout=5)

    def watch(self, id_: str) -> Any:
        request = record_service_pb2.WatchTaskRecordRequest(task_record_id=id_)
        return self.records.WatchTaskRecord(request, timeout=10)


@asynccontextmanager
async def serving(edge: Edge | None = None) -> AsyncIterator[World]:
    edge = edge or Edge(Limits())
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    records = Records()
    server.add_generic_rpc_handlers((Handlers({RECORDS: [records], DEFS: [Defs()]}, edge),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield World(edge, server, channel, records)
    finally:
        await server.stop(None)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


class Refusal:
    """An error as a caller sees it: code, reason, message, and the details that all errors have."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        status = rpc_status.from_call(_Sync(error))
        assert status is not None, f"no details in {error}"
        kinds = {any_.type_url.rpartition(".")[2]: any_.value for any_ in status.details}
        info = error_details_pb2.ErrorInfo.FromString(kinds["ErrorInfo"])
        assert info.domain == "vwed"
        self.reason = info.reason
        self.message = status.message
        self.raw = status.SerializeToString()
        self.request_id = error_details_pb2.RequestInfo.FromString(kinds["RequestInfo"]).request_id
        self.sent_id = dict(error.initial_metadata())["x-request-id"]
        bad = error_details_pb2.BadRequest.FromString(kinds.get("BadRequest", b""))
        self.fields = [violation.field for violation in bad.field_violations]
        self.retry = "RetryInfo" in kinds
        assert self.request_id == self.sent_id


class _Sync:
    """grpc_status reads calls of the sync API."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.trailing_metadata = lambda: tuple(error.trailing_metadata())
        self.code, self.details = error.code, error.details


async def refused(call: Awaitable[Any]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return Refusal(raised.value)


async def test_an_answer_and_who_asked(world: World) -> None:
    call = world.get("run-1", ("x-vwed-tenant", "site-1"), ("x-request-id", "r-1"))
    assert await call == TaskRecord(id="run-1")
    assert dict(await call.initial_metadata())["x-request-id"] == "r-1"
    seen = world.servicer.calls[0]
    assert (seen.tenant, seen.request_id, seen.strong) == ("site-1", "r-1", False)
    left = seen.remaining()
    assert left is not None
    assert 3 < left < 5.1  # gRPC rounds it up on its way


async def test_a_request_id_is_made(world: World) -> None:
    call = world.get()
    await call
    made = dict(await call.initial_metadata())["x-request-id"]
    assert made == world.servicer.calls[0].request_id
    assert len(made) == 36


async def test_bytes_go_out_as_they_are(world: World) -> None:
    async def cached() -> bytes:
        return TaskRecord(id="cached").SerializeToString()

    world.servicer.acts["c"] = cached
    assert await world.get("c") == TaskRecord(id="cached")


async def test_bytes_that_are_no_message(world: World) -> None:
    refusal = await refused(world.raw("ReportBlock")(b"\xff\xff"))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "MALFORMED_MESSAGE"


async def test_bad_fields_are_named_all_at_once(world: World) -> None:
    record = block_record_pb2.BlockRecord(block_id="b", message="a\0b")
    record.status = 99  # type: ignore[assignment]  # proto3 lets it through
    record.input_data["speed"] = float("nan")
    request = record_service_pb2.ReportBlockRequest(block_record=record)
    refusal = await refused(world.records.ReportBlock(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FIELD"
    assert sorted(refusal.fields) == [
        "block_record.input_data.speed",
        "block_record.message",
        "block_record.status",
        "task_record_id",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [("x-vwed-tenant", "no spaces"), ("x-vwed-actor", "a" * 129), ("x-vwed-consistency", "weak")],
)
async def test_bad_metadata_is_named(world: World, key: str, value: str) -> None:
    refusal = await refused(world.get("run-1", (key, value)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == [key]
    assert world.servicer.calls == []


async def test_an_rpc_that_is_not_there(world: World) -> None:
    refusal = await refused(world.raw("DeleteTaskRecord")(b"\xff"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED")
    watch = world.records.WatchTaskRecords(record_service_pb2.WatchTaskRecordsRequest())
    refusal = await refused(watch.read())
    assert refusal.code is grpc.StatusCode.UNIMPLEMENTED


async def test_internal_errors_show_nothing(world: World) -> None:
    async def fail() -> TaskRecord:
        raise RuntimeError("SELECT secret FROM /var/lib")

    world.servicer.acts["bug"] = fail
    with capture_logs() as logs:
        refusal = await refused(world.get("bug"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert b"secret" not in refusal.raw
    errors = [line for line in logs if line["log_level"] == "error"]
    assert [line["request_id"] for line in errors] == [refusal.request_id]
    assert isinstance(errors[0]["exc_info"], RuntimeError)


async def test_a_call_that_failed_is_gone_without_a_collection(world: World) -> None:
    """What it had, a request of 4 MiB say, would stay until the next, and that is rare."""

    class Work: ...

    begun: list[weakref.ref[Work]] = []

    async def fail() -> TaskRecord:
        work = Work()
        begun.append(weakref.ref(work))
        raise NotFound("NO_SUCH_THING", "it is not there")

    world.servicer.acts["absent"] = fail
    gc.disable()
    try:
        await refused(world.get("absent"))
        await until_true(lambda: begun[0]() is None, what="the end of the call's work")
    finally:
        gc.enable()


async def test_each_call_has_a_line_and_slow_ones_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with capture_logs() as logs:
        async with serving() as world:
            await world.get("run-1", ("x-request-id", "quick"))
            await refused(world.get("run-1", ("x-request-id", "bad"), ("x-vwed-tenant", "")))
            monkeypatch.setattr("vwed_grpc.rpc.edge.SLOW_SECONDS", 0.0)
            await world.get("run-1", ("x-request-id", "slow"))
            claim = record_service_pb2.ClaimTaskRecordsRequest(executor_id="amr-7")
            await world.records.ClaimTaskRecords(claim, metadata=(("x-request-id", "waits"),))
    shown = [(line["log_level"], line["request_id"], line["code"]) for line in logs]
    assert shown == [
        ("debug", "quick", "OK"),
        ("debug", "bad", "INVALID_ARGUMENT"),
        ("warning", "slow", "OK"),
        ("debug", "waits", "OK"),
    ]
    assert logs[0]["method"] == "vwed.v1.RecordService.GetTaskRecord"


async def test_an_answer_that_is_too_large(world: World) -> None:
    """The size is that of the default limit of every client, which takes just as much."""
    largest = TaskRecord(message="x" * (4 * 1024 * 1024 - 6))
    assert largest.ByteSize() == 4 * 1024 * 1024

    async def full() -> TaskRecord:
        return largest

    async def large() -> bytes:
        return largest.SerializeToString() + b"\0"

    world.servicer.acts |= {"full": full, "large": large}
    assert await world.get("full") == largest
    refusal = await refused(world.get("large"))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "RESPONSE_TOO_LARGE"


async def test_work_that_died_under_a_call_has_a_status(world: World) -> None:
    async def shared() -> TaskRecord:
        work: asyncio.Future[TaskRecord] = asyncio.get_running_loop().create_future()
        work.cancel()
        return await work

    world.servicer.acts["shared"] = shared
    refusal = await refused(world.get("shared"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "WORK_CANCELLED")
    assert refusal.retry


async def test_a_stream_comes_and_ends(world: World) -> None:
    watch = world.watch("ends")
    assert [message.bookmark_seq async for message in watch] == [0, 1, 2]
    assert "x-request-id" in dict(await watch.initial_metadata())


async def test_a_stream_ends_with_its_error(world: World) -> None:
    watch = world.watch("gone")
    for _ in range(3):
        await watch.read()
    refusal = await refused(watch.read())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "TASK_RECORD_DELETED")


LEFT = [("debug", "CANCELLED")]
"""What the log says of a caller who has left: nothing that anybody need see."""


def _of_calls(logs: Iterable[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    """Without what other servers in this process count meanwhile, once a second."""
    return [(line["log_level"], line["code"]) for line in logs if line["event"] != "cache"]


@pytest.mark.parametrize("id_", ["waits", "flood"])
async def test_a_caller_who_leaves_closes_the_generator(world: World, id_: str) -> None:
    with capture_logs() as logs:
        watch = world.watch(id_)
        await watch.read()
        await world.servicer.watching.wait()
        if id_ == "flood":
            await asyncio.sleep(0.2)  # until a write waits for the reader
        watch.cancel()
        await asyncio.wait_for(world.servicer.closed.wait(), PATIENCE)
        await until_true(lambda: not world.edge._calls)
    assert _of_calls(logs) == LEFT


async def test_a_caller_who_leaves_ends_the_work(world: World) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def forever() -> TaskRecord:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    world.servicer.acts["slow"] = forever
    with capture_logs() as logs:
        call = asyncio.ensure_future(world.get("slow"))
        await began.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), PATIENCE)
        await until_true(lambda: not world.edge._calls)
    assert _of_calls(logs) == LEFT


async def test_a_bad_batch_does_not_end_the_stream(world: World) -> None:
    stream: Any = world.channel.stream_stream(f"/{RECORDS}/StreamBlockReports")()
    parse = record_service_pb2.StreamBlockReportsResponse.FromString
    good = record_service_pb2.StreamBlockReportsRequest(task_record_id="run-1", batch_id="1")
    good.block_records.add(block_id="b")
    bad = record_service_pb2.StreamBlockReportsRequest(task_record_id="run-1", batch_id="2")
    answers = []
    for raw in (good.SerializeToString(), bad.SerializeToString(), b"\xff", b"\x2a\x019\xff"):
        await stream.write(raw)
        answers.append(parse(await stream.read()))
    await stream.write(good.SerializeToString())
    assert parse(await stream.read()).batch_id == "1"
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
    assert [answer.HasField("error") for answer in answers] == [False, True, True, True]
    assert [answer.batch_id for answer in answers] == ["1", "2", "", "9"]
    kinds = [any_.type_url.rpartition(".")[2] for any_ in answers[1].error.details]
    assert kinds == ["ErrorInfo", "RequestInfo", "BadRequest"]


async def test_a_stream_in_and_one_answer(world: World) -> None:
    options = task_def_service_pb2.ImportTaskDefsOptions(conflict=1)  # type: ignore[arg-type]  # SKIP
    call: Any = world.channel.stream_unary(f"/{DEFS}/ImportTaskDefs")()
    await call.write(
        task_def_service_pb2.ImportTaskDefsRequest(options=options).SerializeToString()
    )
    await call.write(b"\xff")
    await call.done_writing()
    response = task_def_service_pb2.ImportTaskDefsResponse.FromString(await call)
    assert response.created == 1
    assert [(error.index, error.reason) for error in response.errors] == [(1, "MALFORMED_MESSAGE")]


async def test_a_caller_who_leaves_while_it_streams_in(world: World) -> None:
    with capture_logs() as logs:
        stream: Any = world.channel.stream_stream(f"/{RECORDS}/StreamBlockReports")()
        await stream.write(b"\xff")
        await stream.read()
        stream.cancel()
        await asyncio.wait_for(world.servicer.closed.wait(), PATIENCE)
        await until_true(lambda: not world.edge._calls)
    assert [line for line in logs if line["log_level"] != "debug"] == []


async def test_draining_ends_streams_and_refuses_calls(world: World) -> None:
    ended, may_finish, began = asyncio.Event(), asyncio.Event(), asyncio.Barrier(3)

    async def finishes() -> TaskRecord:
        await began.wait()
        await may_finish.wait()
        return TaskRecord(id="finished")

    async def hangs() -> TaskRecord:
        try:
            await began.wait()
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    world.servicer.acts |= {"finishes": finishes, "hangs": hangs}
    waiting, flood = world.watch("waits"), world.watch("flood")
    for _ in range(3):
        await waiting.read()
    await flood.read()
    finishing = asyncio.ensure_future(world.get("finishes"))
    hanging = asyncio.ensure_future(world.get("hangs"))
    await began.wait()

    draining = asyncio.ensure_future(world.edge.drain(1, world.stop))
    refusals = [await refused(waiting.read())]
    may_finish.set()
    refusals.append(await refused(world.get()))

    async def rest() -> None:
        while True:
            await flood.read()

    refusals.append(await refused(rest()))
    assert await finishing == TaskRecord(id="finished")
    refusals.append(await refused(hanging))
    await draining
    assert ended.is_set()
    for refusal in refusals:
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert refusal.retry


async def test_streams_and_calls_have_limits_of_their_own() -> None:
    async with serving(Edge(Limits(live_calls=1, waits=1))) as world:
        held_up, release = asyncio.Event(), asyncio.Event()

        async def hold() -> TaskRecord:
            held_up.set()
            await release.wait()
            return TaskRecord(id="held")

        world.servicer.acts["hold"] = hold
        watch = world.watch("waits")
        await watch.read()
        refusal = await refused(world.watch("waits").read())
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refusal.reason == "TOO_MANY_WAITS"
        held = asyncio.ensure_future(world.get("hold"))
        await held_up.wait()
        assert (await refused(world.get())).reason == "TOO_MANY_LIVE_CALLS"
        release.set()
        await held
        assert await world.get() == TaskRecord(id="run-1")
        watch.cancel()


async def test_more_problems_than_trailers_hold(world: World) -> None:
    """More details than a client takes would cost it the code."""
    record = block_record_pb2.BlockRecord(block_id="b")
    for index in range(100):
        record.input_data[f"木\r\0{index}" * 30] = float("nan")
    request = record_service_pb2.ReportBlockRequest(task_record_id="r", block_record=record)
    refusal = await refused(world.records.ReportBlock(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(refusal.fields) > 3


def test_servicers_are_checked_when_they_are_registered() -> None:
    class Typo:
        async def GetTaskRecrod(self, request: Any, call: Call) -> None: ...  # noqa: N802 - as RPCs are named

    class NotAsync:
        def GetTaskRecord(self, request: Any, call: Call) -> None: ...  # noqa: N802 - as RPCs are named

    class NotAStream:
        async def WatchTaskRecord(self, request: Any, call: Call) -> None: ...  # noqa: N802 - as RPCs are named

    for servicer, message in (
        (Typo(), "has no RPC GetTaskRecrod"),
        (NotAsync(), "must be a coroutine function"),
        (NotAStream(), "must be an async generator"),
    ):
        with pytest.raises(TypeError, match=message):
            Handlers({RECORDS: [servicer]}, Edge(Limits()))
    with pytest.raises(KeyError):
        Handlers({"vwed.v1.NoService": [Records()]}, Edge(Limits()))


async def test_health_reflection_and_channelz() -> None:
    store_away = True

    async def probe() -> None:
        if store_away:
            raise ConnectionRefusedError

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    health = Health({RECORDS: lambda: None}, probe, interval=0.02)
    handlers = Handlers(introspection([RECORDS], health), Edge(Limits()))
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    following = asyncio.ensure_future(health.follow())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=RECORDS))

        async def becomes(status: int) -> None:
            while (await asyncio.wait_for(watch.read(), PATIENCE)).status != status:
                pass
            alive = await stub.Check(health_pb2.HealthCheckRequest())
            assert alive.status == health_pb2.HealthCheckResponse.SERVING

        with capture_logs() as logs:
            await becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
            store_away = False
            await becomes(health_pb2.HealthCheckResponse.SERVING)
            store_away = True
            await becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
            assert health.problems == {RECORDS: "the store cannot be used"}
            store_away = False
            await becomes(health_pb2.HealthCheckResponse.SERVING)
            following.cancel()
            await becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
        events = [line["event"] for line in logs if line["event"] != "call"]
        assert events[-3:] == ["the store cannot be used", "not serving", "serving"]

        nobody = health_pb2.HealthCheckRequest(service="nobody")
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await stub.Check(nobody)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        said = await stub.Watch(nobody).read()
        assert said.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await ask.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await ask.read()).list_services_response.service
        assert {service.name for service in listed} == {
            RECORDS,
            "grpc.health.v1.Health",
            "grpc.channelz.v1.Channelz",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        await ask.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=RECORDS))
        assert (await ask.read()).file_descriptor_response.file_descriptor_proto
        servers = await channelz_pb2_grpc.ChannelzStub(channel).GetServers(
            channelz_pb2.GetServersRequest()
        )
        assert servers.server
        ask.cancel()
        watch.cancel()
    await server.stop(None)
