"""The resuming watch against a gRPC server that breaks off where the test wants it to."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import (  # type: ignore[import-untyped]  # googleapis-common-protos has no types
    error_details_pb2,
    status_pb2,
)
from grpc import StatusCode
from vwed.v1.record_service_pb2 import WatchTaskRecordRequest, WatchTaskRecordResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from tests.support.waiting import PATIENCE
from vwed.client import connect, error_info, resuming, watch_messages, watch_run

LAST = 40
Break = Callable[[Any], Any]
"""Ends a call in its own way, given the servicer's context."""


class Breaking:
    """A run of 40 events in groups of up to 3; each call ends as the next of `breaks` says.

    `breaks` are (messages to send first, how to end then); when used up, the rest is sent.
    """

    def __init__(self, *breaks: tuple[int, Break], snapshot: int = 0) -> None:
        self.breaks = list(breaks)
        self.snapshot = snapshot
        self.asked: list[int | None] = []
        self.metadata: dict[str, str] = {}

    async def watch(
        self, request: WatchTaskRecordRequest, context: Any
    ) -> AsyncIterator[WatchTaskRecordResponse]:
        self.metadata = dict(context.invocation_metadata())
        self.asked.append(request.after_seq if request.HasField("after_seq") else None)
        left, end = self.breaks.pop(0) if self.breaks else (-1, None)
        for message in self.messages(request):
            if left == 0 and end:
                await end(context)
            left -= 1
            yield message

    def messages(self, request: WatchTaskRecordRequest) -> list[WatchTaskRecordResponse]:
        found, seq = [], request.after_seq
        if self.snapshot and not request.HasField("after_seq"):
            # Present states: every other event was overtaken by a later one.
            states = [TaskRecordEvent(seq=n) for n in range(2, self.snapshot + 1, 2)]
            found = [WatchTaskRecordResponse(events=[state], snapshot=True) for state in states]
            found[-1].bookmark_seq = seq = self.snapshot
        while seq < LAST:
            size = min(seq % 3 + 1, LAST - seq)
            events = [TaskRecordEvent(seq=seq + n) for n in range(1, size + 1)]
            found += [
                WatchTaskRecordResponse(events=events, more=seq % 2 == 1),
                WatchTaskRecordResponse(bookmark_seq=seq + size),
            ]
            seq += size
        return found


def abort(code: StatusCode) -> Break:
    async def end(context: Any) -> None:
        await context.abort(code, "broken off")

    return end


def refuse(code: StatusCode, reason: str) -> Break:
    async def end(context: Any) -> None:
        detail = any_pb2.Any()
        detail.Pack(
            error_details_pb2.ErrorInfo(reason=reason, domain="vwed", metadata={"oldest_seq": "9"})
        )
        status = status_pb2.Status(code=code.value[0], message="no", details=[detail])
        context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
        await context.abort(code, "no")

    return end


@asynccontextmanager
async def serving(servicer: Breaking) -> AsyncIterator[str]:
    handler = grpc.unary_stream_rpc_method_handler(
        servicer.watch,
        WatchTaskRecordRequest.FromString,
        WatchTaskRecordResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_registered_method_handlers("vwed.v1.RecordService", {"WatchTaskRecord": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def seqs(target: str, after_seq: int | None = 0, patience: float = 60) -> list[int]:
    async with connect(target, bare=True) as client:
        return [event.seq async for event in watch_run(client, "run", after_seq, patience=patience)]


@pytest.mark.parametrize(
    "code",
    [StatusCode.UNAVAILABLE, StatusCode.UNKNOWN, StatusCode.INTERNAL, StatusCode.CANCELLED],
)
async def test_watch_goes_on_where_it_broke(code: StatusCode) -> None:
    servicer = Breaking(*[(messages, abort(code)) for messages in (0, 1, 4, 0, 7)])
    async with serving(servicer) as target:
        assert await seqs(target) == list(range(1, LAST + 1))
    assert len(servicer.asked) == 6


@pytest.mark.parametrize("cut", range(13))
async def test_watch_goes_on_inside_and_after_a_snapshot(cut: int) -> None:
    servicer = Breaking((cut, abort(StatusCode.UNAVAILABLE)), snapshot=20)
    async with serving(servicer) as target:
        seen = await seqs(target, None)
    states = min(cut, 10)
    assert seen[:states] == list(range(2, 2 * states + 1, 2))
    assert seen[states:] == (
        list(range(2 * states + 1, LAST + 1)) if cut else [*range(2, 21, 2), *range(21, LAST + 1)]
    )
    assert servicer.asked[1] == (seen[states - 1] if cut and cut <= 10 else servicer.asked[1])


async def test_watch_groups_events_as_they_were_sent() -> None:
    servicer = Breaking((3, abort(StatusCode.UNAVAILABLE)))
    whole = [message for message in servicer.messages(WatchTaskRecordRequest()) if message.events]
    async with serving(servicer) as target, connect(target, bare=True) as client:
        assert [message async for message in watch_messages(client, "run", 0)] == whole


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (StatusCode.NOT_FOUND, "TASK_RECORD_DELETED"),
        (StatusCode.OUT_OF_RANGE, "SEQ_OUT_OF_RANGE"),
        (StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_watch_raises_what_the_service_says(code: StatusCode, reason: str) -> None:
    servicer = Breaking((2, refuse(code, reason)))
    async with serving(servicer) as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await seqs(target)
    assert caught.value.code() is code
    info = error_info(caught.value)
    assert info is not None
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, "vwed", {"oldest_seq": "9"})


async def test_watch_gives_up_when_patience_ends() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await seqs(f"127.0.0.1:{unused.getsockname()[1]}", patience=0.3)
    assert caught.value.code() is StatusCode.UNAVAILABLE
    assert error_info(caught.value) is None


async def test_silent_server_is_taken_for_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_context: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(resuming, "SILENCE_SECONDS", 0.3)
    servicer = Breaking((3, sleep))
    async with serving(servicer) as target:
        assert await seqs(target) == list(range(1, LAST + 1))


async def test_slow_reader_is_not_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "SILENCE_SECONDS", 1.0)
    servicer = Breaking()
    async with serving(servicer) as target, connect(target, bare=True) as client:
        async for event in watch_run(client, "run", 0):
            if event.seq == 1:
                await asyncio.sleep(1.5)
    assert servicer.asked == [0]


async def test_leaving_a_watch_cancels_its_call() -> None:
    left = asyncio.Event()

    async def wait(_context: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            left.set()

    async with serving(Breaking((1, wait))) as target, connect(target, bare=True) as client:
        async with aclosing(watch_run(client, "run", 0)) as events:
            await anext(events)
        async with asyncio.timeout(PATIENCE):
            await left.wait()


async def test_calls_carry_tenant_and_actor() -> None:
    servicer = Breaking()
    async with (
        serving(servicer) as target,
        connect(target, tenant="t", actor="wms", bare=True) as client,
    ):
        _ = [event async for event in watch_run(client, "run", 0)]
    assert servicer.metadata["x-vwed-tenant"] == "t"
    assert servicer.metadata["x-vwed-actor"] == "wms"
    assert "x-vwed-actor-bin" not in servicer.metadata


@asynccontextmanager
async def resetting_proxy(target: str, *limits: int) -> AsyncIterator[str]:
    """Passes connections on to `target`; the first ones are reset after so many bytes back."""
    host, port = target.split(":")
    left = list(limits)

    async def passes(client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        limit = left.pop(0) if left else 1 << 60
        server_reader, server = await asyncio.open_connection(host, int(port))

        async def forward() -> None:
            while data := await client_reader.read(65536):
                server.write(data)

        forwarding = asyncio.create_task(forward())
        try:
            while limit > 0 and (data := await server_reader.read(min(limit, 65536))):
                limit -= len(data)
                client.write(data)
                await client.drain()
            linger = struct.pack("ii", 1, 0)  # close() sends RST
            client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        finally:
            forwarding.cancel()
            server.close()
            client.close()

    proxy = await asyncio.start_server(passes, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()


@pytest.mark.parametrize("snapshot", [0, 30])
async def test_watch_survives_reset_connections(snapshot: int) -> None:
    servicer = Breaking(snapshot=snapshot)
    limits = [150 + 37 * number for number in range(12)]
    async with serving(servicer) as target, resetting_proxy(target, *limits) as proxy:
        seen = await seqs(proxy, None if snapshot else 0)
    assert seen == sorted(set(seen))
    assert seen[-LAST + snapshot :] == list(range(snapshot + 1, LAST + 1))
    assert snapshot or seen == list(range(1, LAST + 1))
    assert len(servicer.asked) > 1
